"""Work orders: list, read, open, move."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api import intake, scope, verbs
from api.accounts import User
from api.deps import CallDep, Tx
from api.detail import order_detail
from api.idempotency import once
from api.permissions import require
from api.queries import orders
from api.schemas.common import Page
from api.schemas.orders import Opened, OrderDetail, OrderRow
from api.schemas.requests import Act, Codes, NewOrder, ReturnOld, Signature, Tick

router = APIRouter(prefix="/api/orders", tags=["orders"])
Reader = Annotated[User, Depends(require("orders.read"))]
ACTING = [Depends(require("orders.act"))]

OrderAction = StrEnum("OrderAction", {action: action for action in verbs.ORDER_ACTIONS})  # type: ignore[misc]


def split(values: list[str]) -> tuple[str, ...]:
    """`?state=new&state=accepted` and `?state=new,accepted` are the same."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@router.get("", response_model=Page[OrderRow])
def listing(
    conn: Tx,
    user: Reader,
    state: Annotated[list[str], Query(description="one or more states")] = [],  # noqa: B006 - FastAPI copies it
    q: Annotated[
        str, Query(max_length=100, description="in number, title, device, customer, site, engineer")
    ] = "",
    sla: Annotated[str, Query(pattern="^(|none|ok|risk|late|paused|met|missed)$")] = "",
    device: Annotated[str | None, Query(description="a device's uid")] = None,
    technician_id: int | None = None,
    customer_id: int | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: int | None = None,
) -> dict[str, Any]:
    """Orders that exist for you, newest first."""
    items, following = orders.listing(
        conn,
        user,
        orders.Filter(
            states=split(state),
            text=q.strip(),
            sla=sla,
            device_id=scope.device(conn, user, device) if device else None,
            customer_id=customer_id,
            technician_id=technician_id,
            limit=limit,
            after=after,
        ),
    )
    return {"items": items, "next": following}


@router.post("", response_model=Opened, status_code=201, dependencies=[Depends(require("orders.open"))])
def open_order(body: NewOrder, call: CallDep) -> Any:
    """Take in a request; the SLA clocks start now."""

    def act() -> dict[str, Any]:
        taken = intake.take_in(call, body)
        return order_detail(call.conn, call.user, taken.order.id) | {"duplicates": taken.duplicates}

    return once(call, act)


@router.get("/{order_id}", response_model=OrderDetail)
def read(order_id: int, conn: Tx, user: Reader) -> dict[str, Any]:
    """Everything about one order."""
    return order_detail(conn, user, order_id)


@router.post("/{order_id}/codes", response_model=OrderDetail, dependencies=ACTING)
def codes(order_id: int, body: Codes, call: CallDep) -> Any:
    """File the repair under a cause and a remedy."""

    def act() -> dict[str, Any]:
        verbs.file_codes(call, order_id, body.cause, body.remedy, body.note)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


@router.post("/{order_id}/report", response_model=OrderDetail, dependencies=ACTING)
def report(order_id: int, call: CallDep) -> Any:
    """Write the service report from the order as it is now: a new version."""

    def act() -> dict[str, Any]:
        verbs.draft_report(call, order_id)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


@router.post("/{order_id}/signature", response_model=OrderDetail, dependencies=ACTING)
def signature(order_id: int, body: Signature, call: CallDep) -> Any:
    """The customer's signature below the newest report."""

    def act() -> dict[str, Any]:
        verbs.sign(call, order_id, body.signed_by, body.signature)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


@router.post(
    "/{order_id}/return-old", response_model=OrderDetail, dependencies=[Depends(require("parts.use"))]
)
def return_old(order_id: int, body: ReturnOld, call: CallDep) -> Any:
    """Replaced parts handed back."""

    def act() -> dict[str, Any]:
        verbs.return_old(call, order_id, body.part_id, body.quantity)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


@router.post("/{order_id}/checklist/{position}", response_model=OrderDetail, dependencies=ACTING)
def checklist(order_id: int, position: int, body: Tick, call: CallDep) -> Any:
    """Tick or untick an item."""

    def act() -> dict[str, Any]:
        verbs.tick(call, order_id, position, body.done)
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)


@router.post("/{order_id}/{action}", response_model=OrderDetail, dependencies=ACTING)
def move(order_id: int, action: OrderAction, call: CallDep, body: Act | None = None) -> Any:
    """Move an order. `hold`, `cancel` and `reopen` need a reason."""
    given = body or Act.model_validate({})

    def act() -> dict[str, Any]:
        verbs.move_order(call, order_id, str(action), verbs.Given(given.reason, given.version))
        return order_detail(call.conn, call.user, order_id)

    return once(call, act)
