"""What-if: ask for a backtest, watch it, compare, and put its rules in force."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response

from analytics import rules_text, tuning
from analytics.whatif import store as backtests
from api.accounts import User
from api.console import real_orders, timeline
from api.console.render import back_to, language_of, page, present
from api.console.rules_form import FormFields, costs_of, day_of, period_of, rules_of, told
from api.deps import CallDep, State, Tx, state
from api.idempotency import once
from api.permissions import may, require
from api.queries import analytics as reads
from api.routes.analytics import TUNING, apply_backtest, period
from api.text import Words, words

router = APIRouter(include_in_schema=False, prefix="/analytics/backtests")
Reader = Annotated[User, Depends(require("analytics.read"))]
Own = Annotated[State, Depends(state)]


@router.get("")
def listing(request: Request, conn: Tx, user: Reader, after: int | None = None) -> HTMLResponse:
    """What was tried, the newest first."""
    found = backtests.listing(conn, limit=30, after=after)
    return page(
        request, "backtests.html", user, present(conn)[0],
        found=found, after=found[-1]["id"] if len(found) == 30 else None, may_tune=may(user, "analytics.tune"),
        busy=any(one["state"] in backtests.OPEN for one in found),
    )  # fmt: skip


@router.get("/new", dependencies=TUNING)
def new(
    request: Request, conn: Tx, user: Reader, rules: str | None = None, again: int | None = None
) -> HTMLResponse:
    """The form: as in force, as proposed (`rules`, TOML), or as an earlier one tried (`again`)."""
    earlier = backtests.get(conn, again) if again is not None else None
    start, end = (earlier.period_from, earlier.period_to) if earlier else period(conn, None, None)
    changed = earlier.rules if earlier else None if rules is None else rules_text.read(rules)
    return page(
        request, "backtest_new.html", user, present(conn)[0],
        found=reads.rules(conn, changed), start=start, end=end, title=earlier.title if earlier else "",
        prices=reads.prices(conn), costs=earlier.costs if earlier else {}, may_tune=True,
        train_from=earlier.train_from if earlier else None,
    )  # fmt: skip


@router.post("", dependencies=TUNING)
def ask(call: CallDep, fields: FormFields, own: Own) -> Response:
    """Queue it and show it."""

    def act() -> dict[str, int]:
        start, end = period_of(
            fields.get("since", ""),
            fields.get("until", ""),
            own.settings.timezone,
            period(call.conn, None, None),
        )
        models = [row["model"] for row in reads.prices(call.conn)]
        return {"id": backtests.request(
            call.conn, start, end, rules_of(fields), costs_of(fields, models), call.user.name, fields.get("title", ""),
            train_from=day_of(fields.get("train_from", ""), own.settings.timezone),
        )}  # fmt: skip

    return back_to(f"/analytics/backtests/{once(call, act)['id']}")


@router.get("/{backtest_id}")
def one(request: Request, backtest_id: int, conn: Tx, user: Reader, own: Own) -> HTMLResponse:
    """How far it is, and what came of it."""
    found, t = reads.backtest(conn, backtest_id), words(language_of(request, user))
    newest = tuning.history(conn, limit=1)
    drawn: tuple[Any, int] = ("", 0)
    if found["result"]:
        drawn = timeline.draw(
            t, found["result"], found["period_from"], found["period_to"], own.settings.timezone
        )
    return page(
        request, "backtest.html", user, present(conn)[0],
        found=found, chart=drawn[0], more=drawn[1], toml=rules_text.write(found["rules"]), sign=timeline.mark,
        version=newest[0].id if newest else 0, names=reads.names(conn), types=reads.types(conn),
        may_tune=may(user, "analytics.tune"), busy=found["state"] in backtests.OPEN,
        spoke=_spoke(found["result"] or {}), told=told(t, found["rules"]),
        concluded=_concluded(t, found["result"] or {}),
    )  # fmt: skip


def _concluded(t: Words, result: dict[str, Any]) -> list[str]:
    """Nothing of a result from before the fates of the real orders were kept."""
    real = result.get("real", {})
    return real_orders.concluded(t, real) if "listed" in real else []


def _spoke(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(Device type, component) of every failure model that spoke on either side."""
    sides = result.get("predictions", {}).values()
    return sorted({(one["model"], one["component"]) for side in sides for one in side})


@router.post("/{backtest_id}/cancel", dependencies=TUNING)
def cancel(backtest_id: int, call: CallDep) -> Response:
    """End it."""
    once(call, lambda: backtests.cancel(call.conn, backtest_id, call.user.name))
    return back_to(f"/analytics/backtests/{backtest_id}")


@router.post("/{backtest_id}/apply", dependencies=TUNING)
def apply(backtest_id: int, call: CallDep, based_on: Annotated[int, Form(ge=0)]) -> Response:
    """Put its rules in force."""
    once(call, lambda: apply_backtest(call, backtest_id, based_on))
    return back_to("/analytics/rules")
