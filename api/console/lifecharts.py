"""Plots of two numbers as SVG text, with scales that statistics need: linear, logarithmic, Weibull. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from markupsafe import Markup, escape

from api.console import format as shown
from api.console.charts import nice_ticks

LEFT, RIGHT, TOP, BOTTOM = 54, 14, 22, 40
_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)

Pair = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One scale. `place` maps low to 0 and high to 1, and what lies outside to the edge."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    transform: Callable[[float], float]

    def place(self, value: float) -> float:
        """0 to 1."""
        inside = min(max(value, self.low), self.high)
        first, last = self.transform(self.low), self.transform(self.high)
        return (self.transform(inside) - first) / (last - first)


def linear(label: str, low: float, high: float, about: int = 4) -> Axis:
    """Even steps."""
    high = high if high > low else low + 1
    ticks = [(tick, shown.number(tick)) for tick in nice_ticks(low, high, about)]
    return Axis(label, low, high, ticks, float)


def percent(label: str) -> Axis:
    """Shares from 0 to 1, read in percent."""
    return Axis(label, 0.0, 1.0, [(n / 4, f"{25 * n} %") for n in range(5)], float)


def logarithmic(label: str, low: float, high: float) -> Axis:
    """Even factors; above 0."""
    high = high if high > low * 1.01 else low * 10
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    ticks = [(value, _short(value)) for value in values if low <= value <= high]
    return Axis(label, low, high, ticks or [(low, _short(low)), (high, _short(high))], math.log)


def weibull_share(label: str, low: float, high: float) -> Axis:
    """Shares failed on the scale ln(-ln(1 - share)), on which a Weibull over ln(age) is a straight line."""
    ticks = [(share, f"{100 * share:g} %") for share in _SHARES if low <= share <= high]
    return Axis(label, low, high, ticks, lambda share: math.log(-math.log1p(-share)))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


@dataclass(frozen=True)
class Layer:
    """One thing drawn: `line` and `step` through points, `fit` a dashed model, `dots` with a title each, `band`
    between `points` (lower) and `upper`, as steps when `stepped`."""

    kind: Literal["line", "step", "fit", "dots", "band"]
    points: Sequence[Pair]
    upper: Sequence[Pair] = ()
    titles: Sequence[str] = ()
    stepped: bool = False


@dataclass(frozen=True)
class Plot:
    """What to draw. `label` says in words what it shows."""

    label: str
    x: Axis
    y: Axis
    layers: Sequence[Layer]
    width: int = 480
    height: int = 300

    def at(self, point: Pair) -> Pair:
        """Where a point lies."""
        wide, tall = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return (
            round(LEFT + self.x.place(point[0]) * wide, 1),
            round(self.height - BOTTOM - self.y.place(point[1]) * tall, 1),
        )


def draw(plot: Plot) -> Markup:
    """The plot as an <svg>."""
    said = escape(plot.label)
    body = _grid(plot) + "".join(_layer(plot, layer) for layer in plot.layers)
    return Markup(
        f'<svg class="chart plot" viewBox="0 0 {plot.width} {plot.height}" role="img" aria-label="{said}">'
        f"{body}</svg>"
    )


def _grid(plot: Plot) -> str:
    right, bottom = plot.width - RIGHT, plot.height - BOTTOM
    drawn = []
    for value, text in plot.y.ticks:
        _, y = plot.at((plot.x.low, value))
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        drawn.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>')
    for value, text in plot.x.ticks:
        x, _ = plot.at((value, plot.y.low))
        drawn.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        drawn.append(f'<text class="tick" x="{x}" y="{bottom + 15}" text-anchor="middle">{text}</text>')
    drawn.append(f'<text class="tick" x="4" y="{TOP - 9}">{escape(plot.y.label)}</text>')
    drawn.append(
        f'<text class="tick" x="{right}" y="{plot.height - 6}" text-anchor="end">{escape(plot.x.label)}</text>'
    )
    return "".join(drawn)


def _layer(plot: Plot, layer: Layer) -> str:
    if not layer.points:
        return ""
    if layer.kind == "dots":
        return "".join(_dot(plot, *one) for one in zip(layer.points, _padded(layer), strict=True))
    if layer.kind == "band":
        return _band(plot, layer)
    points = _steps(layer.points) if layer.kind == "step" else layer.points
    return f'<path class="{"fit" if layer.kind == "fit" else "line"}" d="M{_path(plot, points)}"/>'


def _padded(layer: Layer) -> list[str]:
    return [*layer.titles, *[""] * (len(layer.points) - len(layer.titles))]


def _dot(plot: Plot, point: Pair, title: str) -> str:
    x, y = plot.at(point)
    said = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle class="line-dot" cx="{x}" cy="{y}" r="3.2">{said}</circle>'


def _band(plot: Plot, layer: Layer) -> str:
    lower, upper = list(layer.points), list(layer.upper)
    if layer.stepped:
        lower, upper = _steps(lower), _steps(upper)
    return f'<path class="band" d="M{_path(plot, [*upper, *reversed(lower)])} Z"/>'


def _steps(points: Sequence[Pair]) -> list[Pair]:
    """Level until the next point, then at once."""
    drawn = list(points[:1])
    for before, point in pairwise(points):
        drawn += [(point[0], before[1]), point]
    return drawn


def _path(plot: Plot, points: Sequence[Pair]) -> str:
    return " L".join("{} {}".format(*plot.at(point)) for point in points)


def interval(low: float, value: float | None, high: float | None, scale: Axis, label: str) -> Markup:
    """An estimate and its bounds on a small scale; open to the right where there is no upper bound."""
    wide, tall = 150, 18
    begin, end = 4 + scale.place(low) * (wide - 8), 4 + scale.place(high or scale.high) * (wide - 8)
    dot = "" if value is None else f'<circle cx="{4 + scale.place(value) * (wide - 8):.1f}" cy="9" r="3.6"/>'
    tip = f'<path d="M{end - 5:.1f} 5 L{end:.1f} 9 L{end - 5:.1f} 13"/>' if high is None else ""
    return Markup(
        f'<svg class="interval" viewBox="0 0 {wide} {tall}" role="img" aria-label="{escape(label)}">'
        f'<line x1="{begin:.1f}" x2="{end:.1f}" y1="9" y2="9"/>{tip}{dot}</svg>'
    )
