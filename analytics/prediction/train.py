"""Learning failure models of a device type from stored history; promoted only when better on a later time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics import costs
from analytics.definitions import HOUR, Ints
from analytics.prediction import decision, failure, pieces, sample, store, stored
from analytics.prediction.decision import Order, Policy
from analytics.prediction.failure import ComponentModel, Settings
from analytics.prediction.features import Table
from analytics.prediction.history import Log
from analytics.prediction.sample import Rows
from analytics.prediction.scores import Result, score
from analytics.prediction.stored import Scope
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
    *, named: Sequence[Failure] | None = None, compare: bool = True, most: int = sample.MOST_HEALTHY,
) -> list[Candidate | Trained]:  # fmt: skip
    """Fit and try every component on what was known in [since, until]; writes nothing.

    The trial is on all later rows, decided one by one, however many are learned from.

    Args:
        compare: against the version in force as well; else only against going without.
        most: healthy rows to learn from (see `sample`).

    Raises:
        Invalid: there is no telemetry of this device type.
    """
    there = stored.scope(conn, model, since, until)
    if there is None or not stored.heard(conn, there):
        raise _no_telemetry(model)
    failures = (
        stored.failures(conn, model, until, there.devices, there.components)
        if named is None
        else as_log(named, there)
    )
    if not len(failures):
        nothing = "No failure with a standstill is on record; all lives are censored."
        return [
            Trained(component, None, False, nothing, {"code": "no_failure"}) for component in there.components
        ]
    rows = sample.gather(pieces.tables(conn, there), failures, settings.horizon_hours, settings.seed, most)
    if rows is None:
        raise _no_telemetry(model)
    repairs = stored.repairs(conn, model, until, there.devices, there.components)
    begun = [
        _learn(
            conn, there, rows, failures.only(kind), repairs.only(kind), component, policy, settings, compare
        )
        for kind, component in enumerate(there.components)
    ]
    _try(conn, there, rows, [one for one in begun if isinstance(one, _Trial)])
    return [one.ended() if isinstance(one, _Trial) else one for one in begun]


def _no_telemetry(model: str) -> Invalid:
    return Invalid(
        f"The population is empty: there is no telemetry of device type {model} to learn from.",
        code="no_telemetry",
    )


def _learn(
    conn: Conn, there: Scope, rows: Rows, broken: Log, repairs: Log, component: str, policy: Policy,
    settings: Settings, compare: bool,
) -> _Trial | Trained:  # fmt: skip
    """A component learned from the earlier part, its trial still to come."""
    last = int(there.known[-1])
    first = int(there.known[0]) if rows.first is None else rows.first
    try:
        split = split_time(broken, first, last, component)
        fitted = failure.fit(
            component, rows.table, broken.until(split), repairs.until(split), split, settings, rows.weight
        )
    except Invalid as error:
        return Trained(component, None, False, error.message, error.details)
    current = _in_force(conn, there.model, component) if compare else None
    return _Trial(fitted, broken, repairs, (first, split, last), policy, current)


def _in_force(conn: Conn, model: str, component: str) -> ComponentModel | None:
    """The version in force; None when there is none that can be read."""
    version = store.in_force(conn, KIND, model).get(component)
    if version is None:
        return None
    try:
        return store.load(conn, version.id, ComponentModel)
    except Invalid as error:  # another format: it has to go
        log.warning("version in force cannot be used", version=version.id, error=error.message)
        return None


def _try(conn: Conn, there: Scope, rows: Rows, trials: Sequence[_Trial]) -> None:
    """Show the trials the later rows: those at hand where they are all, else all of them once more, piece by piece."""
    if not trials:
        return
    after = min(trial.split for trial in trials)
    for table in [rows.table] if rows.weight is None else pieces.tables(conn, there, after):
        for trial in trials:
            trial.take(table)


def as_log(named: Sequence[Failure], past: Scope) -> Log:
    """Named failures in the positions of a fleet; one of another device type or component is refused."""
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


class _Trial:
    """One component on the later part: the model learned, and beside it the version in force where there is one.

    Args:
        broken, repairs: of that component, later ones as well.
        window: µs; the first reading, the end of what was learned from, the end of the trial.
    """

    def __init__(
        self, fitted: ComponentModel, broken: Log, repairs: Log, window: tuple[int, int, int], policy: Policy,
        current: ComponentModel | None,
    ) -> None:  # fmt: skip
        self._fitted, self._current, self._policy = fitted, current, policy
        self._broken, self._repairs = broken, repairs
        self._first, self.split, self._last = window
        self._orders: list[Order] = []
        self._current_orders: list[Order] = []

    def take(self, table: Table) -> None:
        """Decide on some devices' rows; those of one device come together."""
        later = (table.ts > self.split) & ~failure.broken_down(self._broken, self._repairs, table)
        tried = table.take(np.flatnonzero(later))
        self._orders += self._decided(self._fitted, tried)
        if self._current is None:
            return
        try:
            self._current_orders += self._decided(self._current, tried)
        except Invalid as error:  # the device type has other metrics now: it has to go
            log.warning(
                "version in force cannot be used", component=self._fitted.component, error=error.message
            )
            self._current = None

    def ended(self) -> Candidate:
        """What came of it."""
        price = self._policy.costs.get(self._fitted.component, self._policy.default)
        result = self._result(self._orders)
        cost, nothing = result.cost(price), result.failures * price.failure
        current = None if self._current is None else self._result(self._current_orders).cost(price)
        best = min(nothing, current) if current is not None else nothing
        promote = cost < best
        verdict = (
            f"{'Promoted' if promote else 'Not promoted'}: cost {cost:g} in the trial from {moment(self.split)}; "
            f"without predictions {nothing:g}"
            + ("." if current is None else f", with the version in force {current:g}.")
        )
        scores = asdict(result) | {"cost_without": nothing, "tried_until": moment(self._last).isoformat()}
        window = moment(self._first), moment(self.split)
        reason = {
            "code": "cheaper" if promote else "not_cheaper", "cost": f"{cost:g}", "without": f"{nothing:g}",
            "since": moment(self.split).isoformat(), "in_force": None if current is None else f"{current:g}",
        }  # fmt: skip
        return Candidate(self._fitted, window, scores, cost, promote, verdict, reason)

    def _decided(self, model: ComponentModel, tried: Table) -> list[Order]:
        return decision.decide(
            model.probability(tried), tried.device, tried.ts, self._repairs, self._policy,
            self._fitted.component,
        )  # fmt: skip

    def _result(self, orders: Sequence[Order]) -> Result:
        """Orders that stand beyond the end count only where their failure has come."""
        horizon = round(self._policy.open_hours * HOUR)
        decided = [
            order for order in orders
            if order.ts + horizon <= self._last or _came(self._broken, order.device, order.ts)
        ]  # fmt: skip
        return score(decided, self._broken, self.split, self._last, self._policy.open_hours)


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
