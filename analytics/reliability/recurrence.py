"""Mean cumulative function of a fleet of repairable units (Nelson 1995), with the robust variance of Lawless &
Nadeau 1995, which allows for units that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analytics.reliability.inputs import Floats, confidence
from kit.errors import Invalid

BLOCK = 256  # units at a time: bounds the memory


@dataclass(frozen=True)
class McfPoint:
    """Mean number of events per unit by `time`; bounds on the log scale."""

    time: float
    at_risk: int
    events: int
    mean: float
    error: float
    lower: float
    upper: float


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
    for times in events.values():
        np.add.at(total, np.searchsorted(at, times), 1.0)
    mean, error = np.cumsum(total / risk), np.sqrt(_variance(units, events, until, at, risk, total))
    z = float(stats.norm.ppf(0.5 + confidence(level) / 2))
    factor = np.exp(z * error / mean)
    return [
        McfPoint(float(t), int(risk[n]), int(total[n]), float(mean[n]), float(error[n]),
                 float(mean[n] / factor[n]), float(mean[n] * factor[n]))
        for n, t in enumerate(at)
    ]  # fmt: skip


def _variance(
    units: Sequence[str],
    events: Mapping[str, Sequence[float]],
    until: Floats,
    at: Floats,
    risk: npt.NDArray[np.int64],
    total: Floats,
) -> Floats:
    """[t] the sum over units of their squared, cumulated deviation from the mean; a block of units at a time."""
    variance = np.zeros(at.size)
    for first in range(0, len(units), BLOCK):
        block = units[first : first + BLOCK]
        counts = np.zeros((len(block), at.size))
        for row, unit in enumerate(block):
            if unit in events:
                np.add.at(counts[row], np.searchsorted(at, events[unit]), 1.0)
        present = until[first : first + BLOCK, None] >= at[None, :]
        deviation = np.cumsum(present / risk * (counts - total / risk), axis=1)
        variance += (deviation**2).sum(axis=0)
    return variance
