"""Visits: of an engineer, of a day, of an order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api import scope
from api.accounts import User
from fsm_core.work_orders.rules import OPEN_VISIT
from kit.database import Conn, rows

_ROW: Final = """
    select v.id, v.order_id, v.technician_id, t.name as technician, t.provider_id, v.state, v.version, v.travel_start,
           v.planned_start, v.planned_end, v.travel_minutes, v.distance_km, v.planned_by, v.explanation,
           v.confirmed_at, v.traveling_at, v.on_site_at, v.site_distance_m, v.working_at, v.ended_at,
           v.worked_minutes, v.decline_reason,
           o.number, o.state as order_state, o.type, o.priority, o.title_en, o.title_zh, o.standard_hours,
           d.uid as device_uid, s.name as site, s.address, s.latitude, s.longitude, s.timezone, s.phone,
           s.contact, c.name as customer
    from fsm.visit v
    join fsm.technician t on t.id = v.technician_id
    join fsm.work_order o on o.id = v.order_id
    join fsm.site s on s.id = o.site_id
    join fsm.customer c on c.id = o.customer_id
    left join ingest.device d on d.id = o.device_id
"""


@dataclass(frozen=True)
class Filter:
    """Which visits: open ones by default, or those of a period, of a technician, in some states."""

    technician_id: int | None = None
    order_id: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    states: tuple[str, ...] = ()
    limit: int = 500


def listing(conn: Conn, user: User, wanted: Filter) -> list[dict[str, Any]]:
    """By planned start. Without a period, an order or states: the open ones."""
    anything = wanted.states or wanted.order_id or wanted.start or wanted.end
    states = wanted.states if anything else tuple(sorted(OPEN_VISIT))
    return rows(
        conn,
        f"""{_ROW} where {scope.visits(user)}
              and (%(technician)s::int is null or v.technician_id = %(technician)s)
              and (%(order)s::bigint is null or v.order_id = %(order)s)
              and (%(start)s::timestamptz is null or greatest(v.planned_end, v.ended_at) >= %(start)s)
              and (%(end)s::timestamptz is null or v.travel_start < %(end)s)
              and (cardinality(%(states)s::text[]) = 0 or v.state = any(%(states)s))
            order by v.planned_start, v.id limit %(limit)s""",
        scope.params(user)
        | {
            "technician": wanted.technician_id,
            "order": wanted.order_id,
            "start": wanted.start,
            "end": wanted.end,
            "states": list(states),
            "limit": wanted.limit,
        },
    )


def of_order(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """All visits of an order that the caller may see, oldest first."""
    return rows(conn, f"{_ROW} where v.order_id = %s order by v.id", (order_id,))
