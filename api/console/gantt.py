"""A day of visits as SVG: a row an engineer, shift, travel and work, and where now is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

Axis = Callable[[datetime], float]
LEFT, RIGHT, TOP, ROW, WIDTH = 150, 8, 24, 34, 1180


@dataclass(frozen=True)
class Bar:
    """A visit: travel from `leaves`, work from `start` to `end`."""

    href: str
    text: str
    title: str
    state: str
    leaves: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Row:
    """An engineer's day."""

    name: str
    note: str
    shifts: Sequence[tuple[datetime, datetime]]
    bars: Sequence[Bar]


def draw(rows: Sequence[Row], start: datetime, end: datetime, now: datetime, zone: str, label: str) -> Markup:
    """The board from `start` to `end`."""
    height = TOP + ROW * max(len(rows), 1) + 6

    def x(at: datetime) -> float:
        share = (min(max(at, start), end) - start) / (end - start)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    drawn = [*_hours(start, end, x, height, zone)]
    for index, row in enumerate(rows):
        drawn += _row(row, TOP + index * ROW, x)
    if start <= now <= end:
        drawn.append(f'<line class="now" x1="{x(now)}" x2="{x(now)}" y1="{TOP - 6}" y2="{height - 6}"/>')
    return Markup(
        f'<svg class="gantt" viewBox="0 0 {WIDTH} {height}" role="group" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>"
    )


def _hours(start: datetime, end: datetime, x: Axis, height: int, zone: str) -> list[str]:
    drawn, at = [], start
    while at <= end:
        local = at.astimezone(ZoneInfo(zone))
        drawn.append(f'<line class="grid" x1="{x(at)}" x2="{x(at)}" y1="{TOP - 4}" y2="{height - 6}"/>')
        if at < end:
            drawn.append(f'<text class="tick" x="{x(at) + 3}" y="{TOP - 9}">{local:%H:%M}</text>')
        at += timedelta(hours=2)
    return drawn


def _row(row: Row, y: int, x: Axis) -> list[str]:
    drawn = [
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y + ROW}" y2="{y + ROW}"/>',
        f'<text class="who" x="4" y="{y + 16}">{escape(row.name)}</text>',
        f'<text class="note" x="4" y="{y + 28}">{escape(row.note)}</text>',
    ]
    for opens, closes in row.shifts:
        drawn.append(
            f'<rect class="shift" x="{x(opens)}" y="{y + 1}" width="{x(closes) - x(opens)}" height="{ROW - 2}"/>'
        )
    for bar in row.bars:
        drawn.append(_bar(bar, y, x))
    return drawn


def _bar(bar: Bar, y: int, x: Axis) -> str:
    leaves, start, end = x(bar.leaves), x(bar.start), x(bar.end)
    wide = max(end - start, 3)
    text = f'<text x="{start + 5}" y="{y + 21}">{escape(bar.text)}</text>' if wide > 58 else ""
    return (
        f'<a class="bar {escape(bar.state)}" href="{escape(bar.href)}" aria-label="{escape(bar.title)}">'
        f"<title>{escape(bar.title)}</title>"
        f'<rect class="travel" x="{leaves}" y="{y + 12}" width="{max(start - leaves, 0)}" height="{ROW - 24}"/>'
        f'<rect class="work" x="{start}" y="{y + 5}" width="{wide}" height="{ROW - 10}" rx="3"/>{text}</a>'
    )
