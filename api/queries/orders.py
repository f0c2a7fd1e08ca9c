"""The orders board, and everything about one order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from api import scope
from api.accounts import User
from kit.database import Conn, one, rows
from kit.errors import NotFound

OPEN_STATES: Final = ("new", "accepted", "assigned", "confirmed", "in_progress", "on_hold", "work_done")


@dataclass(frozen=True)
class Filter:
    """What to list; empty fields do not filter. `after` is the id of the last order of the page before."""

    states: tuple[str, ...] = ()
    text: str = ""
    device_id: int | None = None
    customer_id: int | None = None
    technician_id: int | None = None
    sla: str = ""
    limit: int = 50
    after: int | None = None


# The clock that ends first says how urgent an order is; a missed one is remembered.
_SLA: Final = """
    left join lateral (
        select kind, due_at, started_at from fsm.sla_clock c
        where c.order_id = o.id and c.stopped_at is null order by due_at limit 1
    ) clock on o.state not in ('closed', 'cancelled', 'settled', 'reviewed', 'work_done')
    cross join lateral (
        select count(*) filter (where stopped_at is null and due_at < kit.now()) as late,
               count(*) filter (where stopped_at > due_at) as missed,
               count(*) as clocks
        from fsm.sla_clock c where c.order_id = o.id
    ) kept
    cross join lateral (select case
        when kept.clocks = 0 then 'none'
        when clock.kind is null then case when kept.missed > 0 then 'missed' else 'met' end
        when clock.due_at < kit.now() then 'late'
        when o.state = 'on_hold' and exists (select 1 from fsm.hold h where h.order_id = o.id
             and h.until_at is null and h.stops_sla) then 'paused'
        when kit.now() - clock.started_at > 0.75 * (clock.due_at - clock.started_at) then 'risk'
        else 'ok' end as state) sla
"""

_ROW: Final = """
    select o.id, o.number, o.type, o.state, o.version, o.source, o.priority, o.title_en, o.title_zh, o.opened_at,
           o.fault_at, o.failure_mode, o.component, o.hold_reason, o.repeat_of, o.skill, o.standard_hours,
           d.uid as device_uid, d.model, o.site_id, s.name as site, s.timezone, o.customer_id, c.name as customer,
           v.id as visit_id, v.state as visit_state, v.planned_start, v.technician_id, t.name as technician,
           clock.kind as sla_kind, clock.due_at as sla_due_at, sla.state as sla_state
"""
_FROM: Final = f"""
    from fsm.work_order o
    join fsm.site s on s.id = o.site_id
    join fsm.customer c on c.id = o.customer_id
    left join ingest.device d on d.id = o.device_id
    left join lateral (select * from fsm.visit where order_id = o.id order by id desc limit 1) v
        on v.state not in ('declined', 'cancelled', 'incomplete')
    left join fsm.technician t on t.id = v.technician_id
    {_SLA}
"""


def listing(conn: Conn, user: User, wanted: Filter) -> tuple[list[dict[str, Any]], int | None]:
    """One page, newest first, and the `after` of the next page (None: this is the last)."""
    found = rows(
        conn,
        f"""{_ROW} {_FROM}
            where {scope.orders(user)}
              and (cardinality(%(states)s::text[]) = 0 or o.state = any(%(states)s))
              and (%(device)s::int is null or o.device_id = %(device)s)
              and (%(customer)s::int is null or o.customer_id = %(customer)s)
              and (%(technician)s::int is null or exists (
                   select 1 from fsm.visit w where w.order_id = o.id and w.technician_id = %(technician)s))
              and (%(sla)s = '' or sla.state = %(sla)s)
              and (%(text)s = '' or concat_ws(' ', o.number, o.title_en, o.title_zh, d.uid, c.name, s.name, t.name)
                   ilike %(like)s)
              and (%(after)s::bigint is null or o.id < %(after)s)
            order by o.id desc limit %(limit)s + 1""",
        scope.params(user)
        | {
            "states": list(wanted.states),
            "device": wanted.device_id,
            "customer": wanted.customer_id,
            "technician": wanted.technician_id,
            "sla": wanted.sla,
            "text": wanted.text,
            "like": f"%{_escaped(wanted.text)}%",
            "after": wanted.after,
            "limit": wanted.limit,
        },
    )
    page = found[: wanted.limit]
    return page, page[-1]["id"] if len(found) > wanted.limit else None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def counts(conn: Conn, user: User) -> dict[str, int]:
    """How many orders there are in each state."""
    found = rows(
        conn,
        f"select o.state, count(*) as n from fsm.work_order o where {scope.orders(user)} group by 1",
        scope.params(user),
    )
    return {row["state"]: row["n"] for row in found}


def late(conn: Conn, user: User) -> int:
    """How many open orders are past a due time now."""
    found = one(
        conn,
        f"""select count(distinct o.id) as n from fsm.work_order o join fsm.sla_clock k on k.order_id = o.id
            where k.stopped_at is null and k.due_at < kit.now() and o.state = any(%(open)s) and {scope.orders(user)}""",
        scope.params(user) | {"open": list(OPEN_STATES)},
    )
    assert found is not None
    return int(found["n"])


def order(conn: Conn, user: User, order_id: int) -> dict[str, Any]:
    """The order's row with names.

    Raises:
        NotFound: it does not exist for this user.
    """
    found = one(
        conn,
        f"""{_ROW}, o.device_id, o.description, o.description_zh, o.provider_id, o.cause_code, o.remedy_code,
                   o.note, o.solution_id,
                   y.name_en as type_en, y.name_zh as type_zh, y.needs_signature, y.needs_codes, y.needs_checklist,
                   m.name_en as failure_en, m.name_zh as failure_zh, c.currency,
                   sol.name_en as solution_en, sol.name_zh as solution_zh, r.number as repeat_number,
                   cause.name_en as cause_en, cause.name_zh as cause_zh,
                   remedy.name_en as remedy_en, remedy.name_zh as remedy_zh
            {_FROM}
            join fsm.order_type y on y.code = o.type
            left join ingest.failure_mode m on m.model = d.model and m.code = o.failure_mode
            left join fsm.solution sol on sol.id = o.solution_id
            left join fsm.work_order r on r.id = o.repeat_of
            left join fsm.repair_code cause on cause.kind = 'cause' and cause.code = o.cause_code
            left join fsm.repair_code remedy on remedy.kind = 'remedy' and remedy.code = o.remedy_code
            where o.id = %(id)s and {scope.orders(user)}""",
        scope.params(user) | {"id": order_id},
    )
    if found is None:
        raise NotFound(f"There is no work order {order_id}.")
    return found
