"""Why an order was opened: sentences, and the metrics that drove it as charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from markupsafe import Markup

from api.console import charts as draw
from api.console import format as shown
from api.queries import telemetry
from api.text import Words
from kit.database import Conn

BEFORE, AFTER, MOST = timedelta(days=5), timedelta(days=1), 3
_OF_A_MACHINE: Final = ("automatic", "plan")


def story(t: Words, order: dict[str, Any], signals: Sequence[dict[str, Any]]) -> list[str]:
    """Plain sentences, the first signal's first."""
    told: list[str] = []
    for signal in signals:
        if signal["kind"] == "raise":
            told = sentences(t, signal)
            break
    if not told:
        if order["source"] in _OF_A_MACHINE:
            return [t("order.no_evidence")]
        told = [t("order.opened_by_person", source=t(f"source.{order['source']}"))]
    return told


def sentences(t: Words, signal: dict[str, Any]) -> list[str]:
    """What drove one detection, and the rule that decided (a row of `queries.evidence.signals`)."""
    told = [_driver(t, driver) for driver in signal["drivers"] if driver["value"] is not None]
    told += [t("order.code", code=_code(code)) for code in signal["codes"]]
    failure = t.pick(signal, "failure") or str(signal["failure_mode"]).replace("_", " ")
    rule = t.or_raw("rule", signal["rule"])
    return [*told, t("order.found_by", rule=rule, score=shown.number(signal["score"]), failure=failure)]


def _code(code: Any) -> str:
    return str(code.get("code") if isinstance(code, dict) else code)


def _driver(t: Words, driver: dict[str, Any]) -> str:
    value, baseline = float(driver["value"]), driver["baseline"]
    figures = {
        "metric": t.pick(driver, "name"),
        "value": shown.number(value),
        "unit": shown.unit(driver["unit"]),
    }
    if baseline is None:
        told = t("order.reached", **figures)
    else:
        key = "order.rose" if value >= float(baseline) else "order.fell"
        told = t(key, **figures, baseline=shown.number(float(baseline)))
    if driver["limit"] is not None:
        told += ("" if t.language == "zh" else " ") + t(
            "order.limit", limit=shown.number(float(driver["limit"])), unit=shown.unit(driver["unit"])
        )
    return told.replace(" .", ".").replace(" ,", ",").replace(" 。", "。").replace(" ，", "，")


@dataclass(frozen=True)
class Shown:
    """A chart and its caption."""

    caption: str
    svg: Markup


def charts(
    conn: Conn, t: Words, order: dict[str, Any], signals: Sequence[dict[str, Any]], now: datetime
) -> list[Shown]:
    """One chart for each metric that drove the first signal, around the moment of detection."""
    first = next((signal for signal in signals if signal["kind"] == "raise"), None)
    if first is None:
        return []
    drivers = [driver for driver in first["drivers"] if driver["metric"]][:MOST]
    return [_chart(conn, t, order, first, driver, now) for driver in drivers]


def _chart(
    conn: Conn, t: Words, order: dict[str, Any], signal: dict[str, Any], driver: dict[str, Any], now: datetime
) -> Shown:
    start = min(signal["ts"] - BEFORE, signal["telemetry_from"])
    end = max(min(signal["ts"] + AFTER, now), signal["ts"] + timedelta(hours=1))
    found = telemetry.series(conn, signal["device_id"], driver["metric"], start, end)
    name = t.pick(driver, "name")
    levels = [
        draw.Level(float(driver[key]), f"{t(label)} {shown.number(float(driver[key]))}", kind)
        for key, label, kind in (
            ("baseline", "order.baseline", "baseline"),
            ("limit", "order.limit_line", "limit"),
        )
        if driver[key] is not None
    ]
    chart = draw.Chart(
        label=t("order.chart_label", metric=name, unit=driver["unit"]),
        unit=driver["unit"],
        start=start,
        end=end,
        points=[draw.Point(row["ts"], row["value"], row["low"], row["high"]) for row in found["points"]],
        zone=order["timezone"],
        language=t.language,
        levels=levels,
        marks=[draw.Mark(signal["ts"], t("order.detected"))],
    )
    return Shown(name, draw.line(chart))
