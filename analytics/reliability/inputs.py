"""What the statistics accept, checked once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kit.errors import Invalid

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def confidence(level: float) -> float:
    """A two-sided confidence level in (0, 1).

    Raises:
        Invalid: it is not.
    """
    if not 0.0 < level < 1.0:
        raise Invalid(f"A confidence level lies between 0 and 1; 0.9 is 90 %. This is {level}.")
    return level


def lifetimes(times: Sequence[float], failed: Sequence[bool]) -> tuple[Floats, Bools]:
    """Times above 0 with whether each ended in a failure (else it is right-censored), as arrays [n].

    Raises:
        Invalid: they differ in length, there are none, or a time is not a finite number above 0.
    """
    hours, events = np.asarray(times, float), np.asarray(failed, bool)
    if hours.shape != events.shape or hours.ndim != 1:
        raise Invalid(
            f"{hours.size} times and {events.size} flags: one flag (failed or not) a time is right."
        )
    if hours.size == 0:
        raise Invalid("The population is empty: choose a period or a group that has devices.")
    if not (np.isfinite(hours).all() and (hours > 0).all()):
        worst = int(np.argmax(~(np.isfinite(hours) & (hours > 0))))
        raise Invalid(f"Time number {worst + 1} is {hours[worst]}: operating times are finite and above 0.")
    return hours, events


def entered(entries: Sequence[float] | None, hours: Floats) -> Floats:
    """Ages [n] from which lives were watched, 0 where nothing is said.

    Raises:
        Invalid: another length, or an age that is below 0 or not before the life's end.
    """
    if entries is None:
        return np.zeros_like(hours)
    begins = np.asarray(entries, float)
    if begins.shape != hours.shape:
        raise Invalid(f"{hours.size} times and {begins.size} entries: one entry a time is right.")
    if not (np.isfinite(begins).all() and (begins >= 0).all() and (begins < hours).all()):
        worst = int(np.argmax(~((begins >= 0) & (begins < hours))))
        raise Invalid(
            f"Life number {worst + 1} was watched from {begins[worst]} to {hours[worst]}: "
            "it begins at 0 or later and before it ends."
        )
    return begins
