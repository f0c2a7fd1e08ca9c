"""Two-parameter Weibull by maximum likelihood with right censoring.

The scale is profiled out, so that the shape is one root search (Meeker & Escobar 1998, ch. 8); bounds are normal
approximations on the log scale from the observed information, so that they cannot go negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import integrate, optimize, stats

from analytics.reliability.inputs import Floats, confidence, lifetimes
from kit.errors import Invalid


@dataclass(frozen=True)
class Weibull:
    """R(t) = exp(-(t / scale) ** shape). Bounds are two-sided at `level`."""

    shape: float
    scale: float
    shape_bounds: tuple[float, float]
    scale_bounds: tuple[float, float]
    level: float
    failures: int
    population: int
    log_likelihood: float

    def reliability(self, time: float) -> float:
        """Probability of surviving `time`."""
        return math.exp(-((time / self.scale) ** self.shape))

    def quantile(self, share: float) -> float:
        """Time by which `share` of the population has failed: 0.1 is B10."""
        return self.scale * math.pow(-math.log1p(-share), 1 / self.shape)

    def mean(self) -> float:
        """Expected life."""
        return self.scale * math.gamma(1 + 1 / self.shape)


def fit(times: Sequence[float], failed: Sequence[bool], level: float = 0.95) -> Weibull:
    """Fit shape and scale to `times` [n], of which `failed` [n] ended in a failure.

    Raises:
        Invalid: fewer than two distinct failure times: then no shape can be told.
    """
    confidence(level)
    hours, events = lifetimes(times, failed)
    if len(np.unique(hours[events])) < 2:
        raise Invalid(
            f"A Weibull fit needs failures at two different times at least; there are {int(events.sum())} failures "
            f"in {hours.size} lives. Use the MTBF with its bounds instead."
        )
    unit = float(hours.max())  # keeps powers within range
    x, logs = hours / unit, np.log(hours / unit)
    mean_log = float(logs[events].mean())

    def slope(shape: float) -> float:
        power = x**shape
        return float((power * logs).sum() / power.sum() - 1 / shape - mean_log)

    high = 2.0
    while slope(high) < 0 and high < 1e4:
        high *= 2
    shape = float(optimize.brentq(slope, 1e-3, high, xtol=1e-13, rtol=8.9e-16))
    failures = int(events.sum())
    scale = unit * float(((x**shape).sum() / failures) ** (1 / shape))
    return _with_bounds(hours, events.astype(float), shape, scale, level)


def _with_bounds(hours: Floats, events: Floats, shape: float, scale: float, level: float) -> Weibull:
    """Observed information in (log shape, log scale), inverted."""
    logs = np.log(hours / scale)
    power = (hours / scale) ** shape
    failures = float(events.sum())
    # second derivatives of the negative log-likelihood at the maximum
    kk = failures + float((power * (shape * logs) ** 2).sum())
    ss = shape**2 * float(power.sum())
    ks = shape * (failures - float(power.sum())) - shape**2 * float((power * logs).sum())
    determinant = kk * ss - ks**2
    z = float(stats.norm.ppf(0.5 + level / 2))
    by_shape, by_scale = math.exp(z * math.sqrt(ss / determinant)), math.exp(z * math.sqrt(kk / determinant))
    likelihood = float((events * (math.log(shape / scale) + (shape - 1) * logs)).sum() - power.sum())
    return Weibull(
        shape, scale, (shape / by_shape, shape * by_shape), (scale / by_scale, scale * by_scale),
        level, int(failures), int(hours.size), likelihood,
    )  # fmt: skip


@dataclass(frozen=True)
class Replacement:
    """`age` None: run to failure is cheapest. Costs per unit of time."""

    age: float | None
    cost_rate: float
    run_to_failure_rate: float


def optimal_replacement(life: Weibull, planned_cost: float, failure_cost: float) -> Replacement:
    """Age replacement policy of least cost per time (Barlow & Hunter 1960):
    C(t) = (planned · R(t) + failure · F(t)) / ∫₀ᵗ R.

    Raises:
        Invalid: a cost is not above 0.
    """
    if planned_cost <= 0 or failure_cost <= 0:
        raise Invalid(f"Costs must be above 0; planned {planned_cost}, failure {failure_cost}.")
    run_to_failure = failure_cost / life.mean()
    if life.shape <= 1 or planned_cost >= failure_cost:
        return Replacement(None, run_to_failure, run_to_failure)

    def rate(log_age: float) -> float:
        age = math.exp(log_age)
        survive = life.reliability(age)
        lived, _ = integrate.quad(life.reliability, 0, age, limit=200)
        return float((planned_cost * survive + failure_cost * (1 - survive)) / lived)

    bounds = (math.log(life.quantile(1e-6)), math.log(life.quantile(0.9999)))
    found = optimize.minimize_scalar(rate, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    if found.fun >= run_to_failure * (1 - 1e-9):
        return Replacement(None, run_to_failure, run_to_failure)
    return Replacement(math.exp(float(found.x)), float(found.fun), run_to_failure)
