"""Rerun a stored period with other tuning through the same engine, and the failure models of the time or learned ones:
which orders would appear, which vanish, and what they would have been worth against the repairs on record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from analytics import costs as stored_costs
from analytics import partitions, store
from analytics.definitions import Definition
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.episodes import HORIZON, Outcome, Repair, by_device, claim, total
from analytics.prediction.decision import Costs, Policy
from analytics.reader import Reader
from analytics.rules import Rules
from analytics.store import microseconds
from analytics.whatif import differences, foreseen, record
from analytics.whatif.differences import Difference
from analytics.whatif.foreseen import Foreseen, Tried
from analytics.whatif.orders import Pair, pair
from analytics.whatif.raises import Raised, compare, raises
from analytics.whatif.rows import pieces
from analytics.whatif.running import Judged, Run
from analytics.whatif.spoken import Source
from kit.database import Conn
from kit.errors import Invalid

WARMUP = timedelta(days=21)  # before the period, so that baselines are warm when it begins
LEARNING = 0.2  # of the work, where models are learned
ROWS = 0.7  # of what is left, where models speak
Progress = Callable[[float], None]


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
        horizon: an order is right when its component was repaired within so long.
        predictions: the failure models that spoke in the period, of the rules in force and of the changed ones.
        learned: what came of learning some for the changed ones.
        differences: what the run knowingly does otherwise than live did in this period.
    """

    start: datetime
    end: datetime
    rows: int
    horizon: timedelta
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
    differences: list[Difference]


def run(
    conn: Conn,
    start: datetime,
    end: datetime,
    rules: Mapping[str, Any] | None,
    *,
    warmup: timedelta = WARMUP,
    costs: Costs | Mapping[str, Costs] | None = None,
    train_from: datetime | None = None,
    horizon: timedelta = timedelta(microseconds=HORIZON),
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
        horizon: an order is right when its component is repaired within so long.
        progress: called with the share that is done; what it raises ends the run.

    Raises:
        Invalid: the period or the horizon is empty, or the rules are wrong (see `Rules.of`).
    """
    _check(start, end, train_from, horizon)
    told = progress or (lambda share: None)
    tuning_id, in_force = store.tuning(conn)
    definitions, chosen = store.definitions(conn), Rules.of(rules)
    usual = {model: price for model, price in stored_costs.for_all(conn).items() if model in definitions}
    prices = {model: price for model, price in _prices(conn, costs).items() if model in definitions}
    learning = 0.0 if train_from is None else LEARNING
    then, new, tried = _sources(conn, start, end, train_from, prices, _part(told, 0.0, learning))
    reading = learning + (1.0 - learning) * (ROWS if then or new else 1.0)
    count, runs = _rerun(
        conn, start - warmup, end, definitions, (in_force, chosen), _part(told, learning, reading)
    )
    between = (reading + 1.0) / 2
    sides = ((then, usual, reading, between), (foreseen.instead(then, new), prices, between, 1.0))
    said = [
        foreseen.foresee(
            conn, sources, start - WARMUP, end, {m: Policy({}, price) for m, price in by.items()},
            _part(told, since, until),
        )
        for sources, by, since, until in sides
    ]  # fmt: skip
    before, after = _judge(conn, list(zip(runs, said, strict=True)), start, end, definitions, horizon)
    models = {
        model: (price, before.outcome(model, price), after.outcome(model, price))
        for model, price in prices.items()
    }
    totals = total([found[1] for found in models.values()]), total([found[2] for found in models.values()])
    live, changed = (raises(one.found, start) for one in runs)
    raised = compare(live, changed)
    return Report(
        start, end, count, horizon, live, changed, raised.appear, raised.vanish, raised.kept,
        pair(before.orders(), after.orders()), before.repairs, *totals, models, totals[1].cost - totals[0].cost,
        tuning_id, (said[0].sources, said[1].sources), tried,
        differences.of(conn, start, end, warmup, predictions=bool(then or new)),
    )  # fmt: skip


def _check(start: datetime, end: datetime, train_from: datetime | None, horizon: timedelta) -> None:
    if horizon <= timedelta(0):
        raise Invalid(
            f"The horizon must be above 0 h, not {horizon / timedelta(hours=1):g} h.", key="horizon"
        )
    if start >= end:
        raise Invalid(f"The period must begin before it ends; {start} is not before {end}.", key="from")
    if train_from is not None and train_from >= start:
        raise Invalid(
            f"What is learned from must lie before the period; {train_from} is not before {start}.",
            key="train_from",
        )


def _part(told: Progress, since: float, until: float) -> Progress:
    """Progress of a part of the work."""
    return lambda share: told(since + share * (until - since))


def _rerun(
    conn: Conn, since: datetime, until: datetime, definitions: Mapping[str, Definition],
    ways: Sequence[Rules], told: Progress,
) -> tuple[int, list[Run]]:  # fmt: skip
    """Step through the stored rows once, with each set of rules; how many rows there were."""

    def engines(rules: Rules) -> dict[str, Engine]:
        return {model: Engine(definition, rules) for model, definition in definitions.items()}

    count, parts = 0, partitions.number(conn)
    runs = [Run(lambda rules=rules: engines(rules), parts) for rules in ways]  # type: ignore[misc]
    for piece in pieces(conn, since, until, Reader(definitions, store.state_metrics(conn))):
        count += len(piece)
        for one in runs:
            one.take(piece)
        told(piece.done)
    return count, runs


def _sources(
    conn: Conn, start: datetime, end: datetime, train_from: datetime | None, prices: Mapping[str, Costs],
    told: Progress,
) -> tuple[list[Source], list[Source], list[Tried]]:  # fmt: skip
    """The failure models of the time, those learned for the changed side, and what came of learning."""
    then, new, tried = [], [], []
    for at, (model, price) in enumerate(sorted(prices.items())):
        told(at / len(prices))
        then += foreseen.known_then(conn, model, start - WARMUP, end)
        if train_from is not None:
            sources, verdicts = foreseen.learned(conn, model, train_from, start, Policy({}, price))
            new += sources
            tried += verdicts
    return then, new, tried


def _judge(
    conn: Conn, runs: Sequence[tuple[Run, Foreseen]], start: datetime, end: datetime,
    definitions: Mapping[str, Definition], horizon: timedelta,
) -> list[Judged]:  # fmt: skip
    repairs, known_until = record.repairs(conn, start, end, horizon)
    within = round(horizon / timedelta(microseconds=1))
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
    there = by_device(repairs)
    claimed = {claim(order, there, of, within) for opened, of in opened_by for order, _ in opened}
    counted = [repair for repair in repairs if repair.ts <= microseconds(end) or repair in claimed]
    return [Judged(opened, counted, of, model_of, known_until, within) for opened, of in opened_by]


def _prices(conn: Conn, costs: Costs | Mapping[str, Costs] | None) -> dict[str, Costs]:
    known = stored_costs.for_all(conn)
    if isinstance(costs, Costs):
        return dict.fromkeys(known, costs)
    return {model: (costs or {}).get(model, price) for model, price in known.items()}
