"""Features of a device at a step: readings relative to its own past, fault codes, ages of components. Pure.

Every feature looks back over a fixed time and uses only what was known at the step, so it is the same whether
computed live, in a replay, for the whole history or for a piece of it with `LOOKBACK_DAYS` before the piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from analytics.definitions import DAY, HOUR, Floats, Ints
from analytics.prediction.history import History, Log

LOOKBACK_DAYS = 30  # a device's own past, against which its readings are held …
RECENT_DAYS = 3  # … without these last days, which may hold the fault already
FEWEST = 8  # values that make a past
FAR = 20.0  # a reading further off, in its own spreads, says no more
CODE_HOURS = (24, 72, 168)
LONG_AGO_DAYS = 365.0  # "never", for ages of codes and components


@dataclass(frozen=True)
class Table:
    """Features of many (device, step).

    Attributes:
        names: [feature].
        x: [row, feature], float32; NaN where it cannot be told.
        device: [row] position of the device; ts: [row] time at which the row was known, µs.
    """

    names: tuple[str, ...]
    x: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    device: Ints
    ts: Ints

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, at: Ints | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Table:
        """Some of the rows."""
        return Table(self.names, self.x[at], self.device[at], self.ts[at])


def build(history: History, first: int | None = None) -> Table:
    """Features of all devices at all steps known at or after `first` (µs; None: all), sorted by (device, ts)."""
    start = 0 if first is None else int(np.searchsorted(history.known, first))
    known = history.known[start:]
    device = np.repeat(np.arange(len(history.devices)), len(known))
    ts = np.tile(known, len(history.devices))
    parts = [*_readings(history, start), *_codes(history, device, ts), *_ages(history, device, ts)]
    parts += [(name, history.traits[device, at]) for at, name in enumerate(history.trait_names)]
    x = np.empty((len(device), len(parts)), np.float32)
    for at, (_, column) in enumerate(parts):
        x[:, at] = column.reshape(-1)
    return Table(tuple(name for name, _ in parts), x, device, ts)


def silent(table: Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[row] most metrics had no reading in the last day, or no past to be held against: nothing can be said."""
    days = [at for at, name in enumerate(table.names) if name.endswith(".day")]
    return np.asarray(np.isnan(table.x[:, days]).mean(axis=1) > 0.5)


def _steps(history: History, hours: float) -> int:
    return max(1, round(hours / history.step_hours))


def _readings(history: History, start: int) -> list[tuple[str, Floats]]:
    """Per metric: now, mean of the last day, of the day before, how long it has been off; in own spreads."""
    day, found = _steps(history, 24), []
    for at, metric in enumerate(history.metrics):
        z = _relative(history, history.values[:, :, at], start, keep=2 * day)  # [device, 2 day - 1 + steps]
        windows = sliding_window_view(z, 2 * day, axis=1)
        last, before = windows[..., day:], windows[..., :day]
        found += [
            (f"{metric}.now", windows[..., -1]),
            (f"{metric}.day", _mean(last)),
            (f"{metric}.day_before", _mean(before)),
            (f"{metric}.hours_up", _signed_hours(windows, history.step_hours)),
        ]
    return found


def _relative(history: History, values: Floats, start: int, keep: int) -> Floats:
    """Distances of values [device, step] from the device's own past, in its own spreads, from `keep` - 1 steps
    before `start` on; NaN where the past or the value is missing."""
    recent, span = _steps(history, 24 * RECENT_DAYS), _steps(history, 24 * LOOKBACK_DAYS)
    lead = keep - 1
    first = max(0, start - lead - span)
    part = values[:, first:]
    pad = span - (start - lead - first)  # steps before the history began: nothing known
    padded = np.pad(part, ((0, 0), (pad, 0)), constant_values=np.nan)
    result = np.empty((len(values), padded.shape[1] - span))
    for device in range(len(values)):  # one at a time: a window view of all would be sorted into much memory
        past = np.sort(sliding_window_view(padded[device], span - recent)[: result.shape[1]], axis=1)
        count = np.sum(~np.isnan(past), axis=1)  # sorted: NaN last
        low, middle, high = (_at_share(past, count, share) for share in (0.25, 0.5, 0.75))
        spread = np.maximum((high - low) / 1.349, 1e-3 * np.abs(middle) + 1e-9)
        z = (padded[device, span:] - middle) / spread
        result[device] = np.where(count >= FEWEST, np.clip(z, -FAR, FAR), np.nan)
    return result


def _at_share(ordered: Floats, count: Ints, share: float) -> Floats:
    at = np.clip(np.round(share * (count - 1)).astype(np.int64), 0, ordered.shape[1] - 1)
    found: Floats = np.take_along_axis(ordered, at[:, None], axis=1)[:, 0]
    return found


def _mean(windows: Floats) -> Floats:
    """Mean over the last axis of what is there; NaN where nothing is."""
    there = ~np.isnan(windows)
    count = there.sum(axis=-1)
    total = np.where(there, windows, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _signed_hours(windows: Floats, step_hours: float) -> Floats:
    """Hours of the window in which the reading lay above its usual range less those below it."""
    hours: Floats = ((windows > 1.5).sum(axis=-1) - (windows < -1.5).sum(axis=-1)) * step_hours
    return hours


def _codes(history: History, device: Ints, ts: Ints) -> list[tuple[str, Floats]]:
    found: list[tuple[str, Floats]] = []
    for kind, code in enumerate(history.codes):
        log = history.faults.only(kind)
        now = log.before(device, ts)
        for hours in CODE_HOURS:
            count = now - log.before(device, ts - hours * HOUR)
            found.append((f"{code}.count_{hours}h", count.astype(np.float64)))
        found.append((f"{code}.hours_since", _days_since(log, now, device, ts) * 24))
    return found


def _ages(history: History, device: Ints, ts: Ints) -> list[tuple[str, Floats]]:
    """Days since each component was replaced, and since any was."""
    found = []
    for kind, component in enumerate(history.components):
        log = history.repairs.only(kind)
        found.append((f"{component}.age_days", _days_since(log, log.before(device, ts), device, ts)))
    log = history.repairs
    found.append(("service.age_days", _days_since(log, log.before(device, ts), device, ts)))
    return found


def _days_since(log: Log, before: Ints, device: Ints, ts: Ints) -> Floats:
    """Days since the last entry of the device, at most `LONG_AGO_DAYS`."""
    if not len(log):
        return np.full(len(ts), LONG_AGO_DAYS)
    last = np.maximum(before - 1, 0)
    there = (before > 0) & (log.device[last] == device)
    return np.where(there, np.minimum((ts - log.ts[last]) / DAY, LONG_AGO_DAYS), LONG_AGO_DAYS)
