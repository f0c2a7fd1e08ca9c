"""The fleet, and one device with everything it has said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from api.accounts import User
from api.console import charts
from api.console.bars import days
from api.console.render import language_of, page, present
from api.deps import State, Tx, state
from api.permissions import may, require
from api.queries import devices, orders, telemetry
from api.routes.devices import device_detail
from api.text import Words, words
from kit.database import Conn

router = APIRouter(include_in_schema=False)
Reader = Annotated[User, Depends(require("devices.read"))]
RANGES: Final = {"day": timedelta(hours=24), "week": timedelta(days=7), "month": timedelta(days=30)}
PAGE = 100


@router.get("/devices")
def fleet(
    request: Request,
    conn: Tx,
    user: Reader,
    q: Annotated[str, Query(max_length=100)] = "",
    model: str = "",
    health: str = "",
    after: int | None = None,
) -> HTMLResponse:
    """Searchable."""
    items, following = devices.listing(
        conn, user, text=q.strip(), model=model, health=health, limit=PAGE, after=after
    )
    return page(
        request, "devices.html", user, present(conn)[0],
        items=items, totals=devices.totals(conn, user), models=devices.models(conn), q=q, model=model,
        health=health, after=after,
        next_page=following and "?" + urlencode({"q": q, "model": model, "health": health, "after": following}),
    )  # fmt: skip


@router.get("/devices/{uid}")
def one(
    uid: str,
    request: Request,
    conn: Tx,
    user: Reader,
    own: Annotated[State, Depends(state)],
    range: Annotated[str, Query(max_length=10)] = "week",
) -> HTMLResponse:
    """Charts of every metric, findings, fault codes, warranty, orders."""
    device = device_detail(conn, user, uid)
    ticking, now = present(conn)
    chosen = range if range in RANGES else "week"
    t = words(language_of(request, user))
    zone = device["timezone"] or own.settings.timezone
    items, _ = orders.listing(conn, user, orders.Filter(device_id=device["id"], limit=20))
    return page(
        request, "device.html", user, ticking,
        device=device, where=zone, ranges=tuple(RANGES), chosen=chosen, orders=items,
        charts=_charts(conn, t, device, now - RANGES[chosen], now, zone),
        per_day=days(device["run_hours_days"], t("devices.per_day_label"), t.language),
        in_warranty=_in_warranty(device, now), may_open=may(user, "orders.open"),
    )  # fmt: skip


def _in_warranty(device: dict[str, Any], now: datetime) -> bool | None:
    """None: it has none."""
    if device["warranty_until"] is None:
        return None
    hours = device["warranty_hours"]
    return now.date() <= device["warranty_until"] and (hours is None or (device["run_hours"] or 0) <= hours)


def _charts(
    conn: Conn, t: Words, device: dict[str, Any], start: datetime, end: datetime, zone: str
) -> list[tuple[dict[str, Any], Markup | None]]:
    readings = [metric for metric in device["metrics"] if metric["role"] != "run_hours"]
    return [(metric, _chart(conn, t, device["id"], metric, start, end, zone)) for metric in readings]


def _chart(
    conn: Conn, t: Words, device_id: int, metric: dict[str, Any], start: datetime, end: datetime, zone: str
) -> Markup | None:
    """None when nothing came in the period."""
    points = telemetry.series(conn, device_id, metric["name"], start, end)["points"]
    if not points:
        return None
    found = telemetry.detections(conn, device_id, metric["name"], start, end)
    chart = charts.Chart(
        label=t("devices.chart_label", metric=t.pick(metric, "name"), unit=metric["unit"]),
        unit=metric["unit"],
        start=start,
        end=end,
        points=_points(points),
        zone=zone,
        language=t.language,
        marks=[charts.Mark(row["ts"], t("order.detected")) for row in found],
        width=760,
        height=180,
    )
    return charts.line(chart)


def _points(rows: Sequence[dict[str, Any]], most: int = 700) -> list[charts.Point]:
    """Every n-th when there are more than a screen has pixels."""
    step = max(1, len(rows) // most)
    return [charts.Point(row["ts"], row["value"], row["low"], row["high"]) for row in rows[::step]]
