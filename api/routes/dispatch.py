"""Whom to send."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api import scope, verbs
from api.accounts import User
from api.deps import CallDep, Tx
from api.detail import order_detail
from api.idempotency import once
from api.permissions import require
from api.schemas.common import Listing
from api.schemas.orders import Candidate, OrderDetail
from api.schemas.requests import Assign
from fsm_core.dispatch import actions as dispatch
from kit import clock
from kit.database import Conn
from kit.errors import NotFound

router = APIRouter(prefix="/api/orders", tags=["dispatch"])
Dispatcher = Annotated[User, Depends(require("dispatch"))]


@router.get("/{order_id}/candidates", response_model=Listing[Candidate])
def candidates(order_id: int, conn: Tx, user: Dispatcher) -> dict[str, Any]:
    """Every engineer for this order: the earliest feasible visit, or the reasons against."""
    scope.order(conn, user, order_id)
    return {"items": own_candidates(conn, user, order_id, clock.now(conn))}


def own_candidates(conn: Conn, user: User, order_id: int, at: datetime) -> list[dispatch.Candidate]:
    """A provider's own engineers, everybody for the others."""
    found = dispatch.candidates(conn, order_id, at)
    return [one for one in found if _is_own(conn, user, one.technician_id)]


def _is_own(conn: Conn, user: User, technician_id: int) -> bool:
    return user.role != "provider" or scope.is_own_technician(conn, user, technician_id)


@router.post("/{order_id}/assign", response_model=OrderDetail)
def assign(order_id: int, body: Assign, call: CallDep, user: Dispatcher) -> Any:
    """Plan a visit and reserve its parts in one transaction; what stands against it is named (409 not_ready)."""

    def act() -> dict[str, Any]:
        if not _is_own(call.conn, user, body.technician_id):
            raise NotFound(f"There is no engineer {body.technician_id}.")
        verbs.assign(call, order_id, body.technician_id, body.start)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)
