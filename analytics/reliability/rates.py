"""MTBF, MTTR and availability, with their intervals.

MTBF is pooled operating time ÷ failures of the whole population, devices that never failed included. (The mean of
the gaps between failures is something else: it forgets everybody who has not failed.) Bounds: chi-square, Epstein
& Sobel 1953; NIST/SEMATECH e-Handbook 8.4.5.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats

from analytics.reliability.inputs import confidence
from kit.errors import Invalid

Ended = Literal["time", "failure"]


@dataclass(frozen=True)
class Mtbf:
    """Hours per failure. `value` and `upper` are None without failures; then `lower` is one-sided."""

    hours: float
    failures: int
    value: float | None
    lower: float
    upper: float | None
    level: float


def mtbf(hours: float, failures: int, level: float = 0.9, ended: Ended = "time") -> Mtbf:
    """Point estimate and two-sided bounds of the mean time between failures.

    Args:
        hours: pooled operating hours of the population, above 0.
        failures: 0 or more.
        level: two-sided confidence.
        ended: observation ended at a time, or at the last failure.

    Raises:
        Invalid: no hours, a negative count, or a failure-terminated test without failures.

    >>> found = mtbf(344440, 12)
    >>> round(found.lower, 2), round(found.value, 2), round(found.upper, 2)
    (17715.77, 28703.33, 49744.28)
    >>> round(mtbf(1000, 0).lower, 2)
    434.29
    """
    alpha = 1.0 - confidence(level)
    if not (math.isfinite(hours) and hours > 0):
        raise Invalid(f"Operating hours must be above 0; they are {hours}.")
    if failures < 0 or (failures == 0 and ended == "failure"):
        raise Invalid(
            f"{failures} failures cannot be: 0 or more, and at least 1 when observation ended at one."
        )
    if failures == 0:
        return Mtbf(hours, 0, None, hours / math.log(1.0 / alpha), None, level)
    more = 2 * failures + (2 if ended == "time" else 0)
    lower = 2 * hours / float(stats.chi2.ppf(1 - alpha / 2, more))
    upper = 2 * hours / float(stats.chi2.ppf(alpha / 2, 2 * failures))
    return Mtbf(hours, failures, hours / failures, lower, upper, level)


def mtbf_of(hours: Sequence[float], failures: Sequence[int], level: float = 0.9) -> list[Mtbf | None]:
    """`mtbf` of many groups at once, observed until a time; None where a group has no hours."""
    alpha = 1.0 - confidence(level)
    pooled, count = np.asarray(hours, float), np.asarray(failures, float)
    if not (np.isfinite(pooled).all() and (pooled >= 0).all() and (count >= 0).all()):
        raise Invalid("Hours and failures must be 0 or more.")
    # the chi-square quantile with 2r degrees of freedom is twice that of the gamma distribution with shape r
    lower = pooled / np.where(count > 0, special.gammaincinv(count + 1, 1 - alpha / 2), math.log(1 / alpha))
    upper = pooled / special.gammaincinv(np.maximum(count, 1), alpha / 2)
    return [
        Mtbf(h, int(r), h / r if r else None, low, high if r else None, level) if h > 0 else None
        for h, r, low, high in zip(
            pooled.tolist(), count.tolist(), lower.tolist(), upper.tolist(), strict=True
        )
    ]


@dataclass(frozen=True)
class Mttr:
    """Hours per repair, with the interval of the mean (log scale, Student t); bounds None below two repairs."""

    repairs: int
    mean: float
    median: float
    lower: float | None
    upper: float | None
    level: float


def mttr(repair_hours: Sequence[float], level: float = 0.9) -> Mttr:
    """Mean time to repair. Leave preventive work out before calling.

    The interval is Cox's for the mean of log-normal times (Land 1972; Zhou & Gao 1997).

    Raises:
        Invalid: no repair, or one that took no time.
    """
    confidence(level)
    hours = np.asarray(repair_hours, float)
    if hours.size == 0 or not (np.isfinite(hours).all() and (hours > 0).all()):
        raise Invalid("Repair times must be there, finite and above 0.")
    mean, median = float(hours.mean()), float(np.median(hours))
    if hours.size < 2:
        return Mttr(int(hours.size), mean, median, None, None, level)
    logs = np.log(hours)
    variance = float(logs.var(ddof=1))
    centre = float(logs.mean()) + variance / 2
    spread = math.sqrt(variance / hours.size + variance**2 / (2 * (hours.size - 1)))
    t = float(special.stdtrit(hours.size - 1, 0.5 + level / 2))
    return Mttr(
        int(hours.size), mean, median, math.exp(centre - t * spread), math.exp(centre + t * spread), level
    )


def availability(up_hours: float, down_hours: float) -> float:
    """Inherent availability: time able to run ÷ (time able to run + time under repair).

    Raises:
        Invalid: a negative time, or no time at all.
    """
    if up_hours < 0 or down_hours < 0 or up_hours + down_hours == 0:
        raise Invalid(f"Up {up_hours} h and down {down_hours} h: both 0 or more, together above 0.")
    return up_hours / (up_hours + down_hours)
