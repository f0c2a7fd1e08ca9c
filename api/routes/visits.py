"""Visits: an engineer's day, and each step of a trip."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api import verbs
from api.accounts import User
from api.deps import CallDep, Tx
from api.detail import order_detail, with_actions
from api.idempotency import once
from api.permissions import require
from api.queries import visits
from api.routes.orders import ACTING, split
from api.schemas.common import Listing
from api.schemas.orders import OrderDetail, Visit
from api.schemas.requests import Act, Consume
from fsm_core.work_orders.rules import VISIT_MOVES
from kit.errors import Invalid

router = APIRouter(prefix="/api/visits", tags=["visits"])
VisitAction = StrEnum("VisitAction", {action: action for action in VISIT_MOVES})  # type: ignore[misc]


def technician(value: str | None, user: User) -> int | None:
    """`me` is the engineer who asks."""
    if value is None or value == "":
        return None
    if value == "me":
        if user.technician_id is None:
            raise Invalid(f"technician_id=me is for engineers; {user.login} is {user.role}")
        return user.technician_id
    if not value.isdigit():
        raise Invalid(f"technician_id={value!r} is not a number, nor `me`")
    return int(value)


@router.get("", response_model=Listing[Visit])
def listing(
    conn: Tx,
    user: Annotated[User, Depends(require("visits.read"))],
    technician_id: Annotated[str | None, Query(description="a number, or `me`")] = None,
    start: Annotated[datetime | None, Query(alias="from")] = None,
    end: Annotated[datetime | None, Query(alias="to")] = None,
    state: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> dict[str, Any]:
    """By planned start; without a period and states, the open ones."""
    wanted = visits.Filter(
        technician_id=technician(technician_id, user), start=start, end=end, states=split(state), limit=limit
    )
    return {"items": [with_actions(user, visit) for visit in visits.listing(conn, user, wanted)]}


@router.post("/{visit_id}/consume", response_model=OrderDetail, dependencies=[Depends(require("parts.use"))])
def consume(visit_id: int, body: Consume, call: CallDep) -> Any:
    """Use a part that was reserved or issued for the order."""

    def act() -> dict[str, Any]:
        order_id = verbs.consume(call, visit_id, body.part_id, body.quantity, body.serial)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


@router.post("/{visit_id}/{action}", response_model=OrderDetail, dependencies=ACTING)
def move(visit_id: int, action: VisitAction, call: CallDep, body: Act | None = None) -> Any:
    """Move a visit; a check-in carries the position where it is known."""
    given = body or Act.model_validate({})

    def act() -> dict[str, Any]:
        order_id = verbs.move_visit(call, visit_id, str(action), _given(given))
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


def _given(body: Act) -> verbs.Given:
    if (body.latitude is None) != (body.longitude is None):
        raise Invalid("latitude and longitude come together, or neither")
    position = None
    if body.latitude is not None and body.longitude is not None:
        position = (body.latitude, body.longitude)
    return verbs.Given(body.reason, body.version, position, body.qr_token)
