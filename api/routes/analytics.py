"""Tune with open eyes: rules and costs with their history, backtests, the honesty of alarms, models, explanations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from analytics import costs, rules_text, tuning, versions
from analytics.prediction.decision import Costs
from analytics.whatif import store as backtests
from api import scope
from api.accounts import User
from api.deps import Call, CallDep, Tx
from api.idempotency import once
from api.permissions import require
from api.queries import analytics as reads
from api.schemas.analytics import (
    ApplyBacktest,
    BacktestOut,
    BacktestRow,
    ChangeCosts,
    ChangeRules,
    CostsOut,
    ExplanationOut,
    HonestyOut,
    NewBacktest,
    RevertRules,
    RuleChange,
    RulesOut,
    VersionOut,
)
from api.schemas.common import Listing, Page
from kit import clock
from kit.database import Conn
from kit.errors import Conflict, Invalid

router = APIRouter(prefix="/api", tags=["analytics"])
Reader = Annotated[User, Depends(require("analytics.read"))]
TUNING = [Depends(require("analytics.tune"))]
PERIOD = timedelta(days=90)


# Rules and costs


@router.get("/rules", response_model=RulesOut)
def rules(conn: Tx, user: Reader) -> dict[str, Any]:
    """The rules in force with all that may be set, the defaults, and who changed what when."""
    return reads.rules(conn)


@router.get("/rules/history", response_model=Listing[RuleChange])
def rules_history(conn: Tx, user: Reader, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> dict[str, Any]:
    """Changes of the rules, the newest first."""
    return {"items": tuning.history(conn, limit=limit)}


@router.put("/rules", response_model=RulesOut, dependencies=TUNING)
def change_rules(body: ChangeRules, call: CallDep) -> Any:
    """Put rules in force: all that differs from the defaults. Workers take them up at once."""

    def act() -> dict[str, Any]:
        wanted = rules_text.read(body.rules)
        tuning.change(call.conn, wanted, call.user.name, note=body.note, based_on=body.based_on)
        return reads.rules(call.conn)

    return once(call, act)


@router.post("/rules/revert", response_model=RulesOut, dependencies=TUNING)
def revert_rules(body: RevertRules, call: CallDep) -> Any:
    """Put the rules of an earlier change in force again."""

    def act() -> dict[str, Any]:
        tuning.revert(call.conn, body.change, call.user.name, based_on=body.based_on)
        return reads.rules(call.conn)

    return once(call, act)


@router.get("/costs", response_model=Listing[CostsOut])
def all_costs(conn: Tx, user: Reader) -> dict[str, Any]:
    """What a failure, a planned and a needless visit cost on each device type."""
    return {"items": reads.prices(conn)}


@router.put("/costs/{model}", response_model=Listing[CostsOut], dependencies=TUNING)
def change_costs(model: str, body: ChangeCosts, call: CallDep) -> Any:
    """Change them for a device type; predictions and backtests use them from now on."""

    def act() -> dict[str, Any]:
        price = None if body.costs is None else Costs(**body.costs.model_dump())
        costs.change(call.conn, model, price, call.user.name, body.note)
        return {"items": reads.prices(call.conn)}

    return once(call, act)


# Backtests


@router.post("/backtests", response_model=BacktestOut, status_code=201, dependencies=TUNING)
def ask(body: NewBacktest, call: CallDep) -> Any:
    """Try rules on a stored period, in the background: orders that would appear, vanish or stay, recall, costs."""
    return once(call, lambda: reads.backtest(call.conn, new_backtest(call, body)))


def new_backtest(call: Call, body: NewBacktest) -> int:
    """Queue it; its id."""
    prices = {model: Costs(**price.model_dump()) for model, price in body.costs.items()}
    return backtests.request(
        call.conn,
        body.start,
        body.end,
        rules_text.read(body.rules),
        prices,
        call.user.name,
        body.title,
        train_from=body.train_from,
    )


@router.get("/backtests", response_model=Page[BacktestRow])
def backtest_listing(
    conn: Tx, user: Reader, limit: Annotated[int, Query(ge=1, le=200)] = 50, after: int | None = None
) -> dict[str, Any]:
    """Backtests, the newest first."""
    found = backtests.listing(conn, limit=limit, after=after)
    return {"items": found, "next": found[-1]["id"] if len(found) == limit else None}


@router.get("/backtests/{backtest_id}", response_model=BacktestOut)
def backtest(backtest_id: int, conn: Tx, user: Reader) -> dict[str, Any]:
    """One with its progress, and its result once it is done."""
    return reads.backtest(conn, backtest_id)


@router.post("/backtests/{backtest_id}/cancel", response_model=BacktestOut, dependencies=TUNING)
def cancel(backtest_id: int, call: CallDep) -> Any:
    """End one that waits or runs."""

    def act() -> dict[str, Any]:
        backtests.cancel(call.conn, backtest_id, call.user.name)
        return reads.backtest(call.conn, backtest_id)

    return once(call, act)


@router.post("/backtests/{backtest_id}/apply", response_model=RulesOut, dependencies=TUNING)
def apply(backtest_id: int, call: CallDep, body: ApplyBacktest | None = None) -> Any:
    """Put the rules that it tried in force, under your name."""

    def act() -> dict[str, Any]:
        apply_backtest(call, backtest_id, body.based_on if body else None)
        return reads.rules(call.conn)

    return once(call, act)


def apply_backtest(call: Call, backtest_id: int, based_on: int | None) -> None:
    """Only a finished one: what was not tried is not put in force from here."""
    tried = backtests.get(call.conn, backtest_id)
    if tried.state != "done":
        raise Conflict(
            f"Backtest {backtest_id} is {tried.state}; only rules of a finished one can be applied."
        )
    note = f"backtest {backtest_id}" + (f": {tried.title}" if tried.title else "")
    tuning.change(call.conn, tried.rules, call.user.name, note=note, based_on=based_on)


# What the alarms and models are worth


@router.get("/alarm-honesty", response_model=HonestyOut)
def alarm_honesty(
    conn: Tx,
    user: Reader,
    start: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Per rule and model: precision with interval, recall, lead times; the alarm load; proposals with their evidence.
    The last 90 days by default."""
    return reads.honesty(conn, *period(conn, start, end), model)


def period(conn: Conn, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """The period meant.

    Raises:
        Invalid: it is empty.
    """
    until = end or clock.now(conn)
    since = start or until - PERIOD
    if since >= until:
        raise Invalid(f"The period must begin before it ends; {since} is not before {until}.", key="from")
    return since, until


@router.get("/models", response_model=Listing[VersionOut])
def models(conn: Tx, user: Reader, model: str | None = None) -> dict[str, Any]:
    """The versions of the learned models, the newest first."""
    return {"items": reads.models(conn, model)}


@router.get("/models/{version_id}", response_model=VersionOut)
def model_version(version_id: int, conn: Tx, user: Reader) -> dict[str, Any]:
    """One version."""
    return reads.version(conn, versions.version(conn, version_id))


@router.get("/orders/{order_id}/explanation", response_model=ExplanationOut)
def explanation(order_id: int, conn: Tx, user: Reader) -> dict[str, Any]:
    """Work out again from the stored rows why an order was opened: true or false, with what drove it."""
    scope.order(conn, user, order_id)
    return reads.explanation(conn, order_id)
