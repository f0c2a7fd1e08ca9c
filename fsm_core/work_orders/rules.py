"""The state machines of orders and visits, as data. Pure.

A machine is a table `action → Move(sources, target, roles)`. Up to work_done the order's state follows from
its visits (`FOLLOWS`); the order's own moves are in `ORDER_MOVES`. The store applies a move as one guarded
UPDATE and one event row; `replay` folds the events back to the states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kit.errors import Conflict, Forbidden, Invalid

ORDER_STATES: Final = (
    "new", "accepted", "assigned", "confirmed", "in_progress", "on_hold", "work_done", "reviewed", "settled",
    "closed", "cancelled",
)  # fmt: skip
VISIT_STATES: Final = (
    "planned", "confirmed", "declined", "traveling", "on_site", "working", "paused", "done", "incomplete",
    "cancelled",
)  # fmt: skip
OPEN_VISIT: Final = frozenset({"planned", "confirmed", "traveling", "on_site", "working", "paused"})
ENDED: Final = frozenset({"work_done", "reviewed", "settled", "closed", "cancelled"})
"""States in which nobody works on the order any more."""

_DESK = frozenset({"admin", "manager", "dispatcher", "system"})
_PLAN = _DESK | {"provider"}
_FIELD = frozenset({"admin", "engineer", "system"})
_ANSWER = _FIELD | {"provider"}
_BEFORE_DONE = frozenset({"new", "accepted", "assigned", "confirmed", "in_progress", "on_hold"})


@dataclass(frozen=True)
class Move:
    """One row of a state machine.

    Attributes:
        sources: states it may start from.
        target: state it leads to; None: the one that follows from the visits.
        roles: who may; whose visit or order it must be is checked besides.
        while_held: a visit's move that is allowed while its order is on hold.
        needs_reason: the caller must say why.
    """

    sources: frozenset[str]
    target: str | None
    roles: frozenset[str]
    while_held: bool = False
    needs_reason: bool = False


def _move(sources: str, target: str | None, roles: Iterable[str], **flags: bool) -> Move:
    return Move(frozenset(sources.split()), target, frozenset(roles), **flags)


ORDER_MOVES: Final[Mapping[str, Move]] = {
    "accept": _move("new", "accepted", _DESK),
    "plan": _move("accepted", "assigned", _PLAN),
    "hold": _move(
        "accepted assigned confirmed in_progress", "on_hold", _DESK | {"engineer"}, needs_reason=True
    ),
    "release": _move("on_hold", None, _DESK | {"engineer"}),
    "cancel": Move(_BEFORE_DONE, "cancelled", _DESK, needs_reason=True),
    "review": _move("work_done", "reviewed", {"admin", "manager"}),
    "reopen": _move("work_done reviewed", "accepted", {"admin", "manager", "system"}, needs_reason=True),
    "settle": _move("reviewed", "settled", {"admin", "finance", "system"}),
    "close": _move("settled", "closed", {"admin", "manager", "finance", "system"}),
}

VISIT_MOVES: Final[Mapping[str, Move]] = {
    "confirm": _move("planned", "confirmed", _ANSWER),
    "decline": _move("planned", "declined", _ANSWER, while_held=True, needs_reason=True),
    "withdraw": _move("planned confirmed", "cancelled", _PLAN, while_held=True, needs_reason=True),
    "travel": _move("confirmed", "traveling", _FIELD),
    "check_in": _move("traveling", "on_site", _FIELD),
    "start": _move("on_site", "working", _FIELD),
    "pause": _move("working", "paused", _FIELD, while_held=True, needs_reason=True),
    "resume": _move("paused", "working", _FIELD),
    "finish": _move("working", "done", _FIELD),
    "incomplete": _move(
        "traveling on_site working paused", "incomplete", _FIELD, while_held=True, needs_reason=True
    ),
}

FOLLOWS: Final[Mapping[str, str]] = {
    "planned": "assigned",
    "confirmed": "confirmed",
    "traveling": "confirmed",
    "on_site": "in_progress",
    "working": "in_progress",
    "paused": "in_progress",
    "done": "work_done",
    "declined": "accepted",
    "incomplete": "accepted",
    "cancelled": "accepted",
}
"""The order's state that follows from the state of the visit that moved."""


def order_follows(order_state: str, visit_state: str) -> str:
    """The order's state after its visit has moved: on hold it stays there until it is released."""
    return order_state if order_state == "on_hold" else FOLLOWS[visit_state]


def released_to(open_visit: str | None) -> str:
    """Where an order goes when its hold ends: to what its open visit says; back to the pool when it has none."""
    return "accepted" if open_visit is None else FOLLOWS[open_visit]


def allowed(moves: Mapping[str, Move], state: str, role: str) -> list[str]:
    """What that role may do in this state, sorted."""
    return sorted(name for name, move in moves.items() if state in move.sources and role in move.roles)


def permit(moves: Mapping[str, Move], state: str, action: str, role: str, reason: str | None) -> Move:
    """The move, when this role may do it in this state.

    Raises:
        Invalid: no such action, or it needs a reason.
        Forbidden: not with this role.
        Conflict: not in this state; the details name what is allowed.
    """
    move = moves.get(action)
    if move is None:
        raise Invalid(f"{action!r} is not an action; it is one of {', '.join(moves)}.")
    if role not in move.roles:
        raise Forbidden(f"A {role} may not {action.replace('_', ' ')}; {_either(move.roles)} may.")
    if state not in move.sources:
        names = allowed(moves, state, role)
        raise Conflict(
            f"It is {state}: {action.replace('_', ' ')} is possible only from {_either(move.sources)}. "
            f"Now possible: {', '.join(names) or 'nothing'}.",
            state=state,
            allowed=names,
        )
    if move.needs_reason and not (reason and reason.strip()):
        raise Invalid(f"Say why: {action.replace('_', ' ')} needs a reason.")
    return move


def _either(names: Iterable[str]) -> str:
    return " or ".join(sorted(names))


@dataclass(frozen=True)
class Event:
    """One row of the event log, as far as states are concerned."""

    subject: str
    visit_id: int | None
    from_state: str | None
    to_state: str


@dataclass
class Replayed:
    """What the log says the states are."""

    order: str | None = None
    visits: dict[int, str] = field(default_factory=dict)


def replay(events: Iterable[Event]) -> Replayed:
    """Fold an order's events, oldest first.

    Raises:
        ValueError: an event does not start where the one before it ended.
    """
    states = Replayed()
    for event in events:
        if event.subject == "order":
            _continues(states.order, event)
            states.order = event.to_state
        else:
            assert event.visit_id is not None
            _continues(states.visits.get(event.visit_id), event)
            states.visits[event.visit_id] = event.to_state
    return states


def _continues(state: str | None, event: Event) -> None:
    if state != event.from_state:
        raise ValueError(f"the log breaks: {event} follows a state of {state!r}")
