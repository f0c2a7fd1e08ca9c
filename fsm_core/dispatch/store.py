"""What a round reads: waiting orders, open visits, free stock. All of one moment when read in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString

from psycopg.rows import class_row

from kit.database import Conn, one, rows

NEWS: LiteralString = """action in ('accept', 'priority', 'route', 'reopen', 'release', 'cancel', 'decline', 'withdraw',
    'incomplete', 'finish')"""
"""Events after which an order may be planned that could not be before."""
_OPEN: LiteralString = "('planned', 'confirmed', 'traveling', 'on_site', 'working', 'paused')"


@dataclass(frozen=True)
class Waiting:
    """An order that wants a visit.

    Attributes:
        due_at: when work must have begun, by the promise to arrive, else by that to complete; None: no promise.
        parts: what it expects and has not yet reserved, by sku.
    """

    id: int
    number: str
    version: int
    priority: int
    skill: str | None
    minutes: int
    latitude: float
    longitude: float
    provider_id: int | None
    due_at: datetime | None
    parts: dict[str, float]


@dataclass(frozen=True)
class Booked:
    """An open visit."""

    id: int
    order_id: int
    technician_id: int
    state: str
    planned_by: str
    priority: int
    travel_start: datetime
    planned_start: datetime
    planned_end: datetime
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Stock:
    """What nobody has reserved, by sku: in each technician's van, and in all warehouses together."""

    vans: dict[int, dict[str, float]] = field(default_factory=dict)
    warehouse: dict[str, float] = field(default_factory=dict)


def waiting(conn: Conn, *order_ids: int) -> list[Waiting]:
    """Accepted orders without an open visit, by urgency; or the orders named, whatever their state."""
    return (
        conn.cursor(row_factory=class_row(Waiting))
        .execute(
            """select o.id, o.number, o.version, o.priority, o.skill, ceil(o.standard_hours * 60)::int as minutes,
                      s.latitude, s.longitude, o.provider_id,
                      coalesce(arrive.due_at, complete.due_at - o.standard_hours * interval '1 hour') as due_at,
                      coalesce((select jsonb_object_agg(p.sku, x.expected - x.consumed - x.reserved)
                                from fsm.order_part x join fsm.part p on p.id = x.part_id
                                where x.order_id = o.id and x.expected > x.consumed + x.reserved), '{}') as parts
               from fsm.work_order o
               join fsm.site s on s.id = o.site_id
               left join fsm.sla_clock arrive
                   on arrive.order_id = o.id and arrive.kind = 'arrive' and arrive.stopped_at is null
               left join fsm.sla_clock complete
                   on complete.order_id = o.id and complete.kind = 'complete' and complete.stopped_at is null
               where case when cardinality(%(ids)s::bigint[]) = 0 then o.state = 'accepted'
                          else o.id = any(%(ids)s) end
               order by o.priority, due_at nulls last, o.id""",
            {"ids": list(order_ids)},
        )
        .fetchall()
    )


def booked(conn: Conn) -> list[Booked]:
    """All open visits, by technician and time."""
    return (
        conn.cursor(row_factory=class_row(Booked))
        .execute(
            f"""select v.id, v.order_id, v.technician_id, v.state, v.planned_by, o.priority, v.travel_start,
                       v.planned_start, v.planned_end, s.latitude, s.longitude
                from fsm.visit v join fsm.work_order o on o.id = v.order_id join fsm.site s on s.id = o.site_id
                where v.state in {_OPEN} order by v.technician_id, v.travel_start"""
        )
        .fetchall()
    )


def free_stock(conn: Conn) -> Stock:
    """What vans and warehouses can still give."""
    stock = Stock(defaultdict(dict), defaultdict(float))
    for row in rows(
        conn,
        """select l.kind, l.technician_id, p.sku, sum(b.on_hand - b.reserved) as free
           from fsm.stock_balance b join fsm.location l on l.id = b.location_id join fsm.part p on p.id = b.part_id
           where l.kind in ('van', 'warehouse') and b.on_hand > b.reserved
           group by l.kind, l.technician_id, p.sku""",
    ):
        if row["kind"] == "warehouse":
            stock.warehouse[row["sku"]] += float(row["free"])
        elif row["technician_id"] is not None:
            stock.vans[row["technician_id"]][row["sku"]] = float(row["free"])
    return stock


def held(conn: Conn, order_ids: Sequence[int]) -> list[dict[str, Any]]:
    """What these orders have reserved: order_id, kind, technician_id (of a van), sku, quantity."""
    return rows(
        conn,
        """select r.order_id, l.kind, l.technician_id, p.sku, (r.quantity - r.used)::float8 as quantity
           from fsm.reservation r join fsm.location l on l.id = r.location_id join fsm.part p on p.id = r.part_id
           where r.state = 'open' and r.order_id = any(%s) and l.kind in ('van', 'warehouse')""",
        (list(order_ids),),
    )


def pulse(conn: Conn) -> dict[str, Any]:
    """A figure that changes when a round could find something new, and whether any order is waiting at all."""
    found = one(
        conn,
        """select exists (select from fsm.work_order where state = 'accepted') as waiting,
                  exists (select from fsm.work_order where state = 'accepted' and priority = 1) as urgent,
                  (select max(id) from fsm.work_order_event where """
        + NEWS
        + """) as event,
                  (select max(id) from fsm.stock_move) as move,
                  (select count(*) from fsm.absence) as absences,
                  (select count(*) from fsm.technician where active) as technicians""",
    )
    assert found is not None
    return found
