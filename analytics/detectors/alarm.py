"""From a score to an alarm, in event time: minimum duration, hysteresis, a refractory limit after an alarm.

Shared by the detectors that score failure modes continuously; all arrays are [n, mode], 1 is the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.definitions import HOUR, Bools, Floats, Ints, related
from analytics.state import Field, Rows

FIELDS = (
    Field("open", ("mode",)),
    Field("over", ("mode",)),  # hours above the limit
    Field("under", ("mode",)),  # hours below the clearing level
    Field("was_over", ("mode",)),
    Field("onset", ("mode",)),  # when the score last rose above `suspect`; 0: it is below
    Field("raised_limit", ("mode",)),
)


@dataclass(frozen=True)
class Hysteresis:
    """Times in hours of event time."""

    suspect: float  # score above which the baseline learns nothing
    clear: float  # score below which an alarm may clear
    hold: Floats | float  # the limit must be passed for so long before an alarm …
    clear_hours: float  # … and kept for so long before it clears
    refractory: float = 0.0  # after an alarm the limit is higher by this part …
    refractory_hours: float = 72.0  # … which decays


@dataclass(frozen=True)
class Verdict:
    """What a frame decides: [n, mode] each."""

    score: Floats
    raising: Bools
    clearing: Bools
    low_since: Ints  # where the low score of a clearing alarm began


def judge(state: Rows, ts: Ints, live: Bools, hours: Floats, score: Floats, rules: Hysteresis) -> Verdict:
    """Move the alarms of a frame; opens nothing and closes what clears.

    Args:
        live: [n, mode] something of the mode was judged; elsewhere nothing moves.
        hours: [n, mode] of event time since the mode was last judged.
    """
    is_open = state["open"] > 0
    extra = state["raised_limit"] * np.exp(-hours / rules.refractory_hours)
    score = score / (1.0 + np.where(is_open, 0.0, extra))
    over, low = score >= 1.0, score < rules.clear
    lasting = np.where(state["was_over"] > 0, hours, 0.0)
    above = np.where(over, state["over"] + lasting, np.maximum(state["over"] - hours, 0.0))
    below = np.where(low & is_open, state["under"] + hours, 0.0)
    onset = np.where(score >= rules.suspect, np.where(state["onset"] > 0, state["onset"], ts[:, None]), 0.0)
    raising = live & ~is_open & over & (above >= rules.hold)
    clearing = live & is_open & low & (below >= rules.clear_hours)
    for name, value in (
        ("over", above), ("under", below), ("onset", onset), ("was_over", over), ("raised_limit", extra)
    ):  # fmt: skip
        np.copyto(state[name], value, where=live)
    low_since = (ts[:, None] - below * HOUR).astype(np.int64)
    if clearing.any():
        for name in ("open", "over", "under", "was_over", "onset"):
            state[name][clearing] = 0.0
        state["raised_limit"][clearing] = rules.refractory
    return Verdict(score, raising, clearing, low_since)


def open_mode(state: Rows, at: int, mode: int) -> None:
    """Raise."""
    state["open"][at, mode] = 1.0
    state["under"][at, mode] = 0.0


def close(state: Rows, at: int, modes: list[int], refractory: float) -> None:
    """After a repair: as if nothing had been seen, but with the higher limit."""
    for name in ("open", "over", "under", "was_over", "onset"):
        state[name][at, modes] = 0.0
    state["raised_limit"][at, modes] = refractory


def frozen(state: Rows, symptom: Floats) -> Bools:
    """[n, metric]: symptoms of modes that are suspected or open. `symptom` is [mode, metric], 0 or 1."""
    return related((state["onset"] > 0) | (state["open"] > 0), symptom)
