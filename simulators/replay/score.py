"""Warnings against recorded failures, per component. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

HORIZON = timedelta(hours=72)


@dataclass(frozen=True)
class Warning:
    """Something said that a component of a device would fail: an order or a detection."""

    uid: str
    component: str
    at: datetime


@dataclass(frozen=True)
class Component:
    """How the failures of one component were met.

    Attributes:
        failures: that were recorded.
        warned: with a warning within the horizon (72 hours, unless other hours are asked for) before, strictly earlier.
        warnings: counted ones: while one is open (until the failure, or the horizon), further ones are not.
        right, false: of the counted ones, those followed by that failure within the horizon, and the others. One whose
            horizon goes beyond the end of the data and that saw no failure is neither.
        lead_hours: 10th, 50th and 90th percentile from a right warning to its failure; empty without any.
    """

    failures: int
    warned: int
    warnings: int
    right: int
    false: int
    lead_hours: tuple[float, ...]


def by_component(
    warnings: Iterable[Warning],
    failures: Sequence[tuple[str, str, datetime]],
    end: datetime,
    horizon: timedelta = HORIZON,
) -> dict[str, Component]:
    """Score every component that failed or was warned of; failures are (uid, component, time)."""
    said: dict[tuple[str, str], list[datetime]] = {}
    for warning in sorted(warnings, key=lambda one: one.at):
        said.setdefault((warning.uid, warning.component), []).append(warning.at)
    failed: dict[tuple[str, str], list[datetime]] = {}
    for uid, component, at in sorted(failures, key=lambda one: one[2]):
        failed.setdefault((uid, component), []).append(at)
    pairs = said.keys() | failed.keys()
    found = {}
    for component in sorted({pair[1] for pair in pairs}):
        own = [pair for pair in pairs if pair[1] == component]
        found[component] = _component(
            [(said.get(pair, []), failed.get(pair, [])) for pair in own], end, horizon
        )
    return found


def _component(
    pairs: list[tuple[list[datetime], list[datetime]]], end: datetime, horizon: timedelta
) -> Component:
    leads: list[float] = []
    failures = warned = warnings = false = 0
    for said, failed in pairs:
        failures += len(failed)
        warned += sum(any(at - horizon <= one < at for one in said) for at in failed)
        open_until: datetime | None = None
        for at in said:
            if open_until is not None and at < open_until:
                continue
            hit = next((one for one in failed if at < one <= at + horizon), None)
            open_until = hit if hit is not None else at + horizon
            warnings += 1
            if hit is not None:
                leads.append((hit - at) / timedelta(hours=1))
            elif at + horizon <= end:
                false += 1
    lead = tuple(float(hours) for hours in np.percentile(leads, (10, 50, 90))) if leads else ()
    return Component(failures, warned, warnings, len(leads), false, lead)
