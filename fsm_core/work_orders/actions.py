"""The verbs of orders and visits. Each is one guarded UPDATE, one event row and its effects, in the caller's
transaction. Whoever moves anything of an order holds the order's row first, so moves of one order are one
after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fsm_core.actors import Actor
from fsm_core.work_orders import rules, store, visiting
from fsm_core.work_orders.effects import ORDER_EFFECTS, VISIT_EFFECTS, Moved
from fsm_core.work_orders.guards import ORDER_GUARDS, VISIT_GUARDS
from fsm_core.work_orders.notes import change_priority, file_codes, route, tick
from fsm_core.work_orders.opening import NewOrder, open_order
from fsm_core.work_orders.store import Entry, Visit, WorkOrder
from kit.database import Conn, columns, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotFound, NotReady, StaleVersion

__all__ = [
    "NewOrder", "VisitPlan", "change_priority", "file_codes", "move_order", "move_visit", "open_order", "plan_visit",
    "route", "tick",
]  # fmt: skip


@dataclass(frozen=True)
class VisitPlan:
    """Who goes when: leaves at `travel_start`, works from `planned_start` to `planned_end`."""

    technician_id: int
    travel_start: datetime
    planned_start: datetime
    planned_end: datetime
    travel_minutes: float = 0.0
    distance_km: float = 0.0
    planned_by: str = "manual"
    explanation: dict[str, Any] = field(default_factory=dict)


def move_order(
    conn: Conn,
    order_id: int,
    action: str,
    actor: Actor,
    at: datetime,
    *,
    reason: str | None = None,
    version: int | None = None,
) -> WorkOrder:
    """Apply one of `rules.ORDER_MOVES` (but "plan", which is `plan_visit`).

    Raises:
        NotFound: no such order, or not for this actor.
        Forbidden: the role may not, or the engineer has no visit of it.
        StaleVersion: `version` is not the present one.
        Conflict: the state or a guard does not allow it.
        Invalid: no such action, or a reason is missing.
    """
    order = store.get_for(conn, order_id, actor, lock=True)
    if action == "plan":
        raise Invalid("Planning needs an engineer and a time: use plan_visit.")
    _engineer_of(conn, order, actor)
    _current(order.number, order.version, version)
    move = rules.permit(rules.ORDER_MOVES, order.state, action, actor.role, reason)
    for guard in ORDER_GUARDS.get(action, ()):
        guard(conn, order)
    if action == "cancel":
        _drop_visit(conn, order, actor, at, reason)
    visit = store.open_visit(conn, order.id)
    target = move.target or rules.released_to(None if visit is None else visit.state)
    moved = store.set_order_state(conn, order, target, hold_reason=reason if target == "on_hold" else None)
    store.record(conn, order.id, Entry(action, order.state, target, reason=reason), actor, at)
    if effect := ORDER_EFFECTS.get(action):
        effect(conn, Moved(moved, None, actor, at, reason))
    return moved


def plan_visit(
    conn: Conn, order_id: int, plan: VisitPlan, actor: Actor, at: datetime, *, version: int | None = None
) -> Visit:
    """Give an accepted order to an engineer; the caller reserves parts in the same transaction.

    Raises:
        NotReady: the engineer is on another visit at that time, or not active.
        Forbidden, Conflict, StaleVersion, NotFound: as `move_order`.
    """
    order = store.get_for(conn, order_id, actor, lock=True)
    _current(order.number, order.version, version)
    rules.permit(rules.ORDER_MOVES, order.state, "plan", actor.role, None)
    _own_staff(conn, plan.technician_id, actor)
    visit = _insert_visit(conn, order, plan)
    moved = store.set_order_state(conn, order, "assigned")
    data = {"technician_id": visit.technician_id, "planned_start": visit.planned_start.isoformat()}
    store.record(conn, order.id, Entry("plan", None, "planned", visit.id, data=data), actor, at)
    store.record(conn, order.id, Entry("plan", order.state, moved.state), actor, at)
    return visit


def _insert_visit(conn: Conn, order: WorkOrder, plan: VisitPlan) -> Visit:
    if not plan.travel_start <= plan.planned_start < plan.planned_end:
        raise Invalid("A visit leaves, begins and ends in this order.")
    try:
        with conn.transaction():  # a savepoint: the refusal must not end the caller's transaction
            visit = (
                conn.cursor(row_factory=class_row(Visit))
                .execute(
                    f"""insert into fsm.visit (order_id, technician_id, travel_start, planned_start, planned_end,
                            travel_minutes, distance_km, planned_by, explanation)
                        values (%s, %s, %s, %s, %s, %s, %s, %s, %s) returning {columns(Visit)}""",
                    (order.id, plan.technician_id, plan.travel_start, plan.planned_start, plan.planned_end,
                     plan.travel_minutes, plan.distance_km, plan.planned_by, Jsonb(plan.explanation)),
                )
                .fetchone()
            )  # fmt: skip
    except psycopg.errors.ExclusionViolation as error:
        raise NotReady(
            f"The engineer has another visit between {plan.travel_start:%Y-%m-%d %H:%M} and "
            f"{plan.planned_end:%H:%M} UTC.",
            constraint="one_place_at_a_time",
            technician_id=plan.technician_id,
        ) from error
    assert visit is not None
    return visit


def move_visit(
    conn: Conn,
    visit_id: int,
    action: str,
    actor: Actor,
    at: datetime,
    *,
    reason: str | None = None,
    version: int | None = None,
    position: tuple[float, float] | None = None,
    qr_token: str | None = None,
) -> Visit:
    """Apply one of `rules.VISIT_MOVES`; the order follows.

    `position` is (latitude, longitude) in degrees. An engineer checks in with it or with the device's QR token.

    Raises:
        NotFound: no such visit, or it is another provider's.
        Forbidden: the role may not, or it is another engineer's visit.
        StaleVersion: `version` is not the present one.
        Conflict: the state, a hold or a guard does not allow it.
        Invalid: no such action, a reason is missing, or a check-in without position and QR token.
    """
    order = store.get_for(conn, store.get_visit(conn, visit_id).order_id, actor, lock=True)
    visit = store.get_visit(conn, visit_id)  # as it is now that nobody else moves it
    _own_visit(conn, visit, actor)
    _current(f"Visit {visit.id}", visit.version, version)
    move = rules.permit(rules.VISIT_MOVES, visit.state, action, actor.role, reason)
    if order.state == "on_hold" and not move.while_held:
        raise Conflict(f"{order.number} is on hold ({order.hold_reason}): release it first.", state="on_hold")
    for guard in VISIT_GUARDS.get(action, ()):
        guard(conn, order)
    assert move.target is not None, "only an order's release has no target of its own"
    place = visiting.check_in(conn, order, actor, position, qr_token) if action == "check_in" else {}
    progress = visiting.progress(visit, action, at, reason) | place
    visiting.note_position(conn, visit.technician_id, position, at)
    return _apply(
        conn,
        order,
        visit,
        Entry(action, visit.state, move.target, visit.id, reason, place),
        progress,
        actor,
        at,
    )


def _apply(
    conn: Conn,
    order: WorkOrder,
    visit: Visit,
    entry: Entry,
    progress: dict[str, Any],
    actor: Actor,
    at: datetime,
) -> Visit:
    moved = store.set_visit_state(conn, visit, entry.to_state, progress)
    store.record(conn, order.id, entry, actor, at)
    follows = rules.order_follows(order.state, entry.to_state)
    if follows != order.state:
        before, order = order.state, store.set_order_state(conn, order, follows)
        store.record(conn, order.id, Entry(entry.action, before, follows, reason=entry.reason), actor, at)
    if effect := VISIT_EFFECTS.get(entry.action):
        effect(conn, Moved(order, moved, actor, at, entry.reason))
    return moved


def _drop_visit(conn: Conn, order: WorkOrder, actor: Actor, at: datetime, reason: str | None) -> None:
    """The order is cancelled, and with it the visit under way."""
    visit = store.open_visit(conn, order.id)
    if visit is not None:
        store.set_visit_state(conn, visit, "cancelled", visiting.progress(visit, "cancel", at, reason))
        entry = Entry("cancel", visit.state, "cancelled", visit.id, reason)
        store.record(conn, order.id, entry, actor, at)


def _current(what: str, present: int, given: int | None) -> None:
    if given is not None and given != present:
        raise StaleVersion(
            f"{what} is at version {present}, not {given}: somebody changed it; read it again.",
            version=present,
        )


def _engineer_of(conn: Conn, order: WorkOrder, actor: Actor) -> None:
    if actor.role == "engineer" and not any(
        visit.technician_id == actor.technician_id for visit in store.visits(conn, order.id)
    ):
        raise Forbidden(f"{order.number} is not yours.")


def _own_visit(conn: Conn, visit: Visit, actor: Actor) -> None:
    if actor.role == "engineer" and visit.technician_id != actor.technician_id:
        raise Forbidden(f"Visit {visit.id} is another engineer's.")
    if actor.role == "provider" and _provider_of(conn, visit.technician_id) != actor.provider_id:
        raise NotFound(f"There is no visit {visit.id}.")


def _own_staff(conn: Conn, technician_id: int, actor: Actor) -> None:
    if not scalar(conn, "select active from fsm.technician where id = %s", (technician_id,)):
        raise NotReady(f"There is no active engineer {technician_id}.", technician_id=technician_id)
    if actor.role == "provider" and _provider_of(conn, technician_id) != actor.provider_id:
        raise NotFound(f"There is no engineer {technician_id}.")


def _provider_of(conn: Conn, technician_id: int) -> int | None:
    found: int | None = scalar(conn, "select provider_id from fsm.technician where id = %s", (technician_id,))
    return found
