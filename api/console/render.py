"""A page: a template, the words in the user's language, the clock, and what this user may see."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api import allowed
from api.accounts import User
from api.console import format as shown
from api.deps import state, token_of
from api.messages import told
from api.permissions import may
from api.text import LANGUAGES, words
from kit import clock
from kit.clock import Clock
from kit.database import Conn

FOLDER = Path(__file__).parent
LANGUAGE_COOKIE = "meantime_language"
SHORTEST = timedelta(microseconds=1)  # a period that ends at midnight ends with the day before

# Sections of the navigation: key, path, permission.
SECTIONS = (
    ("my", "/my", "visits.mine"),
    ("orders", "/orders", "orders.read"),
    ("dispatch", "/dispatch", "dispatch"),
    ("devices", "/devices", "devices.read"),
    ("reliability", "/reliability", "reliability"),
    ("analytics", "/analytics", "analytics.read"),
    ("ingest", "/ingest", "ingest.read"),
)


@cache
def environment() -> Environment:
    """The template environment: everything escaped, an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["as_time"] = datetime.fromisoformat
    made.globals |= {
        "needs_reason": allowed.needs_reason,
        "number": shown.number,
        "money": shown.money,
        "metres": shown.metres,
        "size": shown.size,
        "unit": shown.unit,
    }
    return made


def language_of(request: Request, user: User | None) -> str:
    """The account's language; before log-in the cookie's, else the browser's, else the setting's."""
    if user is not None:
        return user.language
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    wanted = request.headers.get("accept-language", "")[:2]
    return wanted if wanted in LANGUAGES else state(request).settings.language


def page(
    request: Request,
    template: str,
    user: User | None,
    ticking: Clock | None,
    *,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """The page as HTML."""
    language, own = language_of(request, user), state(request)
    token, _ = token_of(request)
    zone = own.settings.timezone
    context: dict[str, Any] = {
        "t": words(language),
        "user": user,
        "language": language,
        "path": request.url.path,
        "csrf": own.signer.csrf(token) if token and user else "",
        "sections": sections(user) if user else [],
        "clock": ticking if ticking and not ticking.is_real else None,
        "now": ticking.now() if ticking else None,
        "zone": zone,
        "may": (lambda permission: may(user, permission)) if user else (lambda permission: False),
        "moment": lambda at, where=zone, year=False: shown.moment(at, where, language, year=year),
        "day": lambda at, year=True: shown.day(_in_zone(at, zone), language, year=year),
        "last_day": lambda end: shown.day(_in_zone(end - SHORTEST, zone), language),
        "date_field": lambda at, last=False: f"{_in_zone(at - SHORTEST if last else at, zone):%Y-%m-%d}",
        "said": lambda text: told(text, language),
        "span": lambda length: shown.span(length, language),
    }
    html = environment().get_template(template).render(context | values)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def _in_zone(at: date | None, zone: str) -> date | None:
    """An instant as it is in a zone, so that its day is the day there; a date is the same everywhere."""
    return at.astimezone(ZoneInfo(zone)) if isinstance(at, datetime) else at


def sections(user: User) -> list[tuple[str, str]]:
    """(key, path) of the sections this user has."""
    return [
        (key, path)
        for key, path, permission in SECTIONS
        if (user.technician_id is not None if permission == "visits.mine" else may(user, permission))
    ]


def home(user: User) -> str:
    """Where a user lands."""
    found = sections(user)
    return found[0][1] if found else "/orders"


def present(conn: Conn) -> tuple[Clock, datetime]:
    """The clock and what it shows."""
    ticking = clock.load(conn)
    return ticking, ticking.now()


def back_to(path: str) -> RedirectResponse:
    """After a form: see the page again. Only paths of ours."""
    safe = path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
    return RedirectResponse(safe, 303)
