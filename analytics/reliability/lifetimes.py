"""Kaplan-Meier survival with Greenwood's variance; log-log bounds (Kalbfleisch & Prentice 1980)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analytics.reliability.inputs import confidence, lifetimes


@dataclass(frozen=True)
class SurvivalPoint:
    """At a failure time: the share that survives it. Bounds None where S is 0 or 1 and the scale has none."""

    time: float
    at_risk: int
    failures: int
    survival: float
    lower: float | None
    upper: float | None


def kaplan_meier(times: Sequence[float], failed: Sequence[bool], level: float = 0.95) -> list[SurvivalPoint]:
    """The survival function at each failure time, earliest first; empty when nothing failed.

    A life censored at a failure time counts as at risk there.
    """
    hours, events = lifetimes(times, failed)
    at, deaths = np.unique(hours[events], return_counts=True)
    risk = hours.size - np.searchsorted(np.sort(hours), at, side="left")
    survival = np.cumprod(1 - deaths / risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (risk * (risk - deaths)))
        error = np.sqrt(greenwood) / np.abs(np.log(survival))
    z = float(stats.norm.ppf(0.5 + confidence(level) / 2))
    points = []
    for n, share in enumerate(survival):
        inside = 0 < share < 1 and np.isfinite(error[n])
        low = float(share ** np.exp(z * error[n])) if inside else None
        high = float(share ** np.exp(-z * error[n])) if inside else None
        points.append(SurvivalPoint(float(at[n]), int(risk[n]), int(deaths[n]), float(share), low, high))
    return points


def survival_at(points: Sequence[SurvivalPoint], time: float) -> float:
    """S(time) of the step function."""
    return next((point.survival for point in reversed(points) if point.time <= time), 1.0)
