"""The pages of analytics: honesty of the alarms, rules, models, costs, and whether an order follows from the rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response

from analytics import costs, tuning
from analytics.rules_text import write
from api import scope
from api.accounts import User
from api.console import scores, timeline
from api.console.render import back_to, language_of, page, present
from api.console.rules_form import FormFields, costs_of, period_of, rules_of, told
from api.deps import CallDep, State, Tx, state
from api.idempotency import once
from api.permissions import may, require
from api.queries import analytics as reads
from api.queries import orders
from api.routes.analytics import TUNING, period
from api.text import words
from kit import clock

router = APIRouter(include_in_schema=False)
Reader = Annotated[User, Depends(require("analytics.read"))]
Own = Annotated[State, Depends(state)]
Text = Annotated[str, Form(max_length=4000)]


@router.get("/analytics")
def start(user: Reader) -> Response:
    """To the first of the pages."""
    return back_to("/analytics/alarms")


@router.get("/analytics/alarms")
def alarms(
    request: Request, conn: Tx, user: Reader, own: Own, model: str = "", since: str = "", until: str = ""
) -> HTMLResponse:
    """How far each rule can be trusted, what the alarms are like, and what might be set better."""
    t, usual = words(language_of(request, user)), period(conn, None, None)
    first, last = period_of(since, until, own.settings.timezone, usual)
    found = reads.honesty(conn, *period(conn, first, last), model or None)
    return page(
        request, "alarms.html", user, present(conn)[0],
        found=found, model=model, since=since, until=until, types=reads.types(conn), names=reads.names(conn),
        daily=timeline.daily(t, found["daily"], own.settings.timezone), share=timeline.share,
        strips=[timeline.strip(t, one) for one in found["proposals"]],
        tomls=[write(one["try_rules"]) for one in found["proposals"]],
        may_tune=may(user, "analytics.tune"),
    )  # fmt: skip


@router.get("/analytics/rules")
def rules(request: Request, conn: Tx, user: Reader) -> HTMLResponse:
    """What is in force, a field for everything that may be set, and the history."""
    t = words(language_of(request, user))
    return page(
        request, "rules.html", user, present(conn)[0],
        found=reads.rules(conn), may_tune=may(user, "analytics.tune"), written=write,
        told=lambda differing: told(t, differing),
    )  # fmt: skip


@router.post("/analytics/rules", dependencies=TUNING)
def change_rules(call: CallDep, fields: FormFields) -> Response:
    """Put the form's rules in force."""

    def act() -> None:
        based_on = int(fields.get("based_on", "0"))
        tuning.change(
            call.conn, rules_of(fields), call.user.name, note=fields.get("note", ""), based_on=based_on
        )

    once(call, act)
    return back_to("/analytics/rules")


@router.post("/analytics/rules/revert", dependencies=TUNING)
def revert(
    call: CallDep, change: Annotated[int, Form(ge=0)], based_on: Annotated[int, Form(ge=0)]
) -> Response:
    """Back to an earlier change."""

    def act() -> None:
        tuning.revert(call.conn, change, call.user.name, based_on=based_on)

    once(call, act)
    return back_to("/analytics/rules")


@router.get("/analytics/models")
def models(request: Request, conn: Tx, user: Reader, own: Own) -> HTMLResponse:
    """The versions by device type and component."""
    t = words(language_of(request, user))
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in reads.models(conn):
        groups.setdefault((row["model"], row["component"], row["kind"]), []).append(row)
    return page(
        request, "models.html", user, present(conn)[0], groups=sorted(groups.items()), names=reads.types(conn),
        scored=lambda version: scores.lines(t, version["scores"], own.settings.timezone),
    )  # fmt: skip


@router.get("/analytics/costs")
def all_costs(request: Request, conn: Tx, user: Reader) -> HTMLResponse:
    """What events cost on each device type, and who changed it when."""
    return page(
        request, "costs.html", user, present(conn)[0],
        prices=reads.prices(conn), history=costs.history(conn), may_tune=may(user, "analytics.tune"),
    )  # fmt: skip


@router.post("/analytics/costs/{model}", dependencies=TUNING)
def change_costs(model: str, call: CallDep, fields: FormFields) -> Response:
    """Change them, or go back to the defaults."""

    def act() -> None:
        price = None if "defaults" in fields else costs_of(fields, [model]).get(model)
        costs.change(call.conn, model, price, call.user.name, fields.get("note", ""))

    once(call, act)
    return back_to("/analytics/costs")


@router.get("/orders/{order_id}/explanation")
def explanation(request: Request, order_id: int, conn: Tx, user: Reader) -> HTMLResponse:
    """Work the cause out again from the stored rows."""
    scope.order(conn, user, order_id)
    return page(
        request, "explanation.html", user, clock.load(conn),
        order=orders.order(conn, user, order_id), found=reads.explanation(conn, order_id), names=reads.names(conn),
    )  # fmt: skip
