"""The board of orders, one order, a new request."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from api import allowed
from api.accounts import User
from api.console import evidence
from api.console.render import language_of, page, present
from api.deps import Tx
from api.detail import order_detail
from api.permissions import may, require
from api.queries import orders, sites
from api.routes.dispatch import own_candidates
from api.text import words
from fsm_core.work_orders.rules import ORDER_STATES

router = APIRouter(include_in_schema=False)
Reader = Annotated[User, Depends(require("orders.read"))]
SLA_STATES = ("late", "risk", "ok", "paused", "met", "missed")
PAGE = 50


@router.get("/orders")
def board(
    request: Request,
    conn: Tx,
    user: Reader,
    state: Annotated[str, Query(max_length=20)] = "open",
    sla: Annotated[str, Query(max_length=20)] = "",
    q: Annotated[str, Query(max_length=100)] = "",
    after: int | None = None,
) -> HTMLResponse:
    """Filterable; the open ones first thing."""
    states = orders.OPEN_STATES if state == "open" else (state,) if state in ORDER_STATES else ()
    wanted = orders.Filter(
        states=states, text=q.strip(), sla=sla if sla in SLA_STATES else "", limit=PAGE, after=after
    )
    items, following = orders.listing(conn, user, wanted)
    counts = orders.counts(conn, user)
    return page(
        request, "orders.html", user, present(conn)[0],
        items=items, counts=counts, late=orders.late(conn, user), state=state, sla=sla, q=q, after=after,
        open_count=sum(counts.get(name, 0) for name in orders.OPEN_STATES),
        states=ORDER_STATES, sla_states=SLA_STATES, may_open=may(user, "orders.open"),
        next_page="?" + urlencode({"state": state, "sla": sla, "q": q, "after": following}) if following else None,
    )  # fmt: skip


@router.get("/orders/new")
def new(
    request: Request, conn: Tx, user: Annotated[User, Depends(require("orders.open"))], device: str = ""
) -> HTMLResponse:
    """The form of a request."""
    return page(
        request, "order_new.html", user, present(conn)[0], device=device, sites=sites.listing(conn, user)
    )


@router.get("/orders/{order_id}")
def one(order_id: int, request: Request, conn: Tx, user: Reader) -> HTMLResponse:
    """Everything about one order."""
    detail = order_detail(conn, user, order_id)
    ticking, now = present(conn)
    t = words(language_of(request, user))
    planning = allowed.may_plan(user, detail["order"])
    return page(
        request, "order.html", user, ticking, **detail,
        why=evidence.story(t, detail["order"], detail["evidence"]),
        charts=evidence.charts(conn, t, detail["order"], detail["evidence"], now),
        candidates=own_candidates(conn, user, order_id, now) if planning else [],
        history=_told_once(detail["events"]),
    )  # fmt: skip


def _told_once(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log without the order's own line where it only follows its visit."""
    before: dict[str, Any] | None = None
    told = []
    for event in events:
        follows = before is not None and event["subject"] == "order" and before["subject"] == "visit"
        if not (follows and before and (before["action"], before["at"]) == (event["action"], event["at"])):
            told.append(event)
        before = event
    return told
