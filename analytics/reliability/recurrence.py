"""Mean cumulative function of a fleet of repairable units (Nelson 1995), with the robust variance of Lawless &
Nadeau 1995, which allows for units that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from analytics.reliability.inputs import Floats, confidence
from kit.errors import Invalid


@dataclass(frozen=True)
class McfPoint:
    """Mean number of events per unit by `time`; bounds on the log scale.

    Attributes:
        error, lower, upper: None where the units show no spread: one unit alone, or all with equally many events. The
            variance comes from how units differ; where they do not, it is not known to be nothing.
    """

    time: float
    at_risk: int
    events: int
    mean: float
    error: float | None
    lower: float | None
    upper: float | None


NOT_TOLD: Final = (None, None, None)
NO_SPREAD: Final = 1e-6  # of the mean: a smaller error is what rounding leaves of none


def mean_cumulative(
    events: Mapping[str, Sequence[float]], ends: Mapping[str, float], level: float = 0.95
) -> list[McfPoint]:
    """The function at each event time, earliest first.

    Args:
        events: event times of each unit; equal times are several events.
        ends: end of observation of every unit, those without events included.

    Raises:
        Invalid: no units, a unit without an end, or an event outside of its unit's observation.
    """
    if not ends:
        raise Invalid("The population is empty: name every unit with the end of its observation.")
    for unit, times in events.items():
        if unit not in ends:
            raise Invalid(f"Unit {unit} has events but no end of observation.")
        if any(not 0 <= time <= ends[unit] for time in times):
            raise Invalid(f"Unit {unit} has an event outside of its observation, 0 to {ends[unit]}.")
    units = sorted(ends)
    at = np.unique([time for times in events.values() for time in times])
    if not at.size:
        return []
    until = np.array([ends[unit] for unit in units])
    risk = until.size - np.searchsorted(np.sort(until), at, side="left")
    total = np.zeros(at.size)
    np.add.at(total, np.searchsorted(at, [time for times in events.values() for time in times]), 1.0)
    mean = np.cumsum(total / risk)
    error = np.sqrt(_variance(units, events, until, at, risk, np.cumsum(total / risk**2)))
    z = float(stats.norm.ppf(0.5 + confidence(level) / 2))
    factor = np.exp(z * error / mean)
    spread = error > NO_SPREAD * mean
    return [
        McfPoint(
            float(t), int(risk[n]), int(total[n]), float(mean[n]),
            *((float(error[n]), float(mean[n] / factor[n]), float(mean[n] * factor[n])) if spread[n] else NOT_TOLD),
        )
        for n, t in enumerate(at)
    ]  # fmt: skip


def _variance(
    units: Sequence[str],
    events: Mapping[str, Sequence[float]],
    until: Floats,
    at: Floats,
    risk: npt.NDArray[np.int64],
    expected: Floats,
) -> Floats:
    """[t] the sum over units of their squared deviation from the mean while they are watched.

    A unit's deviation by t is E - M: E sums 1 / risk over its events, M is `expected` by t or by the unit's end. The
    sums of E², E·M and M² over all units change only at events and ends, so nothing of units × times is laid out.
    """
    number = {unit: row for row, unit in enumerate(units)}
    who = np.repeat([number[unit] for unit in events], [len(times) for times in events.values()])
    when = np.searchsorted(at, [time for times in events.values() for time in times])
    order = np.lexsort((when, who))
    who, when = who[order], when[order]
    share = 1 / risk[when]
    before = _before(who, share)
    squares = np.cumsum(np.bincount(when, share * (share + 2 * before), at.size))
    reached = np.cumsum(np.bincount(when, share, at.size))
    sums = np.bincount(who, share, until.size)  # E at each unit's end
    gone = np.searchsorted(at, until, side="right")  # the first time that the unit is not watched at
    final = np.r_[0.0, expected][gone]
    left = np.cumsum(
        [np.bincount(gone, each, at.size + 1)[: at.size] for each in (sums, sums * final, final**2)], axis=1
    )
    found: Floats = squares - 2 * (left[1] + expected * (reached - left[0])) + left[2] + risk * expected**2
    return found.clip(0.0)


def _before(who: npt.NDArray[np.int64], share: Floats) -> Floats:
    """[n] the sum of a unit's shares before each; rows lie by unit."""
    running = np.cumsum(share) - share
    heads = np.flatnonzero(np.r_[True, who[1:] != who[:-1]])
    before: Floats = running - np.repeat(running[heads], np.diff(np.r_[heads, who.size]))
    return before
