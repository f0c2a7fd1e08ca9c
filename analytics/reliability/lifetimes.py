"""Kaplan-Meier survival with Greenwood's variance; log-log bounds (Kalbfleisch & Prentice 1980); plotting positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analytics.reliability.inputs import confidence, entered, lifetimes


@dataclass(frozen=True)
class SurvivalPoint:
    """At a failure time: the share that survives it. Bounds None where S is 0 or 1 and the scale has none."""

    time: float
    at_risk: int
    failures: int
    survival: float
    lower: float | None
    upper: float | None


def kaplan_meier(
    times: Sequence[float],
    failed: Sequence[bool],
    level: float = 0.95,
    entries: Sequence[float] | None = None,
) -> list[SurvivalPoint]:
    """The survival function at each failure time, earliest first; empty when nothing failed.

    A life censored at a failure time counts as at risk there. A life that was watched from `entries` [n] on is at
    risk after that age only; the function is then that of items that have reached the youngest age watched.
    """
    hours, events = lifetimes(times, failed)
    begins = entered(entries, hours)
    at, deaths = np.unique(hours[events], return_counts=True)
    ended = np.searchsorted(np.sort(hours), at, side="left")
    risk = np.searchsorted(np.sort(begins), at, side="left") - ended
    survival = np.cumprod(1 - deaths / risk)
    z = float(special.ndtri(0.5 + confidence(level) / 2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        greenwood = np.cumsum(deaths / (risk * (risk - deaths)))
        error = np.sqrt(greenwood) / np.abs(np.log(survival))
        inside = (survival > 0) & (survival < 1) & np.isfinite(error)
        factor = np.exp(z * error)
        low, high = survival**factor, survival ** (1 / factor)
    columns = (at, risk, deaths, survival, low, high, inside)
    return [
        SurvivalPoint(time, there, died, share, lower if known else None, upper if known else None)
        for time, there, died, share, lower, upper, known in zip(*(c.tolist() for c in columns), strict=True)
    ]


def survival_at(points: Sequence[SurvivalPoint], time: float) -> float:
    """S(time) of the step function."""
    return next((point.survival for point in reversed(points) if point.time <= time), 1.0)


def plotting_positions(points: Sequence[SurvivalPoint]) -> list[tuple[float, float]]:
    """(time, share failed) for a probability plot: the middle of each step (Meeker & Escobar 1998, 6.4)."""
    before, positions = 1.0, []
    for point in points:
        share = 1 - (before + point.survival) / 2
        before = point.survival
        if 0 < share < 1:
            positions.append((point.time, share))
    return positions
