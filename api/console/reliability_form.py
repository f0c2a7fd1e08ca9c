"""What the reliability pages are asked for by their form, and what they give away as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Response

from analytics.reliability.lives import Origin
from analytics.reliability.record import By
from analytics.reliability.terms import Count
from api.queries.reliability import Group, Table
from api.queries.reliability_record import Ask
from api.routes.reliability import costs as both
from kit.errors import Invalid

LEVELS: Final = ("0.8", "0.9", "0.95", "0.99")
Query = Mapping[str, str]


def asked(query: Query, zone: str) -> Ask:
    """From the page's query; empty fields mean everything. Dates are days in the installation's zone, both inclusive.

    Raises:
        Invalid: a field cannot be read.
    """
    last = _day(query, "to", zone)
    return Ask(
        _one_of(query, "by", get_args(By), "component"),
        query.get("model", ""), _number(query, "site"), _number(query, "customer"), query.get("device", ""),
        query.get("component", ""), query.get("mode", ""), query.get("code", ""),
        _day(query, "from", zone), last + timedelta(days=1) if last else None,
        float(_one_of(query, "confidence", LEVELS, "0.9")), _one_of(query, "count", get_args(Count), "all"),
        _one_of(query, "origin", get_args(Origin), "original"),
    )  # fmt: skip


def shown(ask: Ask, zone: str) -> dict[str, str]:
    """The query that asks the same, without what is not set."""
    local = ZoneInfo(zone)
    last = ask.until - timedelta(days=1) if ask.until else None
    values = {
        "by": ask.by, "model": ask.model, "site": ask.site_id, "customer": ask.customer_id, "device": ask.device,
        "component": ask.component, "mode": ask.failure_mode, "code": ask.fault_code,
        "from": ask.since.astimezone(local).date() if ask.since else "",
        "to": last.astimezone(local).date() if last else "",
        "confidence": f"{ask.level:g}", "count": ask.count, "origin": ask.origin,
    }  # fmt: skip
    return {name: str(value) for name, value in values.items() if value not in ("", None)}


def linker(ask: Ask, zone: str) -> Callable[..., str]:
    """`link("/reliability/group", key="a/b")` asks the same with something changed."""

    def link(path: str, **changes: Any) -> str:
        changed = shown(ask, zone) | {name: str(value) for name, value in changes.items()}
        return f"{path}?{urlencode({name: value for name, value in changed.items() if value})}"

    return link


def costs(query: Query) -> tuple[float, float] | None:
    """Of a planned replacement and of a failure; None when neither is given."""
    return both(_cost(query, "planned"), _cost(query, "failure"))


def _cost(query: Query, name: str) -> float | None:
    text = query.get(name, "").strip()
    try:
        value = float(text) if text else None
    except ValueError as error:
        raise Invalid(f"{text!r} is no cost; write a number above 0.") from error
    if value is not None and not 0 < value <= 1e12:
        raise Invalid(f"A cost lies above 0; this is {text}.")
    return value


def _one_of(query: Query, name: str, allowed: Iterable[str], default: str) -> Any:
    value = query.get(name, "") or default
    if value not in allowed:
        raise Invalid(f"{name} is one of {', '.join(allowed)}; not {value!r}.")
    return value


def _number(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if text and not (text.isdigit() and len(text) < 10):
        raise Invalid(f"{name} is a number; not {text!r}.")
    return int(text) if text else None


def _day(query: Query, name: str, zone: str) -> datetime | None:
    text = query.get(name, "")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) if text else None
    except ValueError as error:
        raise Invalid(f"{text!r} is no day; write 2026-11-01.") from error


def table_rows(found: Table) -> list[dict[str, Any]]:
    """A line a group."""
    made = []
    for row in found.items:
        of, rate, repair = row.figures, row.figures.mtbf, row.figures.mttr
        made.append({
            "key": of.key, "name_en": row.name_en, "name_zh": row.name_zh, "devices": of.devices,
            "operating_hours": round(of.hours, 2), "failures": of.failures, "breakdowns": of.breakdowns,
            "mtbf_h": rate and rate.value, "mtbf_lower_h": rate and rate.lower, "mtbf_upper_h": rate and rate.upper,
            "confidence": found.ask.level, "weibull_shape": row.weibull and row.weibull.shape,
            "weibull_scale_h": row.weibull and row.weibull.scale, "mttr_h": repair and repair.mean,
            "mttr_lower_h": repair and repair.lower,
            "mttr_upper_h": repair and repair.upper, "down_h": of.down_hours, "inherent_availability": of.inherent,
            "operational_availability": of.operational, "from": found.since.isoformat(), "to": found.until.isoformat(),
            "order_ids": " ".join(str(order) for order in of.order_ids),
        })  # fmt: skip
    return made


def life_rows(found: Group) -> list[dict[str, Any]]:
    """A line a life: what to give to another program to check the fit."""
    hidden = {life.order_id for life in found.lives or ()} - {event.order_id for event in found.failures}
    return [
        {"device": life.uid, "component": life.component, "entry_h": round(life.entry, 4), "end_h": round(life.end, 4),
         "failed": int(life.failed), "how": life.how,
         "order_id": life.order_id if life.order_id not in hidden else None}
        for life in found.lives or ()
    ]  # fmt: skip


def csv_of(lines: list[dict[str, Any]], name: str) -> Response:
    """A file; with a byte order mark, so that spreadsheets read the Chinese."""
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]))
        writer.writeheader()
        writer.writerows({key: _safe(value) for key, value in line.items()} for line in lines)
    headers = {"Content-Disposition": f'attachment; filename="{_plain(name)}"', "Cache-Control": "no-store"}
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _plain(name: str) -> str:
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name
    )


def _safe(value: Any) -> Any:
    """A name that a spreadsheet would take for a formula stays text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
