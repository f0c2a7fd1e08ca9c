"""The day of every engineer, and what still waits for one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from api.accounts import User
from api.console import format as shown
from api.console import gantt
from api.console.render import language_of, page, present
from api.deps import State, Tx, state
from api.permissions import require
from api.queries import dispatch, orders, visits
from api.text import Words, words
from fsm_core.readiness import store as readiness
from fsm_core.sla.rules import WorkingCalendar
from kit.database import Conn

router = APIRouter(include_in_schema=False)
_SHOWN = ("planned", "confirmed", "traveling", "on_site", "working", "paused", "done", "incomplete")


@router.get("/dispatch")
def board(
    request: Request,
    conn: Tx,
    user: Annotated[User, Depends(require("dispatch"))],
    own: Annotated[State, Depends(state)],
    day: date | None = None,
) -> HTMLResponse:
    """A day in the office's time zone."""
    ticking, now = present(conn)
    zone, t = own.settings.timezone, words(language_of(request, user))
    chosen = day or now.astimezone(ZoneInfo(zone)).date()
    start = datetime.combine(chosen, time(), ZoneInfo(zone))
    end = datetime.combine(chosen + timedelta(days=1), time(), ZoneInfo(zone))
    planned = visits.listing(conn, user, visits.Filter(start=start, end=end, states=_SHOWN))
    rows = _rows(t, dispatch.technicians(conn, user), planned, start, end)
    label = t("dispatch.board", day=shown.day(chosen, t.language))
    return page(
        request, "dispatch.html", user, ticking,
        day_shown=chosen, previous=chosen - timedelta(days=1), following=chosen + timedelta(days=1),
        chart=gantt.draw(rows, start, end, now, zone, label) if rows else None,
        visits=planned, waiting=_waiting(conn, user, own, now),
    )  # fmt: skip


def _rows(
    t: Words,
    technicians: Sequence[Mapping[str, Any]],
    planned: Sequence[dict[str, Any]],
    start: datetime,
    end: datetime,
) -> list[gantt.Row]:
    bars: dict[int, list[gantt.Bar]] = defaultdict(list)
    for visit in planned:
        bars[visit["technician_id"]].append(_bar(t, visit))
    return [
        gantt.Row(
            row["name"],
            row["provider"] or t("dispatch.own_staff"),
            list(
                WorkingCalendar.from_row(row["timezone"], row["week"], row["holidays"]).intervals(start, end)
            ),
            bars[row["id"]],
        )
        for row in technicians
    ]


def _bar(t: Words, visit: dict[str, Any]) -> gantt.Bar:
    """Where it is in truth, as far as it has happened."""
    begins = visit["on_site_at"] or visit["planned_start"]
    ends = visit["ended_at"] or max(visit["planned_end"], begins + timedelta(minutes=15))
    zone = ZoneInfo(visit["timezone"])
    title = t(
        "dispatch.visit_title", number=visit["number"], name=visit["technician"], title=t.pick(visit, "title"),
        start=f"{begins.astimezone(zone):%H:%M}", end=f"{ends.astimezone(zone):%H:%M}",
        state=t(f"visit.{visit['state']}"),
    )  # fmt: skip
    leaves = min(visit["traveling_at"] or visit["travel_start"], begins)
    return gantt.Bar(
        f"/orders/{visit['order_id']}",
        visit["number"],
        title,
        visit["state"],
        leaves,
        begins,
        max(ends, begins),
    )


def _waiting(conn: Conn, user: User, own: State, now: datetime) -> list[dict[str, Any]]:
    """Accepted orders without an engineer, the most urgent first, each with what is missing or when it could begin."""
    items, _ = orders.listing(conn, user, orders.Filter(states=("accepted",), limit=200))
    items.sort(key=lambda row: (row["priority"], row["sla_due_at"] or row["opened_at"]))
    lines = readiness.overview(conn, now, settings=own.settings.dispatch) if items else []
    found = {line.order_id: line.readiness for line in lines}
    for row in items:
        ready = found.get(row["id"])
        row["missing"] = ready.missing if ready else []
        row["earliest"] = ready.earliest if ready else None
    return items
