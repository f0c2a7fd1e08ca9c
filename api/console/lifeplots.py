"""The plots of reliability: what of an analysis goes on which axis. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup

from analytics.reliability.analysis import LifeAnalysis, Recurrence
from analytics.reliability.lives import Life
from analytics.reliability.recurrence import McfPoint
from api.console import format as shown
from api.console.lifecharts import (
    Layer,
    Pair,
    Plot,
    draw,
    linear,
    logarithmic,
    percent,
    weibull_share,
)
from api.text import Words


def weibull(t: Words, found: LifeAnalysis) -> Markup | None:
    """Probability plot with the fitted line and its band; None without failures at two ages."""
    if found.fit is None or not found.positions:
        return None
    fit = found.fit
    ages, shares = zip(*found.positions, strict=True)
    low, high = min(0.01, shares[0] / 2), max(0.9, min(0.99, shares[-1] + 0.05))
    x = logarithmic(
        t("reliability.age"), min(ages[0], fit.quantile(0.1)) / 2, max(ages[-1], fit.quantile(0.7)) * 1.5
    )
    grid = np.geomspace(low, 0.6, 25).tolist() + np.linspace(0.62, high, 20).tolist()
    bounds = [(share, fit.quantile_bounds(share)) for share in grid]
    band = Layer(
        "band",
        [(both[0], share) for share, both in bounds if both],
        [(both[1], share) for share, both in bounds if both],
    )
    ages_drawn = np.geomspace(max(x.low, fit.quantile(low)), min(x.high, fit.quantile(high)), 40).tolist()
    line = Layer("fit", [(age, _failed(fit.reliability(age))) for age in ages_drawn])
    dots = Layer("dots", found.positions, titles=[f"{shown.number(age, 0)} h" for age in ages])
    y = weibull_share(t("reliability.share_failed"), low, high)
    return draw(Plot(t("reliability.weibull_label"), x, y, [band, line, dots]))


def _failed(survives: float) -> float:
    return min(max(1 - survives, 1e-9), 1 - 1e-9)


def survival(t: Words, found: LifeAnalysis, lives: Sequence[Life]) -> Markup | None:
    """Kaplan-Meier with its band, the fitted curve over it, a tick for each life that ended without failing."""
    if not found.survival:
        return None
    start = min(life.entry for life in lives)
    end = max(life.end for life in lives)
    curve = [(start, 1.0)] + [(point.time, point.survival) for point in found.survival]
    curve.append((end, curve[-1][1]))
    bounded = [point for point in found.survival if point.lower is not None and point.upper is not None]
    lower: list[Pair] = [(point.time, point.lower or 0.0) for point in bounded]
    upper: list[Pair] = [(point.time, point.upper or 1.0) for point in bounded]
    layers = [Layer("band", _until(lower, end), _until(upper, end), stepped=True), Layer("step", curve)]
    if found.fit is not None:
        alive = found.fit.reliability(start) or 1.0
        ages = np.linspace(start, end, 60).tolist()
        layers.append(Layer("fit", [(age, found.fit.reliability(age) / alive) for age in ages]))
    x = linear(t("reliability.age"), start if start > 0.2 * end else 0.0, end)
    return draw(Plot(t("reliability.survival_label"), x, percent(t("reliability.share_alive")), layers))


def _until(points: Sequence[Pair], end: float) -> list[Pair]:
    return [*points, (end, points[-1][1])] if points else []


def growth(t: Words, found: Recurrence) -> Markup | None:
    """Failures by pooled hours, and the fitted power law."""
    if not found.times:
        return None
    steps = [(0.0, 0.0)] + [(time, float(n + 1)) for n, time in enumerate(found.times)]
    layers = [Layer("step", [*steps, (found.hours, steps[-1][1])])]
    if found.crow is not None:
        hours = np.linspace(found.hours / 100, found.hours, 60).tolist()
        layers.append(Layer("fit", [(time, found.crow.expected(time)) for time in hours]))
    x = linear(t("reliability.pooled_hours"), 0.0, found.hours)
    y = linear(t("reliability.failures_so_far"), 0.0, len(found.times) * 1.1)
    return draw(Plot(t("reliability.growth_label"), x, y, layers))


def recurrence(t: Words, found: Recurrence) -> Markup | None:
    """Mean cumulative function, with its band where there is one."""
    if not found.mean:
        return None
    mean = [(0.0, 0.0)] + [(point.time, point.mean) for point in found.mean]
    bands = _bands(found.mean)
    highest = max([point.upper or point.mean for point in found.mean])
    top = min(highest, 2.5 * found.mean[-1].mean)
    x = linear(t("reliability.hours_watched"), 0.0, found.mean[-1].time)
    y = linear(t("reliability.per_device"), 0.0, top * 1.05)
    label = t("reliability.mcf_label" if bands else "reliability.mcf_label_bare")
    return draw(Plot(label, x, y, [*bands, Layer("step", mean)]))


def _bands(mean: Sequence[McfPoint]) -> list[Layer]:
    """One for each stretch of points that have bounds; each point's bounds hold until the next one."""
    found = []
    for bounded, stretch in groupby(range(len(mean)), lambda n: mean[n].error is not None):
        if not bounded:
            continue
        at = list(stretch)
        until = mean[min(at[-1] + 1, len(mean) - 1)].time
        lower = [(mean[n].time, mean[n].lower or 0.0) for n in at]
        upper = [(mean[n].time, mean[n].upper or 0.0) for n in at]
        found.append(Layer("band", _until(lower, until), _until(upper, until), stepped=True))
    return found
