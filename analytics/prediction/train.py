"""Learning failure models of a device type from stored history; promoted only when better on a later time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics import costs
from analytics.definitions import HOUR, Ints
from analytics.prediction import decision, failure, features, store, stored
from analytics.prediction.decision import Policy
from analytics.prediction.failure import ComponentModel, Settings
from analytics.prediction.features import Table
from analytics.prediction.history import History, Log
from analytics.prediction.scores import Result, score
from analytics.store import microseconds, moment
from kit import logs
from kit.database import Conn
from kit.errors import Invalid

log = logs.get(__name__)
KIND = "failure"
LEARNED_SHARE = 0.7  # of the failures, in order of time; the others are for the trial
LONGEST = timedelta(days=365)
FEWEST_TRIED = 3


@dataclass(frozen=True)
class Failure:
    """A failure that somebody names: the device's uid is not needed, its id is."""

    device_id: int
    component: str
    ts: datetime


@dataclass(frozen=True)
class Trained:
    """What became of one component: the id of its version (None: nothing could be learned), promoted or not, why; the
    same as `reason`, {code, values}, which the console tells in any language."""

    component: str
    version_id: int | None
    promoted: bool
    verdict: str
    reason: dict[str, Any] = field(default_factory=dict, compare=False)


def train(
    conn: Conn,
    model: str,
    until: datetime,
    *,
    named: Sequence[Failure] | None = None,
    policy: Policy | None = None,
    settings: Settings = Settings(),
) -> list[Trained]:
    """Learn every component of a device type from what was known by `until`, and keep what came of it.

    Args:
        named: failures to learn from; None takes those the stored history tells (see `stored.failures`).
        policy: how the trial decides; None takes the costs of the device type (`analytics.costs`).

    Raises:
        Invalid: there is no telemetry of this device type.
    """
    policy = policy or costs.policy(conn, model)
    # All fits before the first write: a transaction that has written holds up everybody who follows facts.
    done = candidates(conn, model, until - LONGEST, until, policy, settings, named=named)
    return [_keep(conn, model, one) for one in done]


def candidates(
    conn: Conn, model: str, since: datetime, until: datetime, policy: Policy, settings: Settings = Settings(),
    *, named: Sequence[Failure] | None = None, compare: bool = True,
) -> list[Candidate | Trained]:  # fmt: skip
    """Fit and try every component on what was known in [since, until]; writes nothing.

    Args:
        compare: against the version in force as well; else only against going without.

    Raises:
        Invalid: there is no telemetry of this device type.
    """
    past = stored.history(conn, model, since, until)
    if past is None:
        raise Invalid(
            f"The population is empty: there is no telemetry of device type {model} to learn from.",
            code="no_telemetry",
        )
    failures = (
        stored.failures(conn, model, until, past.devices, past.components)
        if named is None
        else as_log(named, past)
    )
    if not len(failures):
        nothing = "No failure with a standstill is on record; all lives are censored."
        return [
            Trained(component, None, False, nothing, {"code": "no_failure"}) for component in past.components
        ]
    table = features.build(past)
    table = table.take(np.flatnonzero(~features.silent(table)))
    return [
        _Trial(conn, model, past, table, failures, component, policy, settings, compare).run()
        for component in past.components
    ]


def as_log(named: Sequence[Failure], past: History) -> Log:
    """Named failures in the positions of a history; one of another device type or component is refused."""
    at = {int(device): position for position, device in enumerate(past.devices)}
    for one in named:
        if one.device_id not in at or one.component not in past.components:
            raise Invalid(
                f"Failure of {one.component} on device {one.device_id}: the device type has {len(at)} devices "
                f"with components {', '.join(past.components)}."
            )
    return Log.of(
        np.array([at[one.device_id] for one in named], np.int64),
        np.array([microseconds(one.ts) for one in named], np.int64),
        np.array([past.components.index(one.component) for one in named], np.int64),
    )


@dataclass(frozen=True)
class Candidate:
    """A fitted model and how its trial went."""

    fitted: ComponentModel
    window: tuple[datetime, datetime]
    scores: dict[str, Any]
    cost: float
    promote: bool
    verdict: str
    reason: dict[str, Any]


def _keep(conn: Conn, model: str, done: Candidate | Trained) -> Trained:
    if isinstance(done, Trained):
        store.note_learning(conn, KIND, model, done.component, False, done.verdict, done.reason)
        return done
    component = done.fitted.component
    store.note_learning(conn, KIND, model, component, done.promote, done.verdict, done.reason)
    version = store.save(
        conn, KIND, model, component, done.fitted, done.window, done.scores, done.cost, done.verdict,
        promote=done.promote, reason=done.reason,
    )  # fmt: skip
    return Trained(component, version, done.promote, done.verdict, done.reason)


@dataclass(frozen=True)
class _Trial:
    """One component: learned on the earlier part, tried on the later one, against the version in force."""

    conn: Conn
    model: str
    past: History
    table: Table
    failures: Log
    component: str
    policy: Policy
    settings: Settings
    compare: bool

    @property
    def _first(self) -> int:
        """µs; when the readings begin of which anything can be said."""
        return int(self.table.ts.min()) if len(self.table) else int(self.past.known[0])

    def run(self) -> Candidate | Trained:
        kind = self.past.components.index(self.component)
        broken, repairs = self.failures.only(kind), self.past.repairs.only(kind)
        last = int(self.past.known[-1])
        try:
            split = split_time(broken, self._first, last, self.component)
            learned = self.table.take(np.flatnonzero(self.table.ts <= split))
            fitted = failure.fit(
                self.component, learned, broken.until(split), repairs.until(split), split, self.settings
            )
        except Invalid as error:
            return Trained(self.component, None, False, error.message, error.details)
        return self._tried(fitted, broken, repairs, split, last)

    def _tried(self, fitted: ComponentModel, broken: Log, repairs: Log, split: int, last: int) -> Candidate:
        later = (self.table.ts > split) & ~failure.broken_down(broken, repairs, self.table)
        tried = self.table.take(np.flatnonzero(later))
        result = self._result(fitted, tried, broken, repairs, split, last)
        price = self.policy.costs.get(self.component, self.policy.default)
        cost, nothing = result.cost(price), result.failures * price.failure
        current = self._current(tried, broken, repairs, split, last)
        best = min(nothing, current) if current is not None else nothing
        promote = cost < best
        verdict = (
            f"{'Promoted' if promote else 'Not promoted'}: cost {cost:g} in the trial from {moment(split)}; "
            f"without predictions {nothing:g}"
            + ("." if current is None else f", with the version in force {current:g}.")
        )
        scores = asdict(result) | {"cost_without": nothing, "tried_until": moment(last).isoformat()}
        window = moment(self._first), moment(split)
        reason = {
            "code": "cheaper" if promote else "not_cheaper", "cost": f"{cost:g}", "without": f"{nothing:g}",
            "since": moment(split).isoformat(), "in_force": None if current is None else f"{current:g}",
        }  # fmt: skip
        return Candidate(fitted, window, scores, cost, promote, verdict, reason)

    def _result(
        self, model: ComponentModel, tried: Table, broken: Log, repairs: Log, split: int, last: int
    ) -> Result:
        orders = decision.decide(
            model.probability(tried), tried.device, tried.ts, repairs, self.policy, self.component
        )
        horizon = round(self.policy.open_hours * HOUR)
        decided = [
            order for order in orders if order.ts + horizon <= last or _came(broken, order.device, order.ts)
        ]
        return score(decided, broken, split, last, self.policy.open_hours)

    def _current(self, tried: Table, broken: Log, repairs: Log, split: int, last: int) -> float | None:
        """Cost of the version in force in the same trial; None when there is none that can be used."""
        version = store.in_force(self.conn, KIND, self.model).get(self.component) if self.compare else None
        if version is None:
            return None
        try:
            model = store.load(self.conn, version.id, ComponentModel)
            result = self._result(model, tried, broken, repairs, split, last)
        except Invalid as error:  # another format, or the device type has other metrics now: it has to go
            log.warning("version in force cannot be used", version=version.id, error=error.message)
            return None
        return result.cost(self.policy.costs.get(self.component, self.policy.default))


def _came(broken: Log, device: int, ts: int) -> bool:
    return bool(((broken.device == device) & (broken.ts > ts)).any())


def split_time(broken: Log, first: int, last: int, component: str) -> int:
    """The time that leaves `LEARNED_SHARE` of the failures in [first, last] before it.

    Raises:
        Invalid: too few failures to learn from and to try on.
    """
    ts: Ints = np.sort(broken.ts[(broken.ts > first) & (broken.ts <= last)])
    learned = int(len(ts) * LEARNED_SHARE)
    if learned < failure.FEWEST_FAILURES or len(ts) - learned < FEWEST_TRIED:
        raise Invalid(
            f"{component}: {len(ts)} failures with a standstill and telemetry are on record, the other lives are "
            f"censored; {failure.FEWEST_FAILURES} to learn from and {FEWEST_TRIED} later ones to try it on are needed.",
            code="too_few_failures",
            failures=len(ts),
            learn=failure.FEWEST_FAILURES,
            trial=FEWEST_TRIED,
        )
    return int(ts[learned - 1])
