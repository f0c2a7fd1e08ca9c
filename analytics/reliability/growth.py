"""Crow-AMSAA (power-law Poisson process) of one repairable system or pooled test, and tests for trend.

Estimates and bounds: MIL-HDBK-189C, 5.5; IEC 61164; of the instantaneous MTBF: Crow 1982, "Confidence interval
procedures for the Weibull process with applications to reliability growth". Trend: Laplace 1773 and MIL-HDBK-189's
chi-square test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special, stats

from analytics.reliability.inputs import confidence
from kit.errors import Invalid


@dataclass(frozen=True)
class Growth:
    """Expected failures by t: lam · t ** beta; beta below 1 is improvement.

    `beta_unbiased` None below three failures (time-terminated: two).
    """

    beta: float
    lam: float
    beta_unbiased: float | None
    beta_bounds: tuple[float, float]
    mtbf_cumulative: float
    mtbf_instantaneous: float
    mtbf_bounds: tuple[float, float]
    """Of `mtbf_instantaneous`, the MTBF at the end."""
    failures: int
    total: float
    level: float

    def expected(self, time: float) -> float:
        """Failures by `time`."""
        return float(self.lam * time**self.beta)


@dataclass(frozen=True)
class Trend:
    """Two tests of "no trend"; p-values are two-sided. `laplace` below 0: failures become rarer."""

    laplace: float
    laplace_p: float
    military: float
    military_p: float


def crow_amsaa(
    times: Sequence[float],
    total: float | None = None,
    level: float = 0.9,
    ended: Literal["time", "failure"] = "failure",
) -> Growth:
    """Fit to cumulative failure times; `total` is the end of observation (default: the last failure).

    Raises:
        Invalid: fewer than two failures, times that are not above 0, or after the end.
    """
    at, end, logs = _checked(times, total, ended)
    n = at.size
    beta = n / logs
    lam = n / end**beta
    loss = 2 if ended == "failure" else 1
    alpha, degrees = 1 - confidence(level), 2 * (n - 1) if ended == "failure" else 2 * n
    bounds = (
        beta * float(stats.chi2.ppf(alpha / 2, degrees)) / (2 * n),
        beta * float(stats.chi2.ppf(1 - alpha / 2, degrees)) / (2 * n),
    )
    cumulative = end / n
    unbiased = beta * (n - loss) / n if n > loss else None
    now = cumulative / beta
    return Growth(
        beta, lam, unbiased, bounds, cumulative, now, _mtbf_bounds(now, n, alpha, degrees), int(n), end, level
    )  # fmt: skip


def _mtbf_bounds(now: float, n: int, alpha: float, degrees: int) -> tuple[float, float]:
    """Of the MTBF at the end. The estimate ÷ the truth is A · B ÷ 4n², A and B independent chi-squares: 2nβ ÷ its
    estimate, with the degrees of freedom of β's bounds, and twice the failures expected by the end, with 2n. Where
    observation ended at a time the second is counted, so it has 2n + 2 below: as for the MTBF, a little wide."""
    below = 2 * n + (0 if degrees < 2 * n else 2)
    return (
        now * 4 * n**2 / _product_quantile(1 - alpha / 2, degrees, below),
        now * 4 * n**2 / _product_quantile(alpha / 2, degrees, 2 * n),
    )


# The trapezoidal rule over a standard normal: exact to machine precision for functions as smooth as these.
_NORMAL = np.arange(-7.5, 7.51, 0.25)
_WEIGHT = np.exp(-(_NORMAL**2) / 2) * 0.25 / math.sqrt(2 * math.pi)


def _product_quantile(share: float, a: int, b: int) -> float:
    """Quantile of the product of two independent chi-squares with `a` and `b` degrees of freedom."""
    first = 2 * np.where(
        _NORMAL < 0,
        special.gammaincinv(a / 2, special.ndtr(_NORMAL)),
        special.gammainccinv(a / 2, special.ndtr(-_NORMAL)),
    )

    def excess(log_product: float) -> float:
        return float(_WEIGHT @ special.gammainc(b / 2, math.exp(log_product) / first / 2)) - share

    middle, wide = math.log(a * b), 40.0 / math.sqrt(min(a, b)) + 1.0
    return math.exp(optimize.brentq(excess, middle - wide, middle + wide, xtol=1e-12))


def trend(
    times: Sequence[float], total: float | None = None, ended: Literal["time", "failure"] = "failure"
) -> Trend:
    """Is the rate of failures constant?"""
    at, end, logs = _checked(times, total, ended)
    inner = at[:-1] if ended == "failure" else at
    laplace = float((inner.mean() / end - 0.5) * math.sqrt(12 * inner.size))
    statistic, degrees = 2 * logs, 2 * inner.size
    below = float(stats.chi2.cdf(statistic, degrees))
    return Trend(laplace, float(2 * stats.norm.sf(abs(laplace))), statistic, 2 * min(below, 1 - below))


def _checked(
    times: Sequence[float], total: float | None, ended: str
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], float, float]:
    at = np.sort(np.asarray(times, float))
    if at.size < 2:
        raise Invalid(f"Growth needs two failures at least; there are {at.size}.", reason="few_events")
    if not np.isfinite(at).all() or at[0] <= 0:
        raise Invalid("Cumulative failure times must be finite and above 0.")
    end = float(at[-1]) if total is None else float(total)
    if end < at[-1]:
        raise Invalid(f"Observation ends at {end}, before the last failure at {at[-1]}.")
    if ended == "failure" and end != at[-1]:
        raise Invalid(f"Observation that ended at a failure ends at the last one, {at[-1]}, not at {end}.")
    logs = float(np.log(end / at).sum())
    if logs == 0:
        raise Invalid(
            "All failures are at the end of observation: no trend can be told.", reason="at_the_end"
        )
    return at, end, logs
