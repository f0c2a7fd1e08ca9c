"""Mean cumulative function of a fleet of repairable units (Nelson 1995), with the robust variance of Lawless &
Nadeau 1995, which allows for units that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analytics.reliability.inputs import confidence
from kit.errors import Invalid


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
    counts = np.array(
        [[np.sum(np.asarray(events.get(unit, ()), float) == t) for t in at] for unit in units], float
    )
    counts = counts.reshape(len(units), at.size)
    present = np.array([ends[unit] for unit in units])[:, None] >= at[None, :]
    risk, total = present.sum(axis=0), counts.sum(axis=0)
    mean = np.cumsum(total / risk)
    deviation = np.cumsum(present / risk * (counts - (total / risk)), axis=1)
    error = np.sqrt((deviation**2).sum(axis=0))
    z = float(stats.norm.ppf(0.5 + confidence(level) / 2))
    factor = np.exp(z * error / mean)
    return [
        McfPoint(float(t), int(risk[n]), int(total[n]), float(mean[n]), float(error[n]),
                 float(mean[n] / factor[n]), float(mean[n] * factor[n]))
        for n, t in enumerate(at)
    ]  # fmt: skip
