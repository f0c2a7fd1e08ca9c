"""The engineer's phone: my visits, and one visit with everything to do on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from api import scope
from api.accounts import User
from api.console.render import page, present
from api.deps import Tx
from api.detail import order_detail, with_actions
from api.permissions import require
from api.queries import order_parts, visits
from fsm_core.work_orders.rules import OPEN_VISIT
from kit.errors import Forbidden, NotFound

router = APIRouter(include_in_schema=False)
Reader = Annotated[User, Depends(require("visits.read"))]
STEPS: Final = ("planned", "confirmed", "traveling", "on_site", "working", "done")
FORWARD: Final = ("confirm", "travel", "check_in", "start", "resume", "finish")
ENDED_LATELY: Final = timedelta(hours=20)


@router.get("/my")
def mine(request: Request, conn: Tx, user: Reader) -> HTMLResponse:
    """Open visits, the next first; what was done today below."""
    if user.technician_id is None:
        raise Forbidden("This page is for engineers.")
    ticking, now = present(conn)
    open_ones = visits.listing(conn, user, visits.Filter(technician_id=user.technician_id))
    lately = visits.Filter(
        technician_id=user.technician_id, start=now - ENDED_LATELY, states=("done", "incomplete")
    )
    return page(
        request, "my.html", user, ticking,
        visits=open_ones, earlier=visits.listing(conn, user, lately)[::-1],
    )  # fmt: skip


@router.get("/my/{visit_id}")
def one(visit_id: int, request: Request, conn: Tx, user: Reader) -> HTMLResponse:
    """One visit."""
    order_id = scope.visit(conn, user, visit_id)
    found = visits.listing(conn, user, visits.Filter(order_id=order_id))
    visit = next((row for row in found if row["id"] == visit_id), None)
    if visit is None:
        raise NotFound(f"There is no visit {visit_id}.")
    detail = order_detail(conn, user, order_id)
    actions: list[str] = with_actions(user, visit)["actions"]
    forward = next((action for action in actions if action in FORWARD), None)
    return page(
        request, "visit.html", user, present(conn)[0], **(detail | {"actions": []}),
        visit=visit, forward=forward, others=[action for action in actions if action != forward],
        step=_step(visit["state"]), steps=STEPS, codes=order_parts.repair_codes(conn),
        at_work=visit["state"] in ("on_site", "working", "paused"), is_open=visit["state"] in OPEN_VISIT,
    )  # fmt: skip


def _step(state: str) -> int:
    shown: dict[str, Any] = {"paused": "working", "incomplete": "done"}
    return STEPS.index(shown.get(state, state)) if shown.get(state, state) in STEPS else 0
