"""The reliability engineer's pages: the table of groups, and one group in full."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from analytics.reliability.rates import Mtbf, mtbf_of
from analytics.reliability.record import ITEMS
from api.accounts import User
from api.console import lifeplots
from api.console import reliability_form as form
from api.console.lifecharts import Axis, interval, logarithmic
from api.console.render import language_of, page, present
from api.deps import State, Tx, state
from api.permissions import may, require
from api.queries import reliability
from api.queries import reliability_ranking as ranks
from api.queries import reliability_record as stored
from api.queries.reliability import Table
from api.queries.reliability_ranking import Weight
from api.text import Words, words

router = APIRouter(include_in_schema=False, prefix="/reliability")
Reader = Annotated[User, Depends(require("reliability"))]
Own = Annotated[State, Depends(state)]
RANKINGS: Final = ("failure_mode", "component", "cause", "fault_code", "site", "device")
MOST = 12  # rows of a Pareto


@router.get("")
def overview(request: Request, conn: Tx, user: Reader, own: Own) -> HTMLResponse:
    """Groups with their figures, what fails most, how failures recur."""
    zone = own.settings.timezone
    ask, t = form.asked(request.query_params, zone), words(language_of(request, user))
    whole = stored.record(conn, user, ask)  # read once for all three
    found = reliability.table(conn, user, ask, whole)
    of, weight = _ranking(request)
    bars = ranks.ranking(conn, user, ask, of, weight, whole)
    recurring = reliability.growth(conn, user, ask, whole=whole)
    return page(
        request, "reliability.html", user, present(conn)[0],
        ask=ask, found=found, choices=reliability.choices(conn, user), kinds=reliability.KINDS, items=ITEMS, where=zone,
        shown=form.shown(ask, zone), link=form.linker(ask, zone), intervals=_intervals(t, found),
        overall=_overall(found), bars=bars[:MOST], more=len(bars) - MOST, of=of, weight=weight, rankings=RANKINGS,
        weights=get_args(Weight), recurring=recurring, growth_plot=lifeplots.growth(t, recurring),
        mcf_plot=lifeplots.recurrence(t, recurring),
    )  # fmt: skip


def _ranking(request: Request) -> tuple[Any, Any]:
    of, weight = request.query_params.get("of", ""), request.query_params.get("weight", "")
    return (of if of in RANKINGS else "failure_mode"), (weight if weight in get_args(Weight) else "failures")


def _overall(found: Table) -> Mtbf | None:
    return mtbf_of([found.hours], [found.failures], found.ask.level)[0]


def _intervals(t: Words, found: Table) -> dict[str, Markup]:
    """Estimate and bounds of each group, on one scale."""
    rates = {row.figures.key: row.figures.mtbf for row in found.items if row.figures.mtbf is not None}
    if not rates:
        return {}
    scale = _scale(list(rates.values()))
    return {
        key: interval(
            rate.lower, rate.value, rate.upper, scale,
            t("reliability.interval_label", low=f"{rate.lower:,.0f}", high=f"{rate.upper:,.0f}" if rate.upper else "∞"),
        )
        for key, rate in rates.items()
    }  # fmt: skip


def _scale(rates: list[Mtbf]) -> Axis:
    """From the lowest bound to four times the highest estimate: a bound of one failure would squeeze all others."""
    values = [rate.value or rate.lower for rate in rates]
    return logarithmic("", min(rate.lower for rate in rates), 4 * max(values))


@router.get("/group")
def group(request: Request, conn: Tx, user: Reader, own: Own) -> HTMLResponse:
    """One group: its lives or why it has none, its recurrence, the failures behind the figures."""
    zone = own.settings.timezone
    query = request.query_params
    ask, key, t = form.asked(query, zone), query.get("key", ""), words(language_of(request, user))
    costs = form.costs(query)
    found = reliability.group(conn, user, ask, key, costs)
    recurring = None if ask.by == "period" else reliability.growth(conn, user, ask, key, found.record)
    lives = found.lives or []
    return page(
        request, "reliability_group.html", user, present(conn)[0],
        ask=ask, found=found, life=found.analysis, costs=costs, where=zone, recurring=recurring,
        is_item=ask.by in ITEMS, link=form.linker(ask, zone), shown=form.shown(ask, zone),
        no_lives=reliability.why_no_lives(),
        weibull_plot=lifeplots.weibull(t, found.analysis) if found.analysis else None,
        survival_plot=lifeplots.survival(t, found.analysis, lives) if found.analysis else None,
        growth_plot=lifeplots.growth(t, recurring) if recurring else None,
        mcf_plot=lifeplots.recurrence(t, recurring) if recurring else None,
        may_orders=may(user, "orders.read"),
    )  # fmt: skip


@router.get("/groups.csv")
def groups_csv(request: Request, conn: Tx, user: Reader, own: Own) -> Response:
    """The table as a file."""
    ask = form.asked(request.query_params, own.settings.timezone)
    return form.csv_of(form.table_rows(reliability.table(conn, user, ask)), f"reliability-{ask.by}.csv")


@router.get("/lives.csv")
def lives_csv(request: Request, conn: Tx, user: Reader, own: Own) -> Response:
    """The lives behind a fit, as a file."""
    ask = form.asked(request.query_params, own.settings.timezone)
    key = request.query_params.get("key", "")
    found = reliability.group(conn, user, ask, key)
    return form.csv_of(form.life_rows(found), f"lives-{key.replace('/', '-')}.csv")
