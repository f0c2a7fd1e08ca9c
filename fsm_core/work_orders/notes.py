"""What is written on an order without moving it: checklist, codes, priority, the provider it is routed to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fsm_core.actors import Actor
from fsm_core.assets import entitlement
from fsm_core.sla import actions as sla
from fsm_core.work_orders import store
from fsm_core.work_orders.rules import ENDED
from fsm_core.work_orders.store import Entry, WorkOrder
from kit.database import Conn, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotFound

DESK = frozenset({"admin", "manager", "dispatcher", "system"})
FIELD = frozenset({"admin", "manager", "engineer", "system"})


def tick(conn: Conn, order_id: int, position: int, done: bool, actor: Actor, at: datetime) -> None:
    """Answer an item of the checklist.

    Raises:
        NotFound: no such order or item. Forbidden: not this actor's. Conflict: the order has ended.
    """
    order = _writable(conn, order_id, actor, FIELD)
    _not_ended(order)
    ticked = scalar(
        conn,
        "update fsm.checklist_item set done = %s where order_id = %s and position = %s returning position",
        (done, order_id, position),
    )
    if ticked is None:
        raise NotFound(f"{order.number} has no checklist item {position}.")
    _note(conn, order, "tick", {"position": position, "done": done}, actor, at)


def file_codes(
    conn: Conn, order_id: int, cause: str | None, remedy: str | None, note: str, actor: Actor, at: datetime
) -> WorkOrder:
    """File cause and remedy (codes of fsm.repair_code) and a note. A manager may correct them until the review;
    a cause that says misuse then takes the coverage away.

    Raises:
        Invalid: an unknown code. NotFound, Forbidden, Conflict: as `tick`.
    """
    order = _writable(conn, order_id, actor, FIELD)
    correcting = order.state == "work_done" and actor.role != "engineer"
    if not correcting:
        _not_ended(order)
    for kind, code in (("cause", cause), ("remedy", remedy)):
        if code is not None and not scalar(
            conn, "select 1 from fsm.repair_code where kind = %s and code = %s", (kind, code)
        ):
            raise Invalid(f"There is no {kind} code {code!r}.")
    changed = store.update_order(
        conn,
        order,
        cause_code=cause or order.cause_code,
        remedy_code=remedy or order.remedy_code,
        note=note or order.note,
    )
    _note(conn, changed, "codes", {"cause": cause, "remedy": remedy, "note": note}, actor, at)
    if correcting and cause is not None:
        entitlement.exclude_misuse(conn, order_id, cause, at)
    return changed


def change_priority(conn: Conn, order_id: int, priority: int, actor: Actor, at: datetime) -> WorkOrder:
    """Change the priority; the SLA counts anew from the opening.

    Raises:
        Invalid: not 1 to 4. NotFound, Forbidden, Conflict: as `tick`.
    """
    if priority not in (1, 2, 3, 4):
        raise Invalid(f"Priority {priority} does not exist; it is 1 (the most urgent) to 4.")
    order = _writable(conn, order_id, actor, DESK)
    _not_ended(order)
    if priority == order.priority:
        return order
    changed = store.update_order(conn, order, priority=priority)
    _note(conn, changed, "priority", {"from": order.priority, "to": priority}, actor, at)
    sla.retarget(conn, order_id, priority)
    return changed


def route(
    conn: Conn, order_id: int, provider_id: int | None, rule: str, actor: Actor, at: datetime
) -> WorkOrder:
    """Give an order to a provider (None: take it back); `rule` names why.

    Raises:
        NotFound, Forbidden, Conflict: as `tick`.
    """
    order = _writable(conn, order_id, actor, DESK)
    _not_ended(order)
    changed = store.update_order(conn, order, provider_id=provider_id)
    _note(conn, changed, "route", {"provider_id": provider_id, "rule": rule}, actor, at)
    return changed


def _writable(conn: Conn, order_id: int, actor: Actor, roles: Iterable[str]) -> WorkOrder:
    order = store.get_for(conn, order_id, actor, lock=True)
    if actor.role not in roles:
        raise Forbidden(f"A {actor.role} may not write this.")
    if actor.role == "engineer" and not any(
        visit.technician_id == actor.technician_id for visit in store.visits(conn, order_id)
    ):
        raise Forbidden(f"{order.number} is not yours.")
    return order


def _not_ended(order: WorkOrder) -> None:
    if order.state in ENDED:
        raise Conflict(f"{order.number} is {order.state}: nothing is written any more.", state=order.state)


def _note(
    conn: Conn, order: WorkOrder, action: str, data: dict[str, Any], actor: Actor, at: datetime
) -> None:
    entry = Entry(action, order.state, order.state, data=data)
    store.record(conn, order.id, entry, actor, at)
