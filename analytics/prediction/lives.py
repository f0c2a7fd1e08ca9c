"""Lives of components in operating hours: from stored hours to runs that end with a failure. Pure.

A life begins with the first reading or with a repair of the component, and ends with its failure; one that ends with
another repair, or has not ended, is censored. It is cut into cycles of `CYCLE_HOURS` operating hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.definitions import DAY, Bools, Floats, Ints
from analytics.prediction.history import Log
from analytics.prediction.regimes import Run

CYCLE_HOURS = 8.0
SILENT = 7 * DAY  # a failure so long after the last reading tells nothing of the life before it
SILENT_HOURS = 12  # what the counter gained over a longer silence cannot be placed
USAGE_DAYS = 14


@dataclass(frozen=True)
class Hours:
    """What a fleet's hours tell.

    Attributes:
        known: [hour] µs, when each hour had ended, an hour apart.
        values: [device, hour, metric], NaN where nothing was measured.
        state: [device, hour] mean operating state, NaN where it is not told.
        run: [device, hour] operating hours in each, 0 to 1.
        counter: [device, hour] what `run` was told from (see `operating`); None: nothing but `run` is known.
    """

    known: Ints
    values: Floats
    state: Floats
    run: Floats
    counter: Floats | None = None

    def between(self, after: int, until: int) -> Hours:
        """Those that ended in (after, until], µs, as they were known at its end: the counter of later hours is not."""
        cut = slice(*np.searchsorted(self.known, (after, until), side="right").tolist())
        values, state, run = self.values[:, cut], self.state[:, cut], self.run[:, cut]
        if self.counter is None:
            return Hours(self.known[cut], values, state, run)
        counter = self.counter[:, cut]
        run = operating(counter, state, np.asarray(np.isfinite(values).any(axis=2)))
        return Hours(self.known[cut], values, state, run, counter)


@dataclass(frozen=True)
class Life:
    """A component's life on a device: [cycle] when each cycle was known, what it was like, and whether it failed."""

    device: int
    known: Ints
    run: Run

    def until(self, ts: int) -> Life:
        """As it was known then; it had not failed."""
        cycles = int(np.searchsorted(self.known, ts, side="right"))
        return Life(self.device, self.known[:cycles], self.run.first(cycles))


def operating(counter: Floats, state: Floats, heard: Bools) -> Floats:
    """[device, hour] operating hours: by the counter where it moves plausibly, else by the state, else by having been
    heard at all. What the counter gained over silent hours is shared among them: a device that was cut off, or whose
    past was recorded every few hours only, has run on.

    Args:
        counter: [device, hour] last value of the run-hours counter, NaN where not told.
        heard: [device, hour] whether any reading came.
    """
    by_state = np.where(np.isfinite(state), np.clip(state, 0.0, 1.0), 1.0) * heard
    if not np.isfinite(counter).any():
        return by_state
    told = np.isfinite(counter)
    before, after = _nearest(told)
    span, known = after - before, (before >= 0) & (after < counter.shape[1])
    row = np.arange(len(counter))[:, None]
    gain = counter[row, np.where(known, after, 0)] - counter[row, np.where(known, before, 0)]
    # A counter that was replaced or that jumps says nothing; nor does one that was silent for long.
    plausible = known & (span <= SILENT_HOURS) & (gain >= 0) & (gain <= span + 0.5)
    share = np.minimum(gain / np.maximum(span, 1), 1.0)
    return np.where(plausible, share, by_state)


def _nearest(told: Bools) -> tuple[Ints, Ints]:
    """[device, hour] the last hour strictly before and the first at or after it in which the counter was told; -1 and
    the number of hours where there is none."""
    hours = told.shape[1]
    at = np.broadcast_to(np.arange(hours), told.shape)
    last = np.maximum.accumulate(np.where(told, at, -1), axis=1)
    before = np.concatenate([np.full((len(told), 1), -1), last[:, :-1]], axis=1)
    after = np.minimum.accumulate(np.where(told, at, hours)[:, ::-1], axis=1)[:, ::-1]
    return before, after


def lives(hours: Hours, failures: Log, repairs: Log) -> list[Life]:
    """All lives of one component; `failures` and `repairs` of that component only."""
    found: list[Life] = []
    for device in range(len(hours.values)):
        ended = repairs.ts[repairs.device == device]
        failed = failures.ts[failures.device == device]
        edges = np.unique(np.concatenate([ended, failed]))
        begin = 0
        for end in [*edges.tolist(), int(hours.known[-1]) + 1]:
            upto = int(np.searchsorted(hours.known, end, side="left"))
            life = _life(hours, device, begin, upto, bool((failed == end).any()))
            if len(life.known) and (not life.run.failed or end - int(life.known[-1]) <= SILENT):
                found.append(life)
            begin = upto
    return found


def _life(hours: Hours, device: int, begin: int, end: int, failed: bool) -> Life:
    """Hours [begin, end) of a device, cut where another cycle of operating hours is full."""
    run = hours.run[device, begin:end]
    so_far = np.cumsum(run)
    cycle = np.maximum(so_far / CYCLE_HOURS - 1e-9, 0.0).astype(np.int64)
    full = int(np.sum(run) / CYCLE_HOURS + 1e-9)
    known = hours.known[begin:end]
    last = np.searchsorted(so_far, (np.arange(full) + 1) * CYCLE_HOURS - 1e-6, side="left")
    weight = np.where(run > 0, run, 0.0)
    sensors = _means(hours.values[device, begin:end], weight, cycle, full)
    settings = _means(hours.state[device, begin:end, None], weight, cycle, full)
    keep = np.isfinite(sensors).any(axis=1)
    return Life(device, known[last][keep], Run(np.nan_to_num(settings[keep]), sensors[keep], failed))


def _means(values: Floats, weight: Floats, cycle: Ints, cycles: int) -> Floats:
    """[cycle, column] weighted means of what is there; NaN where nothing is."""
    found = np.full((cycles, values.shape[1]), np.nan)
    inside = cycle < cycles
    for column in range(values.shape[1]):
        there = inside & np.isfinite(values[:, column]) & (weight > 0)
        total = np.bincount(cycle[there], weight[there] * values[there, column], cycles)
        weights = np.bincount(cycle[there], weight[there], cycles)
        found[:, column] = np.where(weights > 0, total / np.maximum(weights, 1e-12), np.nan)
    return found


def usage(hours: Hours, device: int) -> float:
    """Operating hours a day in the last two weeks of what is known."""
    span = min(USAGE_DAYS * 24, hours.run.shape[1])
    return float(hours.run[device, -span:].sum() / span * 24) if span else 0.0


def remaining(life: Life, at: Sequence[int], cap: float) -> Floats:
    """Cycles that were left at some of a failed life's cycles, at most `cap`."""
    return np.minimum(len(life.run) - 1 - np.asarray(at, np.float64), cap)


def pinball(truth: Floats, quantiles: Sequence[tuple[float, Floats]]) -> float:
    """Mean pinball loss over quantiles (share, predicted); 0 is perfect.

    >>> round(pinball(np.array([10.0]), [(0.5, np.array([14.0])), (0.9, np.array([14.0]))]), 3)
    1.2
    """
    losses = [np.maximum(q * (truth - p), (q - 1) * (truth - p)).mean() for q, p in quantiles]
    return float(np.mean(losses))
