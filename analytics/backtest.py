"""Rerun a stored period with other tuning through the same engine, and the failure models of the time or learned ones:
which orders would appear, which vanish, and what they would have been worth against the repairs on record.
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
from analytics.episodes import HORIZON, Outcome, Repair, claim, total
from analytics.prediction.decision import Costs, Policy
from analytics.reader import Reader
from analytics.rules import Rules
from analytics.store import microseconds, moment
from analytics.whatif import foreseen
from analytics.whatif.foreseen import Foreseen, Source, Tried
from analytics.whatif.orders import SAME, Pair, pair
from analytics.whatif.rows import pieces
from analytics.whatif.running import Judged, Run
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
        repairs: those recorded in the period, and later ones that an order of the period came before.
        live_outcome, changed_outcome: their orders against the recorded repairs, all device types together.
        models: the same and the costs, by device type.
        cost_difference: of `changed` to `live`, in the unit of the costs; less than 0 is cheaper.
        tuning_id: of the rules in force; None: the defaults.
        predictions: the failure models that spoke in the period, of the rules in force and of the changed ones.
        learned: what came of learning some for the changed ones.
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
    predictions: tuple[Sequence[Source], Sequence[Source]]
    learned: list[Tried]


def run(
    conn: Conn,
    start: datetime,
    end: datetime,
    rules: Mapping[str, Any] | None,
    *,
    warmup: timedelta = WARMUP,
    costs: Costs | Mapping[str, Costs] | None = None,
    train_from: datetime | None = None,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """Rerun [start, end] with the rules in force and with `rules` (a parsed TOML file; None: the defaults).

    Writes nothing; both runs begin without knowledge `warmup` before the period. Failure models speak as they were in
    force at each time of it (never one that was learned later), in both; they decide by the stored costs with the
    rules in force, and by `costs` with the changed ones.

    Args:
        costs: of all device types, or by device type; those not named have the stored ones. Both sides are judged by
            them.
        train_from: failure models are learned from what was known from then until `start`, and speak on the changed
            side in the place of those in force then.
        progress: called with the share that is done; what it raises ends the run.

    Raises:
        Invalid: the period is empty, or the rules are (see `Rules.of`).
    """
    if start >= end:
        raise Invalid(f"The period must begin before it ends; {start} is not before {end}.", key="from")
    if train_from is not None and train_from >= start:
        raise Invalid(
            f"What is learned from must lie before the period; {train_from} is not before {start}.",
            key="train_from",
        )
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
    usual = {model: price for model, price in stored_costs.for_all(conn).items() if model in definitions}
    prices = {model: price for model, price in _prices(conn, costs).items() if model in definitions}
    then, new, tried = _sources(conn, start, end, train_from, prices)
    said = [
        foreseen.foresee(
            conn, sources, start - WARMUP, end, {m: Policy({}, price) for m, price in by.items()}
        )
        for sources, by in ((then, usual), (foreseen.instead(then, new), prices))
    ]
    before, after = _judge(conn, list(zip(runs, said, strict=True)), start, end, definitions)
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
        tuning_id, (said[0].sources, said[1].sources), tried,
    )  # fmt: skip


def _sources(
    conn: Conn, start: datetime, end: datetime, train_from: datetime | None, prices: Mapping[str, Costs]
) -> tuple[list[Source], list[Source], list[Tried]]:
    """The failure models of the time, those learned for the changed side, and what came of learning."""
    then, new, tried = [], [], []
    for model, price in sorted(prices.items()):
        then += foreseen.known_then(conn, model, start - WARMUP, end)
        if train_from is not None:
            sources, verdicts = foreseen.learned(conn, model, train_from, start, Policy({}, price))
            new += sources
            tried += verdicts
    return then, new, tried


def _judge(
    conn: Conn, runs: Sequence[tuple[Run, Foreseen]], start: datetime, end: datetime,
    definitions: Mapping[str, Definition],
) -> list[Judged]:  # fmt: skip
    repairs, known_until = _repairs(conn, start, end)
    model_of = dict(conn.execute("select id, model from ingest.device").fetchall())
    component = foreseen.mode_components(definitions.values())
    opened_by = []
    for one, said in runs:

        def left(device: int, finding: Finding, said: Foreseen = said) -> bool:
            model = model_of[device]
            return said.leaves(model, component.get((model, finding.mode), ""), finding)

        opened = one.orders(microseconds(start), said.found, left)
        of = {(o.device, o.mode): component.get((model_of[o.device], o.mode), "") for o, _ in opened}
        opened_by.append((opened, of))
    # What failed after the period, and no order of it came before, is no miss: its alarm may come after the period too.
    claimed = {claim(order, repairs, of) for opened, of in opened_by for order, _ in opened}
    counted = [repair for repair in repairs if repair.ts <= microseconds(end) or repair in claimed]
    return [Judged(opened, counted, of, model_of, known_until) for opened, of in opened_by]


def _prices(conn: Conn, costs: Costs | Mapping[str, Costs] | None) -> dict[str, Costs]:
    known = stored_costs.for_all(conn)
    if isinstance(costs, Costs):
        return dict.fromkeys(known, costs)
    return {model: (costs or {}).get(model, price) for model, price in known.items()}


def _repairs(conn: Conn, start: datetime, end: datetime) -> tuple[list[Repair], int]:
    """Repairs that orders of the period may have come before, and until when they are known. An order's repair
    counts when its engineer found a fault; another (a replayed recording) when a failure was recorded that it ended,
    or when nobody but engineers records failures of this device type."""
    until = min(now(conn), end + timedelta(microseconds=HORIZON))
    found = conn.execute(
        """with recorder as (
               select distinct d.model from analytics.failure f join ingest.device d on d.id = f.device_id
               where f.reference !~ '^WO-[0-9]+')
           select r.device_id, r.component, r.ts, r.reason from analytics.reset r
           join ingest.device d on d.id = r.device_id
           where r.ts > %s and r.ts <= %s
             and case when r.reason ~ '^WO-[0-9]+ '
                 then exists (select from reports.failure f where f.number = split_part(r.reason, ' ', 1))
                 else d.model not in (select model from recorder) or exists (
                     select from analytics.failure f where f.device_id = r.device_id
                     and (r.component = '*' or f.component = r.component)
                     and f.ts between r.ts - interval '7 days' and r.ts) end
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
