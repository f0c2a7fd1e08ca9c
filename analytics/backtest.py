"""Rerun a stored period with other tuning through the same engine: which detections would appear, which vanish, and
what the orders from either would have been worth against the repairs on record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from analytics import costs as stored_costs
from analytics import store
from analytics.definitions import Definition
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.episodes import HORIZON, Outcome, Repair, total
from analytics.prediction.decision import Costs
from analytics.reader import Reader
from analytics.rules import Rules
from analytics.store import microseconds, moment
from analytics.whatif.orders import SAME, Pair, pair
from analytics.whatif.rows import pieces
from analytics.whatif.running import Judged, Recorded, Run
from kit.clock import now
from kit.database import Conn
from kit.errors import Invalid

WARMUP = timedelta(days=21)  # before the period, so that baselines are warm when it begins


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
        orders: the orders they open, side by side.
        repairs: those recorded, that an order of the period may have come before.
        live_outcome, changed_outcome: their orders against the recorded repairs, all device types together.
        models: the same and the costs, by device type.
        cost_difference: of `changed` to `live`, in the unit of the costs; less than 0 is cheaper.
        tuning_id: of the rules in force; None: the defaults.
    """

    start: datetime
    end: datetime
    rows: int
    live: list[Raised]
    changed: list[Raised]
    appear: list[Raised]
    vanish: list[Raised]
    kept: list[tuple[Raised, Raised]]
    orders: list[Pair]
    repairs: list[Repair]
    live_outcome: Outcome
    changed_outcome: Outcome
    models: dict[str, tuple[Costs, Outcome, Outcome]]
    cost_difference: float
    tuning_id: int | None


def run(
    conn: Conn,
    start: datetime,
    end: datetime,
    rules: Mapping[str, Any] | None,
    *,
    warmup: timedelta = WARMUP,
    costs: Costs | Mapping[str, Costs] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Rerun [start, end] with the rules in force and with `rules` (a parsed TOML file; None: the defaults).

    Writes nothing; both runs begin without knowledge `warmup` before the period. Orders that a prediction opened are
    taken as they were, in both.

    Args:
        costs: of all device types, or by device type; those not named have the stored ones.
        progress: called with the share that is done; what it raises ends the run.

    Raises:
        Invalid: the period is empty, or the rules are (see `Rules.of`).
    """
    if start >= end:
        raise Invalid(f"The period must begin before it ends; {start} is not before {end}.", key="from")
    tuning_id, in_force = store.tuning(conn)
    definitions = store.definitions(conn)
    runs = [
        Run({m: Engine(d, chosen) for m, d in definitions.items()}) for chosen in (in_force, Rules.of(rules))
    ]
    count = 0
    for piece in pieces(conn, start - warmup, end, Reader(definitions, store.state_metrics(conn))):
        count += sum(len(block) for block in piece.blocks.values())
        for one in runs:
            one.take(piece)
        if progress is not None:
            progress(piece.done)
    before, after = _judge(conn, runs, start, end, definitions)
    prices = {model: price for model, price in _prices(conn, costs).items() if model in definitions}
    models = {
        model: (price, before.outcome(model, price), after.outcome(model, price))
        for model, price in prices.items()
    }
    totals = total([found[1] for found in models.values()]), total([found[2] for found in models.values()])
    live, changed = (_raises(one.found, start) for one in runs)
    near = [(raised, _near(raised, changed)) for raised in live]
    return Report(
        start, end, count, live, changed,
        [raised for raised in changed if _near(raised, live) is None],
        [raised for raised, other in near if other is None],
        [(raised, other) for raised, other in near if other is not None],
        pair(before.orders(), after.orders()), before.repairs, *totals, models, totals[1].cost - totals[0].cost,
        tuning_id,
    )  # fmt: skip


def _judge(
    conn: Conn, runs: Sequence[Run], start: datetime, end: datetime, definitions: Mapping[str, Definition]
) -> list[Judged]:
    foreseen = _foreseen(conn, start - WARMUP, end)
    repairs, known_until = _repairs(conn, start, end)
    model_of = dict(conn.execute("select id, model from ingest.device").fetchall())
    component = {(m, mode.code): mode.component for m, d in definitions.items() for mode in d.modes}
    judged = []
    for one in runs:
        opened = one.orders(microseconds(start), foreseen)
        of = {(o.device, o.mode): component.get((model_of[o.device], o.mode), "") for o, _ in opened}
        judged.append(Judged(opened, repairs, of, model_of, known_until))
    return judged


def _prices(conn: Conn, costs: Costs | Mapping[str, Costs] | None) -> dict[str, Costs]:
    known = stored_costs.for_all(conn)
    if isinstance(costs, Costs):
        return dict.fromkeys(known, costs)
    return {model: (costs or {}).get(model, price) for model, price in known.items()}


def _foreseen(conn: Conn, start: datetime, end: datetime) -> list[tuple[int, Finding]]:
    """What the prediction raised and cleared: a backtest of rules takes it as it was."""
    found = conn.execute(
        """select device_id, ts, kind, rule, rule_version, failure_mode, severity, score, through_batch, evidence
           from analytics.detection where rule = 'prediction' and ts between %s and %s order by id""",
        (start, end),
    ).fetchall()
    return [
        (device, Recorded(0, at, at, kind, rule, version, mode, severity, score, batch, told=told))
        for device, ts, kind, rule, version, mode, severity, score, batch, told in found
        for at in (microseconds(ts),)
    ]


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
