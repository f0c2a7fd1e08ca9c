"""The forms behind the buttons: each does one thing and returns to the page it came from."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response
from pydantic import ValidationError

from api import intake, verbs
from api.console.render import back_to
from api.deps import Call, CallDep
from api.idempotency import once
from api.permissions import require
from api.routes.orders import ACTING
from api.schemas.requests import NewOrder
from kit.errors import Invalid, NotFound

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=4000)]
Version = Annotated[int | None, Form()]
PARTS = [Depends(require("parts.use"))]


def _done(call: Call, back: str, act: Callable[[], Any]) -> Response:
    """Do it once for a form's key, then show the page again."""

    def do() -> dict[str, str]:
        return {"back": act() or back}

    return back_to(once(call, do)["back"])


@router.post("/orders/new", dependencies=[Depends(require("orders.open"))])
def open_order(
    call: CallDep,
    title: Text,
    back: Text = "/orders",
    description: Text = "",
    type: Text = "repair",
    priority: Annotated[int | None, Form()] = None,
    device: Text = "",
    site: Annotated[str, Form()] = "",
) -> Response:
    """A new request."""
    try:
        wanted = NewOrder(
            type=type, source="desk", device_uid=device.strip() or None, title=title.strip(), priority=priority,
            description=description, site_id=int(site) if site.isdigit() else None, failure_mode=None, fault_at=None,
        )  # fmt: skip
    except ValidationError as error:
        raise Invalid(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error
    return _done(call, back, lambda: f"/orders/{intake.take_in(call, wanted).order.id}")


@router.post("/orders/{order_id}/do/{action}", dependencies=ACTING)
def move_order(
    order_id: int,
    action: str,
    call: CallDep,
    back: Text = "/orders",
    reason: Text = "",
    version: Version = None,
) -> Response:
    """Move an order."""
    if action not in verbs.ORDER_ACTIONS:
        raise NotFound(f"There is no action {action!r} of an order.")
    given = verbs.Given(reason.strip() or None, version)
    return _done(call, back, lambda: verbs.move_order(call, order_id, action, given))


@router.post("/visits/{visit_id}/do/{action}", dependencies=ACTING)
def move_visit(
    visit_id: int,
    action: str,
    call: CallDep,
    back: Text = "/my",
    reason: Text = "",
    version: Version = None,
    latitude: Text = "",
    longitude: Text = "",
    qr_token: Text = "",
) -> Response:
    """Move a visit."""
    position = (_degrees(latitude), _degrees(longitude)) if latitude and longitude else None
    given = verbs.Given(reason.strip() or None, version, position, qr_token.strip() or None)

    def act() -> None:
        verbs.move_visit(call, visit_id, action, given)

    return _done(call, back, act)


def _degrees(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no position in degrees") from error


@router.post("/orders/{order_id}/assign", dependencies=[Depends(require("dispatch"))])
def assign(
    order_id: int, call: CallDep, technician_id: Annotated[int, Form()], back: Text = "/orders"
) -> Response:
    """Send somebody, as early as they can."""

    def act() -> None:
        verbs.assign(call, order_id, technician_id, None)

    return _done(call, back, act)


@router.post("/visits/{visit_id}/use", dependencies=PARTS)
def consume(
    visit_id: int,
    call: CallDep,
    part_id: Annotated[int, Form()],
    quantity: Annotated[Decimal, Form(gt=0)],
    back: Text = "/my",
    serial: Text = "",
) -> Response:
    """Use a part."""

    def act() -> None:
        verbs.consume(call, visit_id, part_id, quantity, serial.strip() or None)

    return _done(call, back, act)


@router.post("/orders/{order_id}/return", dependencies=PARTS)
def return_old(
    order_id: int,
    call: CallDep,
    part_id: Annotated[int, Form()],
    quantity: Annotated[Decimal, Form(gt=0)],
    back: Text = "/my",
) -> Response:
    """Hand replaced parts back."""
    return _done(call, back, lambda: verbs.return_old(call, order_id, part_id, quantity))


@router.post("/orders/{order_id}/tick", dependencies=ACTING)
def tick(
    order_id: int,
    call: CallDep,
    position: Annotated[int, Form()],
    done: Annotated[bool, Form()],
    back: Text = "/my",
) -> Response:
    """Tick or untick an item."""
    return _done(call, back, lambda: verbs.tick(call, order_id, position, done))


@router.post("/orders/{order_id}/file", dependencies=ACTING)
def codes(
    order_id: int, call: CallDep, cause: Text, remedy: Text, back: Text = "/my", note: Text = ""
) -> Response:
    """File cause and remedy."""
    return _done(call, back, lambda: verbs.file_codes(call, order_id, cause, remedy, note))


@router.post("/orders/{order_id}/draft", dependencies=ACTING)
def draft(order_id: int, call: CallDep, back: Text = "/my") -> Response:
    """Write the report."""
    return _done(call, back, lambda: verbs.draft_report(call, order_id))


@router.post("/orders/{order_id}/sign", dependencies=ACTING)
def sign(
    order_id: int,
    call: CallDep,
    signed_by: Annotated[str, Form(min_length=1, max_length=100)],
    signature: Annotated[str, Form(max_length=200_000)] = "",
    back: Text = "/my",
) -> Response:
    """The customer's signature."""
    if len(signature) < 2:
        raise Invalid("The signature is empty: sign in the box first.")
    return _done(call, back, lambda: verbs.sign(call, order_id, signed_by.strip(), signature))
