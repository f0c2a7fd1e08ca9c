"""What failure models say of a device type's stored period, step by step as live scoring would have, and the findings
made of it. A part of the devices and of the time is in memory at once. SQL reads; never commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from analytics.definitions import Bools, Floats, Ints
from analytics.detectors.protocol import Finding
from analytics.prediction import decision, features, model_file, scoring
from analytics.prediction.decision import Policy
from analytics.prediction.failure import ComponentModel
from analytics.prediction.history import History, Log
from analytics.store import microseconds, moment
from analytics.whatif import past
from analytics.whatif.past import LOOK_BACK, STEP, Names, Past
from analytics.whatif.running import Recorded
from kit.database import Conn

PIECE: Final = timedelta(days=30)  # of features in memory at once …
DEVICES: Final = 250  # … of so many devices
FOR_EVER: Final = 2**62


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
class Said:
    """What one source said at its steps, sorted by (device, ts).

    Attributes:
        device: [row] positions among the device type's devices; ts: [row].
        p: [row, back] probability at the step, at the one before, … as they were known at the step.
    """

    source: Source
    device: Ints
    ts: Ints
    p: Floats


def of_type(
    conn: Conn, model: str, sources: Sequence[Source], start: datetime, end: datetime, policy: Policy,
    progress: Callable[[float], None],
) -> list[tuple[int, Finding]]:  # fmt: skip
    """What the models of a device type raise and clear in [start, end]."""
    names = past.names(conn, model, end)
    found: list[tuple[int, Finding]] = []
    if names is None:
        return found
    for first in range(0, len(names.devices), DEVICES):
        some = np.arange(first, min(first + DEVICES, len(names.devices)))
        share = len(some) / len(names.devices)

        def told(done: float, before: float = first / len(names.devices), share: float = share) -> None:
            progress(before + done * share)

        said = _said(conn, names, some, sources, start, end, policy, told)
        for component in sorted({one.component for one in sources} & set(names.components)):
            own = names.repairs.only(names.components.index(component))
            its = [one for one in said if one.source.component == component]
            found += _findings(conn, names, its, own, policy)
    return found


def _said(
    conn: Conn, names: Names, devices: Ints, sources: Sequence[Source], start: datetime, end: datetime,
    policy: Policy, progress: Callable[[float], None],
) -> list[Said]:  # fmt: skip
    """What each source said of some devices (positions) in the period."""
    parts: list[tuple[Source, list[Said]]] = [(source, []) for source in sources]
    for at, until, known in _pieces(conn, names, devices, start, end):
        if known is not None:
            first = at - (policy.confirm - 1) * STEP  # a row judges the steps before it, too
            table = features.build(known.history, first + 1)
            late = _late(known, table, at, policy)
            for source, its in parts:
                one = _of_piece(source, table, late, at, policy)
                its.append(replace(one, device=devices[one.device]))
        progress((until - microseconds(start)) / max(microseconds(end) - microseconds(start), 1))
    return [_joined(source, its) for source, its in parts if its]


def _pieces(
    conn: Conn, names: Names, devices: Ints, start: datetime, end: datetime
) -> Iterator[tuple[int, int, Past | None]]:
    """The period, a piece of time after the other: (after, until], µs, and what was known then."""
    at = start
    while at < end:
        until = min(at + PIECE, end)
        known = past.load(conn, names, names.devices[devices], at - LOOK_BACK, until)
        yield microseconds(at), microseconds(until), known
        at = until


@dataclass(frozen=True)
class _Late:
    """Features at steps at which something was still to come: for each of them the step and those before it that
    must confirm it, as they were known at it.

    Attributes:
        key: [case] of device and step, see `_key`.
        table: [case × confirm], each case in order of time.
    """

    key: Ints
    table: features.Table


def _key(device: Ints, ts: Ints) -> Ints:
    """One number for a device (position) and a step."""
    return device * (1 << 32) + ts // STEP


def _late(known: Past, table: features.Table, after: int, policy: Policy) -> _Late | None:
    keys, tables = [], []
    rows = _key(table.device, table.ts)
    for step, (values, codes) in known.hidden(after + 1).items():
        first = step - (policy.confirm - 1) * STEP
        for devices, only_codes in ((values, False), (codes, True)):
            if not len(devices):
                continue
            then = known.at(step, devices)
            if only_codes:  # readings are as they are, and cost most
                there = _key(
                    np.repeat(devices, policy.confirm),
                    np.tile(np.arange(first, step + 1, STEP), len(devices)),
                )
                tables.append(_with_codes(then, table.take(np.searchsorted(rows, there)), first))
            else:
                tables.append(features.build(then, first))
            keys.append(_key(devices, np.full(len(devices), step)))
    if not keys:
        return None
    x, device, ts = (np.concatenate([getattr(one, name) for one in tables]) for name in ("x", "device", "ts"))
    return _Late(np.concatenate(keys), features.Table(table.names, x, device, ts))


def _with_codes(then: History, rows: features.Table, first: int) -> features.Table:
    """Rows with the features of fault codes and ages as of another knowledge."""
    codes = features.build(replace(then, metrics=(), values=then.values[:, :, :0]), first)
    x = rows.x.copy()
    x[:, [rows.names.index(name) for name in codes.names]] = codes.x
    return replace(rows, x=x)


def _of_piece(source: Source, table: features.Table, late: _Late | None, after: int, policy: Policy) -> Said:
    """What a source said at its steps after a time; positions are those of the piece."""
    lead = (policy.confirm - 1) * STEP  # a new version judges the steps before its first one, too
    rows = table.take((table.ts >= source.since - lead) & (table.ts < source.until))
    if not len(rows):
        return Said(source, rows.device, rows.ts, np.empty((0, policy.confirm)))
    p = np.full((len(rows), policy.confirm), np.nan)
    p[:, 0] = scoring.probabilities(source.fitted, rows)
    for back in range(1, policy.confirm):
        same = (rows.device[back:] == rows.device[:-back]) & (rows.ts[back:] - rows.ts[:-back] == back * STEP)
        p[back:, back] = np.where(same, p[:-back, 0], np.nan)
    speaks = (rows.ts >= source.since) & (rows.ts > after)
    said = Said(source, rows.device[speaks], rows.ts[speaks], p[speaks])
    if late is not None:
        _say_again(said, late, policy)
    return said


def _say_again(said: Said, late: _Late, policy: Policy) -> None:
    """Put what was said with less knowledge in place of what would have been said with all of it."""
    keys = _key(said.device, said.ts)
    cases = np.flatnonzero(np.isin(late.key, keys))
    if len(cases):
        rows = (cases[:, None] * policy.confirm + np.arange(policy.confirm)).reshape(-1)
        p = scoring.probabilities(said.source.fitted, late.table.take(rows)).reshape(-1, policy.confirm)
        said.p[np.searchsorted(keys, late.key[cases])] = p[:, ::-1]  # the newest first


def _joined(source: Source, parts: Sequence[Said]) -> Said:
    device, ts = (np.concatenate([getattr(one, name) for one in parts]) for name in ("device", "ts"))
    order = np.lexsort((ts, device))
    return Said(source, device[order], ts[order], np.concatenate([one.p for one in parts])[order])


def _confirmed(said: Said, repairs: Log, policy: Policy) -> Bools:
    """[row] whether so many steps in a row lie above the deciding level."""
    level = policy.level(said.source.component)
    found = np.ones(len(said.ts), bool)
    for back in range(policy.confirm):
        quiet = decision.muted(repairs, said.device, said.ts - back * STEP, policy.mute_hours)
        found &= (np.nan_to_num(said.p[:, back]) > level) & ~quiet
    return found


def _findings(
    conn: Conn, names: Names, said: Sequence[Said], repairs: Log, policy: Policy
) -> list[tuple[int, Finding]]:
    """One component: raised when confirmed and none is open, cleared as the scoring would."""
    confirmed = [_confirmed(one, repairs, policy) for one in said]
    found: list[tuple[int, Finding]] = []
    for device in sorted({int(d) for one, yes in zip(said, confirmed, strict=True) for d in one.device[yes]}):
        ended, uid = repairs.ts[repairs.device == device], int(names.devices[device])
        raised: Recorded | None = None
        for ts, one, row, yes in _steps(said, confirmed, device):
            if raised is not None:
                repaired = bool(((ended >= raised.ts) & (ended <= ts)).any())
                if decision.is_over(
                    raised.ts, ts, repaired, one.p[row : row + 1, 0], policy, one.source.component
                ):
                    found.append((uid, replace(raised, kind="clear", since=ts, ts=ts, told={})))
                    raised = None
            if raised is None and yes:
                raised = _raise(conn, names, one.source, device, ts, float(one.p[row, 0]), policy)
                found.append((uid, raised))
    return found


def _steps(
    said: Sequence[Said], confirmed: Sequence[Bools], device: int
) -> list[tuple[int, Said, int, bool]]:
    """All that was said of a device, in order of time: when, what, at which row, and whether it was confirmed."""
    steps = []
    for one, yes in zip(said, confirmed, strict=True):
        first, end = np.searchsorted(one.device, [device, device + 1]).tolist()
        steps += [(int(one.ts[row]), one, row, bool(yes[row])) for row in range(first, end)]
    return sorted(steps, key=lambda step: step[0])


def _raise(
    conn: Conn, names: Names, source: Source, device: int, ts: int, p: float, policy: Policy
) -> Recorded:
    """The finding, with the evidence that the rows known by then give."""
    known = past.load(conn, names, names.devices[device : device + 1], moment(ts) - LOOK_BACK, moment(ts))
    assert known is not None, "a probability was told of these rows"
    then = known.at(ts, np.array([0]))
    told = scoring.raised(
        conn, names.model, then, features.build(then, ts), 0, p, source.fitted, source.version, policy
    )
    return Recorded(
        0, ts, ts, "raise", scoring.RULE, model_file.FORMAT, told["mode"], told["severity"], told["score"], 0,
        told=told["evidence"],
    )  # fmt: skip
