"""From a score to an alarm, in event time: minimum duration, hysteresis, a refractory limit after an alarm.

Shared by the detectors that score failure modes continuously; all arrays are [k, mode], 1 is the limit. Nearly all
machines are well and always were, and of them there is nothing to keep: the fields here are rare, and a detector
steps the alarms only of devices that are `busy` or whose score is worth a second look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.definitions import HOUR, Bools, Floats, Ints, related
from analytics.fields import Field
from analytics.frame import Frozen
from analytics.state import Rows

FIELDS = (
    Field("busy", lasting=True),  # 1 where any of the others is not 0
    Field("open", ("mode",), rare=True, lasting=True),
    Field("held", ("mode",), rare=True),  # hours above the limit; of an open mode, below the clearing level
    Field("was_over", ("mode",), rare=True),
    Field("onset", ("mode",), rare=True),  # when the score last rose above `suspect`; 0: it is below
    Field("raised_limit", ("mode",), rare=True),
)
_OF_ALARMS = {field.name for field in FIELDS} | {"hits"}
FADED = 1e-3  # a limit that is raised by less is back where it was
Rare = dict[str, Floats]
"""Rare fields of k devices: [k, mode] each."""


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


def busy(state: Rows, worth: Bools) -> Ints:
    """Positions of the devices to step: those that are busy, and those where `worth` [n, mode] is true."""
    at = worth.ravel().nonzero()[0]
    if not len(at):
        return state["busy"].nonzero()[0]
    stirred = state["busy"] > 0
    stirred[at // worth.shape[1]] = True
    return stirred.nonzero()[0]


def keep(state: Rows, at: Ints, rare: Rare) -> None:
    """Put the alarms of some devices back."""
    rare["raised_limit"][rare["raised_limit"] < FADED] = 0.0
    state.put_rare(at, rare)
    state["busy"][at] = np.any([rare[name].any(axis=1) for name in _OF_ALARMS & rare.keys()], axis=0)


def judge(state: Rare, ts: Ints, live: Bools, hours: Floats, score: Floats, rules: Hysteresis) -> Verdict:
    """Move the alarms of some devices; opens nothing and closes what clears.

    Args:
        live: [k, mode] something of the mode was judged; elsewhere nothing moves.
        hours: [k, mode] of event time since the mode was last judged.
    """
    is_open = state["open"] > 0
    extra = state["raised_limit"] * np.exp(-hours / rules.refractory_hours)
    score = score / (1.0 + np.where(is_open, 0.0, extra))
    over, low = score >= 1.0, score < rules.clear
    lasting = np.where(state["was_over"] > 0, hours, 0.0)
    held = state["held"]
    above = np.where(over, held + lasting, np.maximum(held - hours, 0.0))
    below = np.where(low & is_open, held + hours, 0.0)
    onset = np.where(score >= rules.suspect, np.where(state["onset"] > 0, state["onset"], ts[:, None]), 0.0)
    raising = live & ~is_open & over & (above >= rules.hold)
    clearing = live & is_open & low & (below >= rules.clear_hours)
    for name, value in (
        ("held", np.where(is_open, below, above)), ("onset", onset), ("was_over", over), ("raised_limit", extra)
    ):  # fmt: skip
        np.copyto(state[name], value, where=live)
    low_since = (ts[:, None] - below * HOUR).astype(np.int64)
    if clearing.any():
        for name in ("open", "held", "was_over", "onset"):
            state[name][clearing] = 0.0
        state["raised_limit"][clearing] = rules.refractory
    return Verdict(score, raising, clearing, low_since)


def open_mode(state: Rare, at: int, mode: int) -> None:
    """Raise."""
    state["open"][at, mode] = 1.0
    state["held"][at, mode] = 0.0


def close(state: Rows, at: int, modes: list[int], refractory: float) -> None:
    """After a repair: as if nothing had been seen, but with the higher limit."""
    rare = state.rare([at])
    for name in (_OF_ALARMS & rare.keys()) - {"raised_limit"}:
        rare[name][0, modes] = 0.0
    rare["raised_limit"][0, modes] = refractory
    keep(state, np.array([at]), rare)


def frozen(state: Rare, at: Ints, symptom: Floats) -> Frozen:
    """Symptoms of modes that are suspected or open. `symptom` is [mode, metric], 0 or 1."""
    return at, related((state["onset"] > 0) | (state["open"] > 0), symptom)
