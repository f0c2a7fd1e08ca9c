"""Lists of orders for people: filtered, newest first, with names and the state of the promise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fsm_core.actors import Actor
from kit.database import Conn, rows


@dataclass(frozen=True)
class OrderFilter:
    """Which orders. What is None does not filter.

    Attributes:
        text: in the number, the titles, the device's uid or serial, the site or the customer.
        after: the id of the last row of the page before.
    """

    states: tuple[str, ...] | None = None
    customer_id: int | None = None
    device_id: int | None = None
    technician_id: int | None = None
    provider_id: int | None = None
    text: str | None = None
    limit: int = 50
    after: int | None = None

    @classmethod
    def scope(cls, actor: Actor, **values: Any) -> OrderFilter:
        """A filter that shows nobody more than exists for them: customers, providers and engineers their own."""
        own: dict[str, Any] = {}
        if actor.role == "customer":
            own["customer_id"] = actor.customer_id or -1
        elif actor.role == "provider":
            own["provider_id"] = actor.provider_id or -1
        elif actor.role == "engineer":
            own["technician_id"] = actor.technician_id or -1
        return cls(**(values | own))


def listing(conn: Conn, which: OrderFilter) -> list[dict[str, Any]]:
    """Rows with id, number, type, state, version, priority, titles, times, device uid, site, customer, technician,
    and the SLA: sla_kind and sla_due_at of the next clock that runs, sla_breached when any was missed.
    """
    values = asdict(which) | {
        "states": list(which.states) if which.states is not None else None,
        "like": None if not which.text else f"%{_literal(which.text)}%",
    }
    return rows(
        conn,
        """select o.id, o.number, o.type, o.state, o.version, o.source, o.priority, o.title_en, o.title_zh,
               o.fault_at, o.opened_at, o.hold_reason, o.skill, o.failure_mode, o.repeat_of, o.provider_id,
               o.device_id, r.uid as device_uid, o.site_id, s.name as site_name, o.customer_id,
               c.name as customer_name, v.id as visit_id, v.state as visit_state, v.planned_start,
               v.technician_id, t.name as technician_name,
               k.kind as sla_kind, k.due_at as sla_due_at, coalesce(b.breached, false) as sla_breached
           from fsm.work_order o
           join fsm.site s on s.id = o.site_id
           join fsm.customer c on c.id = o.customer_id
           left join fsm.device d on d.id = o.device_id
           left join ingest.device r on r.id = o.device_id
           left join lateral (select * from fsm.visit where order_id = o.id order by id desc limit 1) v on true
           left join fsm.technician t on t.id = v.technician_id
           left join lateral (select kind, due_at from fsm.sla_clock where order_id = o.id and stopped_at is null
                              order by due_at limit 1) k on true
           left join lateral (select bool_or(coalesce(stopped_at, kit.now()) > due_at) as breached
                              from fsm.sla_clock where order_id = o.id) b on true
           where (%(states)s::text[] is null or o.state = any(%(states)s))
             and (%(customer_id)s::int is null or o.customer_id = %(customer_id)s)
             and (%(device_id)s::int is null or o.device_id = %(device_id)s)
             and (%(technician_id)s::int is null or exists (
                 select from fsm.visit w where w.order_id = o.id and w.technician_id = %(technician_id)s))
             and (%(provider_id)s::int is null or o.provider_id = %(provider_id)s or exists (
                 select from fsm.visit w join fsm.technician x on x.id = w.technician_id
                 where w.order_id = o.id and x.provider_id = %(provider_id)s))
             and (%(like)s::text is null or o.number ilike %(like)s or o.title_en ilike %(like)s
                  or o.title_zh ilike %(like)s or r.uid ilike %(like)s or d.serial ilike %(like)s
                  or s.name ilike %(like)s or c.name ilike %(like)s)
             and (%(after)s::bigint is null or o.id < %(after)s)
           order by o.id desc limit %(limit)s""",
        values,
    )


def _literal(text: str) -> str:
    """Text that ILIKE takes as it stands."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
