"""Everything that can be said of one group: its lives, and how its failures recur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from scipy import special

from analytics.reliability import growth, lifetimes, many, recurrence, weibull
from analytics.reliability.growth import Growth, Trend
from analytics.reliability.lifetimes import SurvivalPoint
from analytics.reliability.lives import Life
from analytics.reliability.many import Unfit
from analytics.reliability.reasons import REASONS, Reason
from analytics.reliability.record import Event, Unit
from analytics.reliability.recurrence import McfPoint
from analytics.reliability.weibull import Replacement, Weibull
from kit.errors import Invalid


@dataclass(frozen=True)
class LifeAnalysis:
    """Of an item's lives.

    Attributes:
        late: lives that were watched from an age above 0 on.
        fit, reason: one of the two is None.
        b10: age by which a tenth has failed, and its bounds.
        positions: (age, share failed) of each failure, for the probability plot.
        straight: squared correlation of the positions with the fitted line's scales; 1 is a perfect Weibull.
        constant_p: likelihood-ratio test of shape 1: small means that age matters.
        replacement: None without costs or fit.
    """

    lives: int
    failed: int
    suspended: int
    running: int
    late: int
    hours: float
    fit: Weibull | None
    reason: Reason | None
    b10: tuple[float, tuple[float, float] | None] | None
    survival: Sequence[SurvivalPoint]
    positions: Sequence[tuple[float, float]]
    straight: float | None
    constant_p: float | None
    replacement: Replacement | None


def of_lives(lives: Sequence[Life], level: float, costs: tuple[float, float] | None = None) -> LifeAnalysis:
    """Fit, curve, positions and policy.

    Args:
        costs: of a planned replacement and of a failure, in one currency.
    """
    return of_groups([lives], level, costs)[0]


def of_groups(
    groups: Sequence[Sequence[Life]], level: float, costs: tuple[float, float] | None = None
) -> list[LifeAnalysis]:
    """The same of many groups, which are fitted together."""
    return [_of(lives, fit, level, costs) for lives, fit in zip(groups, fits(groups, level), strict=True)]


def _of(
    lives: Sequence[Life], found: Weibull | Unfit, level: float, costs: tuple[float, float] | None
) -> LifeAnalysis:
    fit, reason = (None, REASONS[found.reason]) if isinstance(found, Unfit) else (found, None)
    how = [life.how for life in lives]
    ends, failed = [life.end for life in lives], [each == "failed" for each in how]
    entries = [life.entry for life in lives]
    survival = lifetimes.kaplan_meier(ends, failed, level, entries) if lives else []
    positions = lifetimes.plotting_positions(survival)
    hours = math.fsum(ends) - math.fsum(entries)
    return LifeAnalysis(
        len(lives), how.count("failed"), how.count("suspended"), how.count("running"),
        sum(entry > 0 for entry in entries), hours, fit, reason,
        (fit.quantile(0.1), fit.quantile_bounds(0.1)) if fit else None, survival, positions,
        _straight(positions), _constant_p(fit, hours) if fit else None,
        weibull.optimal_replacement(fit, *costs) if fit and costs else None,
    )  # fmt: skip


def fits(groups: Sequence[Sequence[Life]], level: float) -> list[Weibull | Unfit]:
    """The Weibull of many groups of lives at once."""
    lives = [life for group in groups for life in group]
    return many.fit_groups(
        np.array([life.end for life in lives]),
        np.array([life.failed for life in lives], bool),
        np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
        len(groups),
        level,
        np.array([life.entry for life in lives]),
    )


def _straight(positions: Sequence[tuple[float, float]]) -> float | None:
    if len(positions) < 3:
        return None
    age, share = np.array(positions).T
    x, y = np.log(age), np.log(-np.log1p(-share))
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x) * float(y @ y)
    return float(x @ y) ** 2 / spread if spread > 0 else None


def _constant_p(fit: Weibull, hours: float) -> float:
    """p of "the failure rate is constant": twice the gain in likelihood is chi-square with one degree of freedom."""
    exponential = fit.failures * math.log(fit.failures / hours) - fit.failures
    gain = max(2 * (fit.log_likelihood - exponential), 0.0)
    return float(special.chdtrc(1, gain))


@dataclass(frozen=True)
class Recurrence:
    """Of a group of devices that are repaired.

    Attributes:
        hours: operating hours of the group in the period, pooled.
        times: pooled hours at which the failures came, in order of time.
        crow, trend, reason: the last is None when the first two are there.
        mean: failures per device by the hours it was watched.
        note: why the last of `mean` has no interval; None where it has one.
    """

    hours: float
    times: Sequence[float]
    crow: Growth | None
    trend: Trend | None
    reason: Reason | None
    mean: Sequence[McfPoint] = field(default_factory=tuple)
    note: Reason | None = None


def recur(
    units: Sequence[Unit],
    failures: Sequence[Event],
    days: Sequence[tuple[datetime, float]],
    level: float,
) -> Recurrence:
    """Growth of the group as one system, and the mean cumulative function of its devices.

    Args:
        units: the group. failures: of its devices, inside the period.
        days: moments in rising order and the group's pooled operating hours by each, from the period's beginning.
    """
    running = {unit.id: unit for unit in units if unit.hours > 0}
    if not running or not days:
        return Recurrence(0.0, (), None, None, REASONS["empty"])
    counted = sorted((event for event in failures if event.device in running), key=lambda event: event.at)
    moments = [at.timestamp() for at, _ in days]
    total = days[-1][1]
    found = np.interp([event.at.timestamp() for event in counted], moments, [hours for _, hours in days])
    times = [float(min(max(time, RESOLUTION), total)) for time in found]
    crow = trend = reason = None
    try:
        crow = growth.crow_amsaa(times, total, level, "time")
        trend = growth.trend(times, total, "time")
    except Invalid as error:
        if error.details.get("reason") not in REASONS:
            raise
        reason = REASONS[error.details["reason"]]
    mean = _mean(running, counted, level)
    return Recurrence(total, times, crow, trend, reason, mean, _no_interval(mean))


RESOLUTION = 0.1  # hours


def _mean(units: dict[int, Unit], failures: Sequence[Event], level: float) -> list[McfPoint]:
    ends = {str(unit.id): unit.hours for unit in units.values()}
    events: dict[str, list[float]] = {}
    for event in failures:
        unit = units[event.device]
        watched = min(max(event.age - unit.age_from, 0.0), unit.hours)
        events.setdefault(str(unit.id), []).append(watched)
    return recurrence.mean_cumulative(events, ends, level)


def _no_interval(mean: Sequence[McfPoint]) -> Reason | None:
    if not mean or mean[-1].error is not None:
        return None
    alone = max(point.at_risk for point in mean) == 1
    return REASONS["one_device" if alone else "no_spread"]
