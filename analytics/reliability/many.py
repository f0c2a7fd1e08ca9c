"""The Weibull fit of many groups at once: Newton on all profile likelihoods together.

The same estimates as `weibull.fit` (a test compares them); a thousand groups cost about as much as two dozen single
fits, because each step is a handful of passes over one array of all lives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from analytics.reliability.inputs import Bools, Floats, confidence, entered, lifetimes
from analytics.reliability.weibull import LARGEST, SMALLEST, WIDEST, Weibull
from kit.errors import Invalid

Ints = npt.NDArray[np.int64]
STEPS = 100  # bisection alone would need 60


@dataclass(frozen=True)
class Unfit:
    """A group that no Weibull can be fitted to; `reason` is a code of `reasons.REASONS`."""

    reason: str
    failures: int
    population: int


def fit_groups(
    times: Floats, failed: Bools, group: Ints, groups: int, level: float = 0.95, entries: Floats | None = None
) -> list[Weibull | Unfit]:
    """Fit every group.

    Args:
        times, failed, entries: [n] as in `weibull.fit`, of all groups together, in any order.
        group: [n] to which group each life belongs, 0 to groups - 1.

    Raises:
        Invalid: as `weibull.fit` for the times; a group number outside of the range.
    """
    confidence(level)
    if len(times) == 0:
        return [Unfit("empty", 0, 0)] * groups
    hours, events = lifetimes(times, failed)  # type: ignore[arg-type]
    begins = entered(entries, hours)  # type: ignore[arg-type]
    which = np.asarray(group, np.int64)
    if which.shape != hours.shape or which.min() < 0 or which.max() >= groups:
        raise Invalid(f"Each life needs the number of its group, 0 to {groups - 1}.")
    lives = _Lives.of(hours, begins, events, which, groups)
    reasons = lives.reasons()
    fitting = np.flatnonzero(reasons == "")
    shape = np.ones(groups)
    if fitting.size:
        shape, decreasing, steep = lives.solve(reasons == "")
        reasons[decreasing], reasons[steep] = "decreasing", "same_time"
    return lives.results(shape, reasons, level)


@dataclass(frozen=True)
class _Lives:
    """Lives of all groups, times in units of each group's longest.

    Attributes:
        logs, group, failed: [n] ends of lives. late_logs, late_group: [m] entries above 0.
        unit, failures, population, mean_log: [g]; mean_log is that of the failures, 0 where there is none.
    """

    logs: Floats
    group: Ints
    failed: Bools
    late_logs: Floats
    late_group: Ints
    unit: Floats
    failures: Floats
    population: Ints
    mean_log: Floats
    distinct: Bools

    @classmethod
    def of(cls, hours: Floats, begins: Floats, events: Bools, which: Ints, groups: int) -> _Lives:
        unit = np.zeros(groups)
        np.maximum.at(unit, which, hours)
        logs = np.log(hours / unit[which])
        late = begins > 0
        died = which[events]
        failures = np.bincount(died, minlength=groups).astype(float)
        sums = np.bincount(died, logs[events], groups)
        first, last = np.full(groups, np.inf), np.full(groups, -np.inf)
        np.minimum.at(first, died, hours[events])
        np.maximum.at(last, died, hours[events])
        return cls(
            logs, which, events, np.log(begins[late] / unit[which[late]]), which[late], unit, failures,
            np.bincount(which, minlength=groups), sums / np.maximum(failures, 1), last > first,
        )  # fmt: skip

    def reasons(self) -> npt.NDArray[np.str_]:
        """[g] why a group cannot be fitted, "" where it can."""
        conditions = [self.population == 0, self.failures == 0, self.failures == 1, ~self.distinct]
        names = ["empty", "all_censored", "one_failure", "same_time"]
        return np.select(conditions, names, default="").astype("U16")

    def sums(self, shape: Floats) -> tuple[Floats, Floats, Floats]:
        """[g] sums of x ** shape, times ln x, times ln x squared; entries taken off."""
        groups = self.unit.size
        power = np.exp(shape[self.group] * self.logs)
        first = power * self.logs
        found: list[Floats] = [
            np.bincount(self.group, each, groups).astype(float) for each in (power, first, first * self.logs)
        ]
        if self.late_logs.size:
            power = np.exp(shape[self.late_group] * self.late_logs)
            first = power * self.late_logs
            for into, each in zip(found, (power, first, first * self.late_logs), strict=True):
                into -= np.bincount(self.late_group, each, groups)
        return found[0], found[1], found[2]

    def solve(self, wanted: Bools) -> tuple[Floats, Bools, Bools]:
        """[g] the shapes; where only smaller ones would fit than are looked at, and where only larger ones. Newton in
        ln shape, kept inside a bracket that shrinks."""
        low, high = np.full(self.unit.size, SMALLEST), np.full(self.unit.size, LARGEST)
        decreasing = wanted & (self._score(low)[0] >= 0)
        steep = wanted & (self._score(high)[0] < 0)
        open_ = wanted & ~decreasing & ~steep
        shape = np.ones(self.unit.size)
        for _ in range(STEPS):
            score, slope = self._score(shape)
            low = np.where(open_ & (score < 0), shape, low)
            high = np.where(open_ & (score >= 0), shape, high)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                newton = shape * np.exp(-score / (shape * slope))
            inside = (newton > low) & (newton < high)
            following = np.where(open_, np.where(inside, newton, np.sqrt(low * high)), shape)
            moved = np.abs(following / shape - 1)
            shape = following
            open_ &= moved > 1e-13
            if not open_.any():
                break
        return shape, decreasing, steep

    def _score(self, shape: Floats) -> tuple[Floats, Floats]:
        """[g] the profile likelihood's slope, of opposite sign, and its derivative (above 0)."""
        zero, one, two = self.sums(shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = one / zero
            return mean - 1 / shape - self.mean_log, two / zero - mean**2 + 1 / shape**2

    def results(self, shape: Floats, reasons: npt.NDArray[np.str_], level: float) -> list[Weibull | Unfit]:
        """Bounds as in `weibull.fit`."""
        zero, one, two = self.sums(shape)
        r = self.failures
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale = (zero / r) ** (1 / shape)  # in units
            shift, factor = np.log(scale), r / zero  # power sums in terms of x / scale
            first, second = (
                factor * (one - shift * zero),
                factor * (two - 2 * shift * one + shift**2 * zero),
            )
            kk, ss, ks = r + shape**2 * second, shape**2 * r, -(shape**2) * first
            determinant = kk * ss - ks**2
            of_shape, of_scale, both = ss / determinant, kk / determinant, -ks / determinant
            z = special.ndtri(0.5 + level / 2)
            settled = (determinant > 0) & (z * np.sqrt(np.maximum(of_shape, of_scale)) <= WIDEST)
            reasons = np.where((reasons == "") & ~settled, "unsettled", reasons)
            by_shape, by_scale = np.exp(z * np.sqrt(of_shape)), np.exp(z * np.sqrt(of_scale))
            best = r * (np.log(shape / (scale * self.unit)) + (shape - 1) * (self.mean_log - shift) - 1)
        columns = (shape, scale * self.unit, by_shape, by_scale, best, of_shape, of_scale, both)
        table = np.stack(columns, axis=1).tolist()
        made: list[Weibull | Unfit] = []
        for at, (k, s, bk, bs, ll, vk, vs, cov) in enumerate(table):
            counts = int(r[at]), int(self.population[at])
            if reasons[at]:
                made.append(Unfit(str(reasons[at]), *counts))
                continue
            made.append(Weibull(k, s, (k / bk, k * bk), (s / bs, s * bs), level, *counts, ll, (vk, vs, cov)))
        return made
