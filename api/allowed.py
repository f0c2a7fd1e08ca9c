"""Which actions the interface offers: the state machines' rows for this role and state. The domain checks again."""

from __future__ import annotations

from typing import Any, Final

from api.accounts import User
from fsm_core.work_orders.rules import ORDER_MOVES, VISIT_MOVES

# In the order in which buttons stand: the way forward first.
_ORDER: Final = ("accept", "release", "review", "settle", "close", "hold", "reopen", "cancel")
_VISIT: Final = (
    "confirm", "travel", "check_in", "start", "resume", "finish", "pause", "incomplete", "decline", "withdraw",
)  # fmt: skip


def order_actions(user: User, order: dict[str, Any]) -> list[str]:
    """Moves of an order that this user may make now."""
    return [
        action
        for action in _ORDER
        if user.role in ORDER_MOVES[action].roles and order["state"] in ORDER_MOVES[action].sources
    ]


def may_plan(user: User, order: dict[str, Any]) -> bool:
    """Whether this user may assign an engineer now."""
    move = ORDER_MOVES["plan"]
    return user.role in move.roles and order["state"] in move.sources


def visit_actions(user: User, visit: dict[str, Any], order_state: str) -> list[str]:
    """Moves of a visit that this user may make now; an engineer and a provider only of their own."""
    if user.role == "engineer" and visit["technician_id"] != user.technician_id:
        return []
    if user.role == "provider" and visit["provider_id"] != user.provider_id:
        return []
    return [
        action
        for action in _VISIT
        if user.role in VISIT_MOVES[action].roles
        and visit["state"] in VISIT_MOVES[action].sources
        and (order_state != "on_hold" or VISIT_MOVES[action].while_held)
    ]


def needs_reason(action: str, subject: str) -> bool:
    """Whether an action wants to know why."""
    moves = ORDER_MOVES if subject == "order" else VISIT_MOVES
    return moves[action].needs_reason
