"""Orders of two runs on a time line, and small drawings of the alarms' figures, as SVG text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from api.console import format as shown
from api.console.charts import time_ticks
from api.text import Words

LEFT, RIGHT, TOP, ROW, WIDTH = 150, 14, 26, 26, 860
MOST_ROWS = 24


def draw(
    t: Words, result: Mapping[str, Any], start: datetime, end: datetime, zone: str
) -> tuple[Markup, int]:
    """One row a device: orders that appear (up), vanish (down) or stay (dot), and recorded failures (bars); those
    with a difference first. Returns the <svg> and how many devices are left out."""
    devices: dict[str, int] = {}
    for order in result["orders"]:
        devices[order["device_uid"]] = devices.get(order["device_uid"], 0) + (order["status"] != "stay")
    for failure in result["failures"]:
        devices.setdefault(failure["device_uid"], 0)
    rows = sorted(devices, key=lambda uid: (-devices[uid], uid))[:MOST_ROWS]
    place = {uid: TOP + ROW * at + ROW // 2 for at, uid in enumerate(rows)}
    height = TOP + ROW * len(rows) + 8

    def x(ts: datetime) -> float:
        share = min(max((ts - start) / (end - start), 0.0), 1.0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    body = [*_grid(t, x, start, end, zone, height), *(_row(uid, y) for uid, y in place.items())]
    body += [
        _failure(t, x(datetime.fromisoformat(one["ts"])), place[one["device_uid"]], one)
        for one in result["failures"]
        if one["device_uid"] in place and datetime.fromisoformat(one["ts"]) <= end
    ]
    body += [
        _order(t, x, place[one["device_uid"]], one) for one in result["orders"] if one["device_uid"] in place
    ]
    first, last = (ts.astimezone(ZoneInfo(zone)) for ts in (start, end - timedelta(microseconds=1)))
    label = t(
        "whatif.time_line_label", devices=len(devices), start=shown.day(first, t.language),
        end=shown.day(last, t.language), failures=len(result["failures"]), **result["counts"],
    )  # fmt: skip
    svg = (
        f'<svg class="chart time-line" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(body)}</svg>"
    )
    return Markup(svg), len(devices) - len(rows)


def _grid(t: Words, x: Any, start: datetime, end: datetime, zone: str, height: int) -> list[str]:
    drawn = []
    for ts in time_ticks(start, end, zone, about=9):
        text = shown.day(ts, t.language, year=False) if ts.hour == 0 else f"{ts:%H:%M}"
        drawn.append(f'<line class="grid" x1="{x(ts)}" x2="{x(ts)}" y1="{TOP - 6}" y2="{height - 4}"/>')
        drawn.append(f'<text class="tick" x="{x(ts)}" y="{TOP - 11}" text-anchor="middle">{text}</text>')
    return drawn


def _row(uid: str, y: int) -> str:
    return (
        f'<text class="tick" x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(uid[:20])}</text>'
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    )


def _failure(t: Words, x: float, y: int, one: Mapping[str, Any]) -> str:
    title = f"{t('whatif.legend_failure')}: {t.or_raw('component', one['component'])}"
    bar = f'<rect class="failed" x="{x - 1.5}" y="{y - 10}" width="3" height="20">'
    return f"{bar}<title>{escape(title)}</title></rect>"


def _order(t: Words, x: Any, y: int, one: Mapping[str, Any]) -> str:
    side = one["live"] or one["changed"]
    at, status = x(datetime.fromisoformat(side["ts"])), one["status"]
    title = f"{one['device_uid']} · {one['failure_mode'].replace('_', ' ')} · {t('whatif.' + status)}"
    shape = {
        "appear": f'<path d="M{at} {y - 8}l7 13h-14z"',
        "vanish": f'<path d="M{at} {y + 8}l7 -13h-14z"',
        "stay": f'<circle cx="{at}" cy="{y}" r="5.5"',
    }[status]
    tag = "circle" if status == "stay" else "path"
    return f'{shape} class="{status}"><title>{escape(title)}</title></{tag}>'


def mark(status: str) -> Markup:
    """The sign of a status, for a legend."""
    shape = {
        "appear": '<path d="M8 1l7 13h-14z" class="appear"/>',
        "vanish": '<path d="M8 15l7 -13h-14z" class="vanish"/>',
        "stay": '<circle cx="8" cy="8" r="5.5" class="stay"/>',
        "failed": '<rect x="6.5" y="0" width="3" height="16" class="failed"/>',
    }[status]
    return Markup(f'<svg class="sign" viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>')


def daily(t: Words, days: Sequence[Mapping[str, Any]], zone: str) -> Markup:
    """Alarms a day as bars."""
    if not days:
        return Markup("")
    width, height, left = 720, 130, 34
    most = max(max(day["raises"] for day in days), 1)
    step = (width - left - 6) / len(days)

    def bar(at: int, day: Mapping[str, Any]) -> str:
        tall = day["raises"] / most * (height - 34)
        place = f'x="{left + (at + 0.12) * step:.1f}" y="{height - 20 - tall:.1f}"'
        title = f"{shown.day(day['day'], t.language)}: {day['raises']}"
        return f'<rect class="bar" {place} width="{step * 0.76:.1f}" height="{tall:.1f}"><title>{title}</title></rect>'

    bars = "".join(bar(at, day) for at, day in enumerate(days))
    first, last = days[0]["day"], days[-1]["day"]

    def tick(ts: datetime) -> str:
        x = left + (ts - first) / timedelta(days=1) * step
        anchor = "end" if x > width - 60 else "start"  # the last word stays within the picture
        text = shown.day(ts, t.language, year=False)
        return f'<text class="tick" x="{x:.1f}" y="{height - 4}" text-anchor="{anchor}">{text}</text>'

    ticks = "".join(map(tick, time_ticks(first, last, zone, about=6))) if last > first else ""
    label = t(
        "alarms.daily_label", start=shown.day(first, t.language), end=shown.day(last, t.language),
        count=sum(day["raises"] for day in days), most=most,
    )  # fmt: skip
    scale = (
        f'<line class="grid" x1="{left}" x2="{width - 6}" y1="{height - 20}" y2="{height - 20}"/>'
        f'<text class="tick" x="{left - 6}" y="18" text-anchor="end">{most}</text>'
        f'<text class="tick" x="{left - 6}" y="{height - 18}" text-anchor="end">0</text>'
    )
    return Markup(
        f'<svg class="chart daily" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{scale}{bars}{ticks}</svg>"
    )


def share(low: float | None, value: float | None, high: float | None) -> Markup:
    """A share with its interval on a line from 0 to 1; the figures stand beside it."""
    if low is None or value is None or high is None:
        return Markup("")
    return Markup(
        '<svg class="share" viewBox="0 0 110 14" aria-hidden="true"><line class="grid" x1="5" x2="105" y1="7" y2="7"/>'
        f'<line class="range" x1="{5 + 100 * low:.1f}" x2="{5 + 100 * high:.1f}" y1="7" y2="7"/>'
        f'<circle cx="{5 + 100 * value:.1f}" cy="7" r="4" class="stay"/></svg>'
    )


def strip(t: Words, proposal: Mapping[str, Any]) -> Markup:
    """The scores of the orders that a proposal rests on: right ones above the line, others below it."""
    most: float = max([one[2] for one in proposal["orders"]] + [proposal["factor"] * 1.1])
    left, width = 8, 420

    def x(score: float) -> float:
        return round(left + (score - 0.8) / (most - 0.8) * (width - 2 * left), 1)

    dots = "".join(
        f'<circle cx="{x(score)}" cy="{22 if verdict == "right" else 46}" r="4" '
        f'class="{"stay" if verdict == "right" else "vanish"}"/>'
        for _, verdict, score in proposal["orders"]
    )
    lines = "".join(
        f'<line class="level {kind}" x1="{x(at)}" x2="{x(at)}" y1="12" y2="56"/>'
        f'<text class="level-text {kind}" x="{x(at)}" y="{y}" text-anchor="middle">{t(key)}</text>'
        for at, key, kind, y in (
            (1.0, "alarms.present_limit", "", 67), (proposal["factor"], "alarms.new_limit", "limit", 9),
        )
    )  # fmt: skip
    label = t(
        "alarms.evidence_label",
        decided=proposal["decided"],
        avoided=proposal["avoided"],
        delayed=proposal["delayed"],
    )
    return Markup(
        f'<svg class="chart strip" viewBox="0 0 {width} 72" role="img" aria-label="{escape(label)}">'
        f'<line class="grid" x1="{left}" x2="{width - left}" y1="34" y2="34"/>{lines}{dots}</svg>'
    )
