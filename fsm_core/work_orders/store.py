"""Work orders, visits and their event log in SQL. Nothing here decides; `actions` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fsm_core.actors import Actor
from fsm_core.work_orders.listing import OrderFilter, listing
from fsm_core.work_orders.rules import OPEN_VISIT
from kit.database import Conn, columns, one, rows, scalar
from kit.errors import NotFound, StaleVersion

__all__ = [
    "Entry", "OrderFilter", "Visit", "WorkOrder", "checklist", "close_episodes", "events", "find", "get", "get_for",
    "get_visit", "listing", "open_visit", "order_type", "record", "set_order_state", "set_visit_state",
    "update_order", "visible", "visits",
]  # fmt: skip


@dataclass(frozen=True)
class WorkOrder:
    """A row of fsm.work_order: the promise."""

    id: int
    number: str
    type: str
    state: str
    version: int
    source: str
    device_id: int | None
    site_id: int
    customer_id: int
    provider_id: int | None
    failure_mode: str | None
    component: str | None
    solution_id: int | None
    priority: int
    title_en: str
    title_zh: str
    description: str
    description_zh: str
    fault_at: datetime
    opened_at: datetime
    skill: str | None
    standard_hours: Decimal
    repeat_of: int | None
    hold_reason: str | None
    cause_code: str | None
    remedy_code: str | None
    note: str
    request_key: str | None


@dataclass(frozen=True)
class Visit:
    """A row of fsm.visit: one trip of one engineer."""

    id: int
    order_id: int
    technician_id: int
    state: str
    version: int
    travel_start: datetime
    planned_start: datetime
    planned_end: datetime
    travel_minutes: float
    distance_km: float
    planned_by: str
    explanation: dict[str, Any]
    confirmed_at: datetime | None
    traveling_at: datetime | None
    on_site_at: datetime | None
    site_distance_m: float | None
    working_at: datetime | None
    working_since: datetime | None
    ended_at: datetime | None
    worked_minutes: float
    decline_reason: str | None


@dataclass(frozen=True)
class Entry:
    """One move, as it goes into the event log."""

    action: str
    from_state: str | None
    to_state: str
    visit_id: int | None = None
    reason: str | None = None
    data: Mapping[str, Any] | None = None


def find(conn: Conn, order_id: int, *, lock: bool = False) -> WorkOrder | None:
    """The order, or None. `lock`: nobody else moves it or its visits until the transaction ends."""
    query = f"select {columns(WorkOrder)} from fsm.work_order where id = %s"
    cursor = conn.cursor(row_factory=class_row(WorkOrder))
    return cursor.execute(query + (" for no key update" if lock else ""), (order_id,)).fetchone()


def get(conn: Conn, order_id: int, *, lock: bool = False) -> WorkOrder:
    """The order.

    Raises:
        NotFound: there is none.
    """
    order = find(conn, order_id, lock=lock)
    if order is None:
        raise NotFound(f"There is no work order {order_id}.")
    return order


def get_visit(conn: Conn, visit_id: int) -> Visit:
    """The visit.

    Raises:
        NotFound: there is none.
    """
    cursor = conn.cursor(row_factory=class_row(Visit))
    visit = cursor.execute(f"select {columns(Visit)} from fsm.visit where id = %s", (visit_id,)).fetchone()
    if visit is None:
        raise NotFound(f"There is no visit {visit_id}.")
    return visit


def visits(conn: Conn, order_id: int) -> list[Visit]:
    """The order's visits, oldest first."""
    cursor = conn.cursor(row_factory=class_row(Visit))
    return cursor.execute(
        f"select {columns(Visit)} from fsm.visit where order_id = %s order by id", (order_id,)
    ).fetchall()


def open_visit(conn: Conn, order_id: int) -> Visit | None:
    """The visit that is planned or under way; the index allows one."""
    return next((visit for visit in visits(conn, order_id) if visit.state in OPEN_VISIT), None)


def events(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The order's log, oldest first."""
    return rows(
        conn,
        """select id, order_id, visit_id, at, actor, action, subject, from_state, to_state, reason, data
           from fsm.work_order_event where order_id = %s order by id""",
        (order_id,),
    )


def record(conn: Conn, order_id: int, entry: Entry, actor: Actor, at: datetime) -> None:
    """Append one row to the event log."""
    conn.execute(
        """insert into fsm.work_order_event (order_id, visit_id, at, actor, action, subject, from_state, to_state,
               reason, data) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (order_id, entry.visit_id, at, actor.id, entry.action, "order" if entry.visit_id is None else "visit",
         entry.from_state, entry.to_state, entry.reason, Jsonb(dict(entry.data or {}))),
    )  # fmt: skip


def set_order_state(conn: Conn, order: WorkOrder, state: str, *, hold_reason: str | None = None) -> WorkOrder:
    """The guarded UPDATE: only from the state and version that were read.

    Raises:
        StaleVersion: somebody moved it meanwhile.
    """
    moved = (
        conn.cursor(row_factory=class_row(WorkOrder))
        .execute(
            f"""update fsm.work_order set state = %s, hold_reason = %s, version = version + 1
                where id = %s and version = %s and state = %s returning {columns(WorkOrder)}""",
            (state, hold_reason, order.id, order.version, order.state),
        )
        .fetchone()
    )
    if moved is None:
        raise StaleVersion(f"{order.number} was changed meanwhile; read it again.")
    return moved


def update_order(conn: Conn, order: WorkOrder, **values: Any) -> WorkOrder:
    """Set priority, component, codes, note or provider of an order; guarded by its version.

    Raises:
        StaleVersion: somebody changed it meanwhile.
    """
    new = {name: getattr(order, name) for name in _EDITABLE} | values
    changed = (
        conn.cursor(row_factory=class_row(WorkOrder))
        .execute(
            f"""update fsm.work_order set priority = %(priority)s, component = %(component)s,
                    cause_code = %(cause_code)s, remedy_code = %(remedy_code)s, note = %(note)s,
                    provider_id = %(provider_id)s, version = version + 1
                where id = %(id)s and version = %(version)s returning {columns(WorkOrder)}""",
            new | {"id": order.id, "version": order.version},
        )
        .fetchone()
    )
    if changed is None:
        raise StaleVersion(f"{order.number} was changed meanwhile; read it again.")
    return changed


_EDITABLE = ("priority", "component", "cause_code", "remedy_code", "note", "provider_id")

_PROGRESS = (
    "confirmed_at", "traveling_at", "on_site_at", "site_distance_m", "working_at", "working_since", "ended_at",
    "worked_minutes", "decline_reason",
)  # fmt: skip


def set_visit_state(conn: Conn, visit: Visit, state: str, progress: Mapping[str, Any]) -> Visit:
    """The guarded UPDATE of a visit; `progress` are new values of its time stamps and figures.

    Raises:
        StaleVersion: somebody moved it meanwhile.
    """
    new = {name: getattr(visit, name) for name in _PROGRESS} | dict(progress)
    moved = (
        conn.cursor(row_factory=class_row(Visit))
        .execute(
            f"""update fsm.visit set state = %(new_state)s, version = version + 1, confirmed_at = %(confirmed_at)s,
                    traveling_at = %(traveling_at)s, on_site_at = %(on_site_at)s, ended_at = %(ended_at)s,
                    site_distance_m = %(site_distance_m)s, working_at = %(working_at)s,
                    working_since = %(working_since)s, worked_minutes = %(worked_minutes)s,
                    decline_reason = %(decline_reason)s
                where id = %(id)s and version = %(version)s and state = %(state)s returning {columns(Visit)}""",
            new | {"new_state": state, "id": visit.id, "version": visit.version, "state": visit.state},
        )
        .fetchone()
    )
    if moved is None:
        raise StaleVersion(f"Visit {visit.id} was changed meanwhile; read it again.")
    return moved


def checklist(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The checklist: position, text_en, text_zh, done (None: not answered)."""
    return rows(
        conn,
        "select position, text_en, text_zh, done from fsm.checklist_item where order_id = %s order by position",
        (order_id,),
    )


def visible(conn: Conn, order: WorkOrder, actor: Actor) -> bool:
    """Whether this order exists for that actor: a customer's own, a provider's own, everything for the others."""
    if actor.role == "customer":
        return actor.customer_id == order.customer_id
    if actor.role != "provider" or actor.provider_id is None:
        return actor.role != "provider"
    return order.provider_id == actor.provider_id or bool(
        scalar(
            conn,
            """select exists (select from fsm.visit v join fsm.technician t on t.id = v.technician_id
               where v.order_id = %s and t.provider_id = %s)""",
            (order.id, actor.provider_id),
        )
    )


def get_for(conn: Conn, order_id: int, actor: Actor, *, lock: bool = False) -> WorkOrder:
    """The order as far as it exists for that actor.

    Raises:
        NotFound: there is none, or it is another customer's or provider's.
    """
    order = find(conn, order_id, lock=lock)
    if order is None or not visible(conn, order, actor):
        raise NotFound(f"There is no work order {order_id}.")
    return order


def close_episodes(conn: Conn, order_id: int, at: datetime) -> None:
    """The order has ended, so its episodes have."""
    conn.execute(
        "update fsm.episode set closed_at = %s where order_id = %s and closed_at is null", (at, order_id)
    )


def order_type(conn: Conn, code: str) -> dict[str, Any]:
    """Names and guards of an order type.

    Raises:
        NotFound: there is none of that code.
    """
    found = one(conn, "select * from fsm.order_type where code = %s", (code,))
    if found is None:
        raise NotFound(f"There is no order type {code!r}.")
    return found
