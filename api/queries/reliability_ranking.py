"""What fails most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from analytics.reliability import pareto
from analytics.reliability.record import Event, Record, Unit
from api.accounts import User
from api.queries import reliability_record as stored
from api.queries.reliability import labels
from api.queries.reliability_record import Ask
from kit.database import Conn

Of = Literal["failure_mode", "component", "cause", "fault_code", "model", "site", "customer", "device"]
Weight = Literal["failures", "down_hours", "repair_hours"]


@dataclass(frozen=True)
class Bar:
    """One row of a Pareto; shares 0 to 1."""

    key: str
    name_en: str
    name_zh: str
    weight: float
    share: float
    running: float
    devices: int | None = None


def ranking(
    conn: Conn, user: User | None, ask: Ask, of: Of, weight: Weight = "failures", whole: Record | None = None
) -> list[Bar]:
    """What weighs most. Fault codes weigh by how often they were raised, without chatter.

    Args:
        whole: the record of `ask`, where it has been read.
    """
    record = stored.narrowed(whole or stored.record(conn, user, ask), ask)
    if of == "fault_code":
        return _codes(stored.raises(conn, record))
    units = {unit.id: unit for unit in record.units}
    weights: dict[str, float] = {}
    for event in record.inside():
        if event.is_failure(ask.count) and (weight == "failures" or event.visible):
            key = _key(event, units[event.device], of)
            weights[key] = weights.get(key, 0.0) + _weight(event, weight)
    names = labels(conn, of)
    return [
        Bar(
            row.name,
            *names.get(row.name, (row.name, row.name, "", ""))[:2],
            row.weight,
            row.share,
            row.running,
        )
        for row in pareto.pareto(weights)
    ]


def _key(event: Event, unit: Unit, of: Of) -> str:
    if of in ("component", "failure_mode"):
        name = event.component if of == "component" else event.mode
        return f"{unit.model}/{name}" if name else "-"
    if of == "cause":
        return event.cause or "-"
    return {"model": unit.model, "site": unit.site, "customer": unit.customer, "device": unit.uid}[of]


def _weight(event: Event, weight: Weight) -> float:
    if weight == "failures":
        return 1.0
    if weight == "repair_hours":
        return event.repair_hours or 0.0
    return (event.stop[1] - event.stop[0]) / timedelta(hours=1) if event.stop else 0.0


def _codes(found: list[dict[str, Any]]) -> list[Bar]:
    by_key = {f"{row['model']}/{row['code']}": row for row in found if row["raises"]}
    return [
        Bar(row.name, f"{of['code']} {of['name_en']}", f"{of['code']} {of['name_zh']}", row.weight, row.share,
            row.running, of["devices"])
        for row in pareto.pareto({key: row["raises"] for key, row in by_key.items()})
        if (of := by_key[row.name])
    ]  # fmt: skip
