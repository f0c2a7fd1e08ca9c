"""A bar a day, as SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from api.console import format as shown

WIDTH, HEIGHT, BOTTOM, SCALE = 560, 150, 26, 40


def days(rows: Sequence[dict[str, Any]], label: str, language: str) -> Markup | None:
    """Hours per day, 0 to 24; rows have `day` and `hours`. None without rows."""
    if not rows:
        return None
    wide = (WIDTH - SCALE) / max(len(rows), 10)
    drawn = []
    for index, row in enumerate(rows):
        tall = min(float(row["hours"]), 24.0) / 24 * (HEIGHT - BOTTOM)
        name = f"{shown.day(row['day'], language)}: {shown.number(row['hours'])} h"
        drawn.append(
            f'<rect class="bar" x="{index * wide + 1:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" '
            f'width="{wide - 2:.1f}" height="{max(tall, 0.5):.1f}"><title>{escape(name)}</title></rect>'
        )
        if index % 7 == 0:
            text = shown.day(row["day"], language, year=False)
            drawn.append(f'<text class="tick" x="{index * wide + 1:.1f}" y="{HEIGHT - 5}">{text}</text>')
    drawn += [
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/><text class="tick" x="{WIDTH}" y="{y + 11}" '
        f'text-anchor="end">{hours} h</text>'
        for hours, y in ((24, 0.5), (12, (HEIGHT - BOTTOM) / 2))
    ]
    return Markup(
        f'<svg class="chart days" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>"
    )
