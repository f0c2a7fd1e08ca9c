"""What a person can do to an order or a visit: the actions of fsm_core with the right user, scope and parts moves.

The REST routes and the console's forms both come here, so that they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from api import scope
from api.deps import Call
from fsm_core.dispatch import actions as dispatch
from fsm_core.parts import actions as parts
from fsm_core.reports import actions as reports
from fsm_core.settlement import actions as settlement
from fsm_core.work_orders import actions as work_orders
from fsm_core.work_orders.rules import ORDER_MOVES, VISIT_MOVES
from kit.errors import Invalid

ORDER_ACTIONS = tuple(action for action in ORDER_MOVES if action != "plan")  # plan: through assign


@dataclass(frozen=True)
class Given:
    """What comes with an action; `version` guards against acting on an old page."""

    reason: str | None = None
    version: int | None = None
    position: tuple[float, float] | None = None
    qr_token: str | None = None


def move_order(call: Call, order_id: int, action: str, given: Given) -> None:
    """accept, hold, release, cancel, review, reopen, settle, close."""
    scope.order(call.conn, call.user, order_id)
    if action == "settle":
        settlement.settle(call.conn, order_id, call.actor, call.at)
        return
    work_orders.move_order(
        call.conn, order_id, action, call.actor, call.at, reason=given.reason, version=given.version
    )


def move_visit(call: Call, visit_id: int, action: str, given: Given) -> int:
    """One of VISIT_MOVES; returns the order's id. Who leaves takes along what is reserved in a warehouse."""
    order_id = scope.visit(call.conn, call.user, visit_id)
    if action not in VISIT_MOVES:
        raise Invalid(f"{action!r} is no action of a visit; it is one of {', '.join(VISIT_MOVES)}")
    moved = work_orders.move_visit(
        call.conn,
        visit_id,
        action,
        call.actor,
        call.at,
        reason=given.reason,
        version=given.version,
        position=given.position,
        qr_token=given.qr_token,
    )
    if action == "travel":
        packer = replace(call.actor, role="system")  # the reservation was approved with the visit
        parts.issue(call.conn, order_id, moved.technician_id, packer, call.at)
    return order_id


def assign(call: Call, order_id: int, technician_id: int, start: datetime | None) -> int:
    """Plan a visit with its parts; returns the visit's id."""
    scope.order(call.conn, call.user, order_id)
    return dispatch.assign(call.conn, order_id, technician_id, call.actor, call.at, start=start).id


def consume(call: Call, visit_id: int, part_id: int, quantity: Decimal, serial: str | None) -> int:
    """Use a part on a visit; returns the order's id."""
    order_id = scope.visit(call.conn, call.user, visit_id)
    parts.consume(call.conn, visit_id, part_id, quantity, call.actor, call.at, serial=serial)
    return order_id


def return_old(call: Call, order_id: int, part_id: int, quantity: Decimal) -> None:
    """Declare replaced parts as handed back."""
    scope.order(call.conn, call.user, order_id)
    parts.return_old(call.conn, order_id, part_id, quantity, call.actor, call.at)


def tick(call: Call, order_id: int, position: int, done: bool) -> None:
    """Tick or untick a checklist item."""
    scope.order(call.conn, call.user, order_id)
    work_orders.tick(call.conn, order_id, position, done, call.actor, call.at)


def file_codes(call: Call, order_id: int, cause: str, remedy: str, note: str) -> None:
    """File the repair under cause and remedy."""
    scope.order(call.conn, call.user, order_id)
    work_orders.file_codes(call.conn, order_id, cause, remedy, note, call.actor, call.at)


def draft_report(call: Call, order_id: int) -> None:
    """Write the service report from the order as it is now."""
    scope.order(call.conn, call.user, order_id)
    reports.draft(call.conn, order_id, call.actor, call.at)


def sign(call: Call, order_id: int, signed_by: str, signature: str) -> None:
    """Bind the customer's signature to the newest report."""
    scope.order(call.conn, call.user, order_id)
    reports.sign(call.conn, order_id, signed_by, signature, call.actor, call.at)
