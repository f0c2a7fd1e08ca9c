"""Two-parameter Weibull by maximum likelihood with right censoring and left truncation.

The scale is profiled out, so that the shape is one root search (Meeker & Escobar 1998, ch. 8); bounds are normal
approximations on the log scale from the observed information, so that they cannot go negative.

Left truncation: a life that was watched from age e on says nothing of the hours before; its likelihood is that of a
life that has survived e, so each power x ** shape becomes x ** shape - e ** shape. The profile's slope stays
monotone (it is the mean of ln t over the hours watched, weighted by t ** (shape - 1), less that of the failures), so
there is one root at most; there is none when the failures lie earlier than any shape above 0 explains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import integrate, optimize, special

from analytics.reliability.inputs import Bools, Floats, confidence, entered, lifetimes
from analytics.reliability.reasons import REASONS
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
    covariance: tuple[float, float, float] | None = None
    """Variance of ln shape, of ln scale, and their covariance."""

    def reliability(self, time: float) -> float:
        """Probability of surviving `time`."""
        return math.exp(-((time / self.scale) ** self.shape))

    def quantile(self, share: float) -> float:
        """Time by which `share` of the population has failed: 0.1 is B10."""
        return self.scale * math.pow(-math.log1p(-share), 1 / self.shape)

    def quantile_bounds(self, share: float) -> tuple[float, float] | None:
        """Bounds of `quantile` at `level`, by the delta method on the log scale (Meeker & Escobar 1998, 8.4)."""
        if self.covariance is None:
            return None
        of_shape, of_scale, both = self.covariance
        by_shape = -math.log(-math.log1p(-share)) / self.shape
        variance = of_scale + by_shape**2 * of_shape + 2 * by_shape * both
        factor = math.exp(float(special.ndtri(0.5 + self.level / 2)) * math.sqrt(max(variance, 0.0)))
        return self.quantile(share) / factor, self.quantile(share) * factor

    def mean(self) -> float:
        """Expected life."""
        return self.scale * math.gamma(1 + 1 / self.shape)


SMALLEST, LARGEST = 0.1, 1e4
"""Shapes that are looked at."""
WIDEST = math.log(1e6)
"""A bound further from its estimate than this (as a ratio, in logs) means that nothing was learnt of it."""


def fit(
    times: Sequence[float],
    failed: Sequence[bool],
    level: float = 0.95,
    entries: Sequence[float] | None = None,
) -> Weibull:
    """Fit shape and scale to `times` [n], of which `failed` [n] ended in a failure: one root search for one group. The
    product fits by `many.fit_groups`, which is checked against this and, with it, against published answers.

    Args:
        entries: [n] age from which each life was watched; default 0, from the beginning.

    Raises:
        Invalid: fewer than two distinct failure times: then no shape can be told; or none fits, or any would, which
            happens to lives that were all entered late. `details["reason"]` is a code of `reasons.REASONS`.
    """
    confidence(level)
    hours, events = lifetimes(times, failed)
    begins = entered(entries, hours)
    if (missing := _missing(hours[events])) is not None:
        raise Invalid(
            f"A Weibull fit needs failures at two different times at least; there are {int(events.sum())} failures "
            f"in {hours.size} lives. Use the MTBF with its bounds instead.",
            reason=missing,
        )
    unit = float(hours.max())  # keeps powers within range
    score = _score(hours / unit, begins / unit, float(np.log(hours[events] / unit).mean()))
    if score(SMALLEST) >= 0:
        raise Invalid(REASONS["decreasing"].text_en, reason="decreasing")
    high = 2.0
    while score(high) < 0:
        if high >= LARGEST:
            raise Invalid(REASONS["same_time"].text_en, reason="same_time")
        high = min(2 * high, LARGEST)
    shape = float(optimize.brentq(score, SMALLEST, high, xtol=1e-13, rtol=8.9e-16))
    failures = int(events.sum())
    total = float(((hours / unit) ** shape - (begins / unit) ** shape).sum())
    return _with_bounds(hours, begins, events, shape, unit * (total / failures) ** (1 / shape), level)


def _missing(failures: Floats) -> str | None:
    if failures.size < 2:
        return "one_failure" if failures.size else "all_censored"
    return "same_time" if failures.min() == failures.max() else None


def _score(x: Floats, begins: Floats, mean_log: float) -> Callable[[float], float]:
    """The profile likelihood's slope, of opposite sign."""
    late = begins[begins > 0]
    logs, late_logs = np.log(x), np.log(late)

    def score(shape: float) -> float:
        power, before = x**shape, late**shape
        top = float((power * logs).sum() - (before * late_logs).sum())
        return top / float(power.sum() - before.sum()) - 1 / shape - mean_log

    return score


def _with_bounds(
    hours: Floats, begins: Floats, events: Bools, shape: float, scale: float, level: float
) -> Weibull:
    """Observed information in (ln shape, ln scale), inverted."""
    late = begins[begins > 0]
    logs, late_logs = np.log(hours / scale), np.log(late / scale)
    power, before = (hours / scale) ** shape, (late / scale) ** shape
    failures = float(events.sum())
    sum_0 = float(power.sum() - before.sum())
    sum_1 = float((power * logs).sum() - (before * late_logs).sum())
    sum_2 = float((power * logs**2).sum() - (before * late_logs**2).sum())
    # second derivatives of the negative log-likelihood at the maximum
    kk, ss = failures + shape**2 * sum_2, shape**2 * sum_0
    ks = shape * (failures - sum_0) - shape**2 * sum_1
    determinant = kk * ss - ks**2
    of_shape, of_scale, both = ss / determinant, kk / determinant, -ks / determinant
    z = float(special.ndtri(0.5 + level / 2))
    if determinant <= 0 or z * math.sqrt(max(of_shape, of_scale)) > WIDEST:
        raise Invalid(REASONS["unsettled"].text_en, reason="unsettled")
    by_shape, by_scale = math.exp(z * math.sqrt(of_shape)), math.exp(z * math.sqrt(of_scale))
    likelihood = float(failures * math.log(shape / scale) + (shape - 1) * logs[events].sum() - sum_0)
    return Weibull(
        shape, scale, (shape / by_shape, shape * by_shape), (scale / by_scale, scale * by_scale),
        level, int(failures), int(hours.size), likelihood, (of_shape, of_scale, both),
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
