"""What failure models would have said in a stored period, and the findings made of it: those in force at the time, or
learned for the comparison from what was known before the period. SQL reads; never commits.

The steps, the features, the decision and when a finding ends are those of `analytics.prediction.scoring`. Rows count at
their event time, as in the scoring itself; late ones as if they had come in time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics.definitions import Bools, Definition, Floats, Ints
from analytics.detectors.protocol import Finding
from analytics.prediction import decision, features, model_file, scoring, store, stored, train
from analytics.prediction.decision import Policy
from analytics.prediction.failure import ComponentModel
from analytics.prediction.history import Log
from analytics.store import microseconds, moment
from analytics.whatif.running import Recorded
from kit.database import Conn
from kit.errors import Invalid

STEP = scoring.STEP
PIECE = timedelta(days=30)  # of features in memory at once
LOOK_BACK = timedelta(days=features.LOOKBACK_DAYS + features.RECENT_DAYS)
EVIDENCE = (
    "shift",
    "spike",
    "joint",
    "fault_code",
)  # left to the prediction where it decides, as in fsm_core.plans
STOPS = 1  # a severity that is left to nobody
FOR_EVER = 2**62


@dataclass(frozen=True)
class Source:
    """A model of a component that speaks at the steps in [since, until), µs; `version` None: learned for this run."""

    model: str
    component: str
    fitted: ComponentModel
    version: int | None
    since: int
    until: int


@dataclass(frozen=True)
class Tried:
    """What came of learning a component for a run: in use or not, and why."""

    model: str
    component: str
    used: bool
    verdict: str
    reason: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Foreseen:
    """What the models of one side of a comparison found, and for whom they decide.

    Attributes:
        found: (device, finding), raised and cleared.
        deciding: sources of the device types in which predictions decide alone.
    """

    found: list[tuple[int, Finding]]
    sources: list[Source]
    deciding: list[Source]

    def leaves(self, model: str, component: str, finding: Finding) -> bool:
        """Whether a finding is part of what a model in force judges, and opens no order of its own."""
        if finding.rule not in EVIDENCE or finding.severity <= STOPS:
            return False
        return any(
            (s.model, s.component) == (model, component) and s.since <= finding.ts < s.until
            for s in self.deciding
        )


def known_then(conn: Conn, model: str, start: datetime, end: datetime) -> list[Source]:
    """The versions as they were in force at each time of [start, end]; one that cannot be read any more is left out."""
    found = conn.execute(
        """select id, component, promoted_at, retired_at from analytics.model_version
           where kind = %s and model = %s and promoted_at <= %s and coalesce(retired_at, 'infinity') > %s
           order by id""",
        (train.KIND, model, end, start),
    ).fetchall()
    sources = []
    for version, component, promoted, retired in found:
        try:
            fitted = store.load(conn, version, ComponentModel)
        except Invalid:
            continue
        since = microseconds(promoted) // STEP * STEP
        until = FOR_EVER if retired is None else microseconds(retired) // STEP * STEP
        sources.append(Source(model, component, fitted, version, since, until))
    return sources


def learned(
    conn: Conn, model: str, since: datetime, until: datetime, policy: Policy
) -> tuple[list[Source], list[Tried]]:
    """Models from what was known in [since, until], to speak from then on where their trial says that they pay."""
    try:
        done = train.candidates(conn, model, since, until, policy, compare=False)
    except Invalid as error:
        return [], [Tried(model, "", False, error.message, error.details)]
    sources, tried = [], []
    for one in done:
        if isinstance(one, train.Trained):
            tried.append(Tried(model, one.component, False, one.verdict, one.reason))
            continue
        component = one.fitted.component
        tried.append(Tried(model, component, one.promote, one.verdict, one.reason))
        if one.promote:
            sources.append(Source(model, component, one.fitted, None, microseconds(until), FOR_EVER))
    return sources, tried


def instead(then: Sequence[Source], new: Sequence[Source]) -> list[Source]:
    """From the moment a new model speaks, it does so instead of the version in force then."""
    begins = {(one.model, one.component): one.since for one in new}
    cut = [
        replace(one, until=min(one.until, begins.get((one.model, one.component), FOR_EVER))) for one in then
    ]
    return [one for one in cut if one.since < one.until] + list(new)


def foresee(
    conn: Conn, sources: Sequence[Source], start: datetime, end: datetime, policies: dict[str, Policy]
) -> Foreseen:
    """What these models raise and clear in [start, end]."""
    found: list[tuple[int, Finding]] = []
    for model in sorted({one.model for one in sources}):
        its = [one for one in sources if one.model == model]
        found += _of_type(conn, model, its, start, end, policies[model])
    deciding = {model for (model,) in conn.execute("select model from analytics.prediction_decides")}
    return Foreseen(found, list(sources), [one for one in sources if one.model in deciding])


def mode_components(definitions: Collection[Definition]) -> dict[tuple[str, str], str]:
    """(device type, failure mode) -> component."""
    return {(d.model, mode.code): mode.component for d in definitions for mode in d.modes}


@dataclass(frozen=True)
class _Said:
    """What one source said, sorted by (device, ts): probability, and whether it confirms a failure."""

    source: Source
    device: Ints
    ts: Ints
    p: Floats
    confirmed: Bools


def _of_type(
    conn: Conn, model: str, sources: Sequence[Source], start: datetime, end: datetime, policy: Policy
) -> list[tuple[int, Finding]]:
    there = stored.population(conn, model)
    if there is None:
        return []
    devices, components = there
    repairs = stored.repairs(conn, model, end, devices, components)
    said: list[_Said] = []
    for at, table in _tables(conn, model, start, end):
        for source in sources:
            lead = (policy.confirm - 1) * STEP  # a new version judges the steps before its first one, too
            rows = table.take((table.ts >= source.since - lead) & (table.ts < source.until) & (table.ts > at))
            if len(rows):
                p = scoring.probabilities(source.fitted, rows)
                said.append(_Said(source, rows.device, rows.ts, p, np.zeros(len(p), bool)))
    found: list[tuple[int, Finding]] = []
    for component in sorted({one.component for one in sources} & set(components)):
        own = repairs.only(components.index(component))
        parts = [_confirmed(source, said, own, policy) for source in sources if source.component == component]
        found += _findings(conn, devices, [part for part in parts if len(part.ts)], own, policy)
    return found


def _tables(conn: Conn, model: str, start: datetime, end: datetime) -> Iterator[tuple[int, features.Table]]:
    """The features of the period, a piece of time after the other; each with the time after which it begins."""
    at = start
    while at < end:
        until = min(at + PIECE, end)
        past = stored.history(conn, model, at - LOOK_BACK, until)
        if past is not None:
            yield microseconds(at), features.build(past, microseconds(at) + 1)
        at = until


def _confirmed(source: Source, said: Sequence[_Said], repairs: Log, policy: Policy) -> _Said:
    """All that a source said, with what it confirms: so many steps in a row above the deciding level."""
    mine = [one for one in said if one.source is source]
    if not mine:
        none = np.empty(0, np.int64)
        return _Said(source, none, none, np.empty(0), np.empty(0, bool))
    device, ts = np.concatenate([one.device for one in mine]), np.concatenate([one.ts for one in mine])
    p = np.concatenate([one.p for one in mine])
    order = np.lexsort((ts, device))
    device, ts, p = device[order], ts[order], p[order]
    over = np.nan_to_num(p) > policy.level(source.component)
    over &= ~decision.muted(repairs, device, ts, policy.mute_hours)
    confirmed = over.copy()
    for back in range(1, policy.confirm):
        before = np.zeros(len(ts), bool)
        before[back:] = over[:-back] & (device[back:] == device[:-back])
        confirmed &= before
    speaks = ts >= source.since
    return _Said(source, device[speaks], ts[speaks], p[speaks], confirmed[speaks])


def _findings(
    conn: Conn, devices: Ints, said: Sequence[_Said], repairs: Log, policy: Policy
) -> list[tuple[int, Finding]]:
    """One component: raised when confirmed and none is open, cleared as the scoring would."""
    found: list[tuple[int, Finding]] = []
    for device in sorted({int(d) for one in said for d in one.device[one.confirmed]}):
        ended = repairs.ts[repairs.device == device]
        steps = [
            (int(one.ts[row]), one, row)
            for one in said
            for row in np.flatnonzero(one.device == device).tolist()
        ]
        raised: Recorded | None = None
        for ts, one, row in sorted(steps, key=lambda step: step[0]):
            if raised is not None:
                repaired = bool(((ended >= raised.ts) & (ended <= ts)).any())
                if decision.is_over(
                    raised.ts, ts, repaired, one.p[row : row + 1], policy, one.source.component
                ):
                    found.append(
                        (int(devices[device]), replace(raised, kind="clear", since=ts, ts=ts, told={}))
                    )
                    raised = None
            if raised is None and one.confirmed[row]:
                raised = _raise(conn, one.source, int(devices[device]), ts, float(one.p[row]), policy)
                found.append((int(devices[device]), raised))
    return found


def _raise(conn: Conn, source: Source, device: int, ts: int, p: float, policy: Policy) -> Recorded:
    past = stored.history(conn, source.model, moment(ts) - LOOK_BACK, moment(ts), device)
    assert past is not None, "a probability was told of these rows"
    table = features.build(past, ts)
    told = scoring.raised(conn, source.model, past, table, 0, p, source.fitted, source.version, policy)
    return Recorded(
        0, ts, ts, "raise", scoring.RULE, model_file.FORMAT, told["mode"], told["severity"], told["score"], 0,
        told=told["evidence"],
    )  # fmt: skip
