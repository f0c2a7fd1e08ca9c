"""Small charts as SVG text: they print, need no script, and take their colours from the stylesheet. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from api.console import format as shown

LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 24
_STEPS = [timedelta(hours=hours) for hours in (1, 2, 3, 6, 12)] + [
    timedelta(days=days) for days in (1, 2, 7, 14, 30)
]


@dataclass(frozen=True)
class Point:
    """A reading, or an hour with its range."""

    ts: datetime
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Mark:
    """A vertical line at a moment: a detection, a repair."""

    ts: datetime
    label: str


@dataclass(frozen=True)
class Level:
    """A horizontal line: the baseline, the limit."""

    value: float
    label: str
    kind: str


@dataclass(frozen=True)
class Chart:
    """What to draw. `label` says in words what the chart shows."""

    label: str
    unit: str
    start: datetime
    end: datetime
    points: Sequence[Point]
    zone: str
    language: str
    levels: Sequence[Level] = ()
    marks: Sequence[Mark] = ()
    width: int = 720
    height: int = 200


@dataclass(frozen=True)
class _Scale:
    chart: Chart
    low: float
    high: float

    def x(self, ts: datetime) -> float:
        share = (ts - self.chart.start) / (self.chart.end - self.chart.start)
        return round(LEFT + share * (self.chart.width - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.chart.height - BOTTOM - share * (self.chart.height - TOP - BOTTOM), 1)


def line(chart: Chart) -> Markup:
    """The chart as an <svg>; with no points, its frame and levels only."""
    scale = _scale(chart)
    body = "".join(
        [
            *_grid(scale),
            _band(scale),
            *(_path(scale, part) for part in _unbroken(chart)),
            *(_level(scale, level) for level in chart.levels),
            *(_mark(scale, mark) for mark in chart.marks),
        ]
    )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {chart.width} {chart.height}" role="img" aria-label="{escape(chart.label)}">'
        f"{body}</svg>"
    )


def _scale(chart: Chart) -> _Scale:
    values = [point.low for point in chart.points] + [point.high for point in chart.points]
    values += [level.value for level in chart.levels]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.08 or max(abs(high) * 0.1, 0.5)
    return _Scale(chart, low - room if low < 0 or low > room else 0.0, high + room)


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values between two others, about so many."""
    raw = (high - low) / about
    unit: float = 10 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def time_ticks(start: datetime, end: datetime, zone: str, about: int = 7) -> list[datetime]:
    """Round local moments between two others, about so many."""
    step = next((step for step in _STEPS if (end - start) / step <= about), _STEPS[-1])
    midnight = start.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    first = math.ceil((start - midnight) / step)
    count = math.floor((end - midnight) / step)
    return [midnight + index * step for index in range(first, count + 1)]


def _grid(scale: _Scale) -> list[str]:
    chart, right, bottom = scale.chart, scale.chart.width - RIGHT, scale.chart.height - BOTTOM
    drawn = []
    for value in nice_ticks(scale.low, scale.high):
        y = scale.y(value)
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        drawn.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{shown.number(value)}</text>'
        )
    for ts in time_ticks(chart.start, chart.end, chart.zone):
        midnight = ts.hour == 0 and ts.minute == 0
        text = shown.day(ts, chart.language, year=False) if midnight else f"{ts:%H:%M}"
        x = scale.x(ts)
        drawn.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        drawn.append(f'<text class="tick" x="{x}" y="{chart.height - 6}" text-anchor="middle">{text}</text>')
    drawn.append(f'<text class="tick" x="4" y="{TOP - 3}">{escape(shown.unit(chart.unit))}</text>')
    return drawn


def _unbroken(chart: Chart) -> list[list[Point]]:
    """The points cut where nothing came for long: a gap is shown as a gap."""
    gaps = sorted(b.ts - a.ts for a, b in zip(chart.points, chart.points[1:], strict=False))
    longest = max(gaps[len(gaps) // 2] * 6, timedelta(hours=3)) if gaps else timedelta.max
    parts: list[list[Point]] = []
    for point in chart.points:
        if not parts or point.ts - parts[-1][-1].ts > longest:
            parts.append([])
        parts[-1].append(point)
    return parts


def _path(scale: _Scale, points: Sequence[Point]) -> str:
    if len(points) == 1:
        return (
            f'<circle class="line-dot" cx="{scale.x(points[0].ts)}" cy="{scale.y(points[0].value)}" r="2"/>'
        )
    path = " L".join(f"{scale.x(point.ts)} {scale.y(point.value)}" for point in points)
    return f'<path class="line" d="M{path}"/>'


def _band(scale: _Scale) -> str:
    """The range of each hour around its mean."""
    drawn = ""
    for part in _unbroken(scale.chart):
        if len(part) > 1 and any(point.high > point.low for point in part):
            upper = [f"{scale.x(point.ts)} {scale.y(point.high)}" for point in part]
            lower = [f"{scale.x(point.ts)} {scale.y(point.low)}" for point in reversed(part)]
            drawn += f'<path class="band" d="M{" L".join(upper + lower)} Z"/>'
    return drawn


def _level(scale: _Scale, level: Level) -> str:
    y, right = scale.y(level.value), scale.chart.width - RIGHT
    return (
        f'<line class="level {level.kind}" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>'
        f'<text class="level-text {level.kind}" x="{LEFT + 4}" y="{y - 4}">{escape(level.label)}</text>'
    )


def _mark(scale: _Scale, mark: Mark) -> str:
    x = scale.x(mark.ts)
    anchor, shift = ("end", -5) if x > scale.chart.width * 0.7 else ("start", 5)
    return (
        f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP}" y2="{scale.chart.height - BOTTOM}"/>'
        f'<text class="mark-text" x="{x + shift}" y="{TOP + 10}" text-anchor="{anchor}">{escape(mark.label)}</text>'
    )
