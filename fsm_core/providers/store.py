"""What a service provider may see: the orders routed to it, and those its engineers have a visit of."""

from __future__ import annotations

from typing import Any

from kit.database import Conn, rows


def orders(conn: Conn, provider_id: int, *, limit: int = 200) -> list[dict[str, Any]]:
    """The provider's orders, the newest first, each with the engineer and state of its newest visit."""
    return rows(
        conn,
        """select o.id, o.number, o.state, o.priority, o.title_en, o.title_zh, o.opened_at, s.name as site,
                  v.id as visit_id, v.state as visit_state, v.technician_id, v.planned_start
           from fsm.work_order o
           join fsm.site s on s.id = o.site_id
           left join lateral (
               select v.* from fsm.visit v join fsm.technician t on t.id = v.technician_id
               where v.order_id = o.id and t.provider_id = %(provider)s order by v.id desc limit 1) v on true
           where o.provider_id = %(provider)s or v.id is not null
           order by o.opened_at desc, o.id desc limit %(limit)s""",
        {"provider": provider_id, "limit": limit},
    )


def technicians(conn: Conn, provider_id: int) -> list[dict[str, Any]]:
    """The provider's active engineers."""
    return rows(
        conn,
        "select id, name, skills, calendar from fsm.technician where provider_id = %s and active order by id",
        (provider_id,),
    )
