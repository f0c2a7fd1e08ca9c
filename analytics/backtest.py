"""Rerun a stored period with other tuning through the same engine: which detections would appear, which vanish, and
what the orders from either would have been worth against the repairs on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics import store
from analytics.block import Block, Event, Reset
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.episodes import HORIZON, Episodes, Opened, Outcome, Repair, outcome
from analytics.prediction.decision import Costs
from analytics.reader import Reader
from analytics.rules import Rules
from analytics.store import Position, microseconds, moment
from analytics.worker import days_of
from kit.clock import now
from kit.database import Conn, rows
from kit.errors import Invalid

WARMUP = timedelta(days=21)  # before the period, so that baselines are warm when it begins
SAME = timedelta(days=3)  # two raises of a mode on a device within this time are one episode
MOST_ROWS = 50_000  # rows in memory at once


@dataclass(frozen=True)
class Raised:
    """A failure mode that a rule raises."""

    device_id: int
    ts: datetime
    rule: str
    failure_mode: str
    severity: int
    score: float
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What the rules in force and the changed ones make of the same stored rows.

    Attributes:
        live, changed: all raises of the period.
        appear, vanish: raises of `changed` (`live`) without one of the other near it on that device and mode.
        kept: pairs (live, changed) of the same episode.
        live_outcome, changed_outcome: the orders they open, against the recorded repairs.
        cost_difference: of `changed` to `live`, in the unit of the costs; less than 0 is cheaper.
    """

    start: datetime
    end: datetime
    rows: int
    live: list[Raised]
    changed: list[Raised]
    appear: list[Raised]
    vanish: list[Raised]
    kept: list[tuple[Raised, Raised]]
    live_outcome: Outcome
    changed_outcome: Outcome
    cost_difference: float


def run(
    conn: Conn,
    start: datetime,
    end: datetime,
    rules: Mapping[str, Any] | None,
    *,
    warmup: timedelta = WARMUP,
    costs: Costs | None = None,
) -> Report:
    """Rerun [start, end] with the rules in force and with `rules` (a parsed TOML file; None: the defaults).

    Writes nothing; both runs begin without knowledge `warmup` before the period. `costs` of a failure, a visit and a
    needless visit default to those of the prediction.

    Raises:
        Invalid: the period is empty, or the rules are (see `Rules.of`).
    """
    if start >= end:
        raise Invalid(f"The period must begin before it ends; {start} is not before {end}.")
    _, in_force = store.tuning(conn)
    definitions = store.definitions(conn)
    runs = [
        _Run({m: Engine(d, chosen) for m, d in definitions.items()}) for chosen in (in_force, Rules.of(rules))
    ]
    count = 0
    for piece in _stream(conn, start - warmup, end, Reader(definitions, store.state_metrics(conn))):
        count += sum(len(block) for block in piece.blocks.values())
        for one in runs:
            one.take(piece)
    live, changed = (_raises(one.found, start) for one in runs)
    repairs, known_until = _repairs(conn, start, end)
    before, after = (
        outcome(one.orders(microseconds(start)), repairs, one.components(), known_until, costs or Costs())
        for one in runs
    )
    near = [(raised, _near(raised, changed)) for raised in live]
    return Report(
        start, end, count, live, changed,
        [raised for raised in changed if _near(raised, live) is None],
        [raised for raised, other in near if other is None],
        [(raised, other) for raised, other in near if other is not None],
        before, after, after.cost - before.cost,
    )  # fmt: skip


def _repairs(conn: Conn, start: datetime, end: datetime) -> tuple[list[Repair], int]:
    """Repairs that orders of the period may have come before, and until when they are known. An order's repair
    counts when its engineer found a fault; others (a replayed recording) always."""
    until = min(now(conn), end + timedelta(microseconds=HORIZON))
    found = conn.execute(
        """select r.device_id, r.component, r.ts, r.reason from analytics.reset r
           where r.ts > %s and r.ts <= %s
             and (r.reason !~ '^WO-[0-9]+ '
                  or exists (select from reports.failure f where f.number = split_part(r.reason, ' ', 1)))
           order by r.ts, r.id""",
        (start, until),
    ).fetchall()
    inside = [Repair(device, component, microseconds(ts), reason) for device, component, ts, reason in found]
    return inside, microseconds(until)


@dataclass(frozen=True)
class _Piece:
    """Some consecutive batches; `resets` became known before them, `learn`: a day of event time begins after them."""

    blocks: dict[str, Block]
    events: dict[str, list[Event]]
    resets: list[Reset]
    learn: bool


class _Run:
    """One way to tune the engines, and what it has found."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines
        self._waiting: list[Reset] = []
        self.found: list[tuple[int, Finding]] = []

    def take(self, piece: _Piece) -> None:
        """Step through a piece."""
        self._waiting += piece.resets
        for model in sorted(piece.blocks.keys() | piece.events.keys()):
            engine = self._engines[model]
            block, events = piece.blocks.get(model, engine.nothing()), piece.events.get(model, [])
            present = set(block.device.tolist()) | {event.device for event in events}
            done = engine.step(block, events, [reset for reset in self._waiting if reset.device in present])
            self._waiting = [reset for reset in self._waiting if reset not in done.applied]
            self.found += done.findings
        if piece.learn:
            for engine in self._engines.values():
                if engine.devices:
                    engine.refresh_fleet()

    def orders(self, start: int) -> list[Opened]:
        """The orders that open from a time on."""
        episodes = Episodes()
        for device, finding in sorted(self.found, key=lambda found: found[1].ts):
            episodes.take(device, finding)
        return [one for one in episodes.opened if one.ts >= start]

    def components(self) -> dict[tuple[int, str], str]:
        """The component of each device and failure mode with findings."""
        of = {
            device: {mode.code: mode.component for mode in engine.definition.modes}
            for engine in self._engines.values()
            for device in engine.devices
        }
        return {(device, finding.mode): of[device][finding.mode] for device, finding in self.found}


def _stream(conn: Conn, first: datetime, last: datetime, reader: Reader) -> Iterator[_Piece]:
    """The rows of a period in the order in which they were committed."""
    facts = rows(
        conn,
        """select id, xid::text::bigint as xid, rows, first_ts, last_ts from ingest.batch b
           where (last_ts >= %s and first_ts <= %s)
              or (first_ts is null and exists (select from ingest.fault_event f where f.batch_id = b.id
                                               and f.ts between %s and %s))
           order by b.xid, b.id""",
        (first, last, first, last),
    )
    known = store.known_resets(conn, Position(0, 0))
    day = 0
    for group, new_day in _groups(facts, [at for at, _ in known]):
        here = Position(group[0]["xid"], group[0]["id"])
        resets = [reset for at, reset in known if at < here]
        known = [(at, reset) for at, reset in known if at >= here]
        blocks, events = reader.batches(conn, group, 0, 1)
        blocks = {model: _within(block, first, last) for model, block in blocks.items()}
        yield _Piece(blocks, events, resets, new_day is not None and new_day > day)
        day = max(day, new_day or 0)


def _groups(
    facts: Sequence[Mapping[str, Any]], bounds: Sequence[Position]
) -> Iterator[tuple[list[Mapping[str, Any]], int | None]]:
    """Cut where a day begins, where a reset becomes known, and where rows become many."""
    for group, new_day in days_of(facts, 0):
        some: list[Mapping[str, Any]] = []
        for fact in group:
            at = Position(fact["xid"], fact["id"])
            before = Position(some[-1]["xid"], some[-1]["id"]) if some else at
            if some and (sum(f["rows"] for f in some) > MOST_ROWS or any(before <= b < at for b in bounds)):
                yield some, None
                some = []
            some.append(fact)
        yield some, new_day


def _within(block: Block, first: datetime, last: datetime) -> Block:
    return block.take(np.flatnonzero((block.ts >= microseconds(first)) & (block.ts <= microseconds(last))))


def _raises(found: Sequence[tuple[int, Finding]], start: datetime) -> list[Raised]:
    return [
        Raised(device, moment(f.ts), f.rule, f.mode, f.severity, f.score, f.evidence())
        for device, f in found
        if f.kind == "raise" and moment(f.ts) >= start
    ]


def _near(raised: Raised, others: Sequence[Raised]) -> Raised | None:
    """The first of the others that is the same episode."""
    return next(
        (
            other
            for other in others
            if (other.device_id, other.failure_mode) == (raised.device_id, raised.failure_mode)
            and abs(other.ts - raised.ts) <= SAME
        ),
        None,
    )
