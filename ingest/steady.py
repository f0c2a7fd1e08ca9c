"""Run-hours of a whole batch at once: what grew no faster than time, without a word of explanation. Pure.

`counters.fold` is the rule and takes any reading; here its usual case is done with NumPy for all devices together.
Devices with anything else (late, reset, gaps over several days) are named, and `fold` counts those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.arrays import NEVER
from ingest.counters import DAY, DRIFT, HOUR, SLACK, TICK, Counter, Folded

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Counters:
    """The newest counted readings, [n]: device, time (µs), what it showed and hours ever run."""

    device: Ints
    ts: Ints
    raw: Floats
    life: Floats


@dataclass(frozen=True, eq=False)
class Days:
    """What was added to devices' days, [n], as in `counters.DayHours`; `first`, `ts` are NEVER and raw, life NaN on a
    day that only got a share of hours."""

    device: Ints
    day: Ints
    hours: Floats
    counted: Floats
    first: Ints
    ts: Ints
    raw: Floats
    life: Floats


def count(device: Ints, ts: Ints, raw: Floats, known: Counters, apart: Ints) -> tuple[Counters, Days, Mask]:
    """Count readings, sorted by (device, ts, raw), on top of what is known of their devices (sorted by device).

    Args:
        apart: devices to leave to `fold` whatever they say.

    Returns: the counters and days of the regular devices, and a mask of the readings of all others.
    """
    first = np.r_[True, device[1:] != device[:-1]][: len(device)]
    heads = np.flatnonzero(first)
    before_ts, before_raw, new = _before(device, ts, raw, known, heads)
    span, hours, day, day_before = ts - before_ts, raw - before_raw, ts // DAY, before_ts // DAY
    whole = (np.floor(raw) == raw) & (np.floor(before_raw) == before_raw)
    most = span / HOUR * (1 + DRIFT) + np.where(whole, TICK, SLACK)
    fine = ((span > 0) & (hours >= 0) & (hours <= most) & (day - day_before <= 1)) | new
    regular = np.repeat(np.logical_and.reduceat(fine, heads), np.diff(np.r_[heads, len(ts)]))
    regular &= ~np.isin(device, apart)
    life = _lives(device, raw, known, heads)
    crossing = day > day_before
    early = np.where(crossing, hours * ((day * DAY - before_ts) / np.maximum(span, 1)), 0.0)
    columns = (device, ts, raw, life, first, day, hours - early, early, crossing)
    kept: list[Any] = [column[regular] for column in columns]
    rows = _Rows(*kept)
    return rows.counters(), rows.days(), ~regular


def _before(device: Ints, ts: Ints, raw: Floats, known: Counters, heads: Ints) -> tuple[Ints, Floats, Mask]:
    """The reading before each one, and which are the very first of their device: those follow themselves."""
    before_ts, before_raw = np.r_[0, ts[:-1]], np.r_[0.0, raw[:-1]]
    before_ts[heads], before_raw[heads] = ts[heads], raw[heads]
    new = np.zeros(len(ts), np.bool_)
    there, at = _look_up(device[heads], known)
    before_ts[heads[there]], before_raw[heads[there]] = known.ts[at], known.raw[at]
    new[heads[~there]] = True
    return before_ts, before_raw, new


def _lives(device: Ints, raw: Floats, known: Counters, heads: Ints) -> Floats:
    """Hours ever run at each reading, if all of its device are regular."""
    offset = np.zeros(len(heads))
    there, at = _look_up(device[heads], known)
    offset[there] = known.life[at] - known.raw[at]
    lives: Floats = raw + np.repeat(offset, np.diff(np.r_[heads, len(raw)]))
    return lives


def _look_up(devices: Ints, known: Counters) -> tuple[Mask, Ints]:
    """Which devices are known, and where those are."""
    if not len(known.device):
        return np.zeros(len(devices), np.bool_), np.zeros(0, np.int64)
    at = np.minimum(np.searchsorted(known.device, devices), len(known.device) - 1)
    there = known.device[at] == devices
    return there, at[there]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Readings of regular devices: `here` and `early` are the hours they add to their day and to the one before."""

    device: Ints
    ts: Ints
    raw: Floats
    life: Floats
    first: Mask
    day: Ints
    here: Floats
    early: Floats
    crossing: Mask

    def counters(self) -> Counters:
        last = np.flatnonzero(np.r_[self.first[1:], True][: len(self.first)])
        return Counters(self.device[last], self.ts[last], self.raw[last], self.life[last])

    def days(self) -> Days:
        if not len(self.ts):
            return Days(*_columns([], "iiffiiff"))
        heads = np.flatnonzero(self.first | self.crossing)
        last = np.r_[heads[1:] - 1, len(self.ts) - 1]
        counted = np.add.reduceat(self.here, heads)
        hours = counted.copy()
        # The share of the day before belongs to the rows before, if those are of the same device …
        inner = np.flatnonzero(~self.first[heads])
        hours[inner - 1] += self.early[heads[inner]]
        # … and otherwise to a day that no reading here falls on.
        outer = heads[self.first[heads] & self.crossing[heads]]
        none, nan = np.full(len(outer), NEVER), np.full(len(outer), np.nan)
        return Days(
            np.r_[self.device[heads], self.device[outer]], np.r_[self.day[heads], self.day[outer] - 1],
            np.r_[hours, self.early[outer]], np.r_[counted, np.zeros(len(outer))],
            np.r_[self.ts[heads], none], np.r_[self.ts[last], none],
            np.r_[self.raw[last], nan], np.r_[self.life[last], nan],
        )  # fmt: skip


def counters(rows: Sequence[tuple[float, ...]]) -> Counters:
    """Rows (device, time in µs, shown, life) as columns."""
    return Counters(*_columns(rows, "iiff"))


def of_folded(folded: Mapping[int, Folded]) -> tuple[Counters, Days]:
    """What `fold` counted, as columns."""
    found = [(device, done.counter) for device, done in folded.items() if done.days and done.counter]
    nothing = Counter(NEVER, np.nan, np.nan)
    days = [
        (device, number, day.hours, day.counted, NEVER if day.first_ts is None else day.first_ts,
         (last := day.counter or nothing).ts, last.raw, last.life)
        for device, done in folded.items()
        for number, day in done.days.items()
    ]  # fmt: skip
    return counters([(d, c.ts, c.raw, c.life) for d, c in found]), Days(*_columns(days, "iiffiiff"))


def _columns(rows: Sequence[tuple[float, ...]], kinds: str) -> list[Any]:
    kind: dict[str, Any] = {"i": np.int64, "f": np.float64}
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    return [np.array(column, kind[name]) for column, name in zip(columns, kinds, strict=True)]


def joined(one: Counters, other: Counters) -> Counters:
    """Both, sorted by device."""
    columns = [np.r_[getattr(one, f.name), getattr(other, f.name)] for f in fields(Counters)]
    order = np.argsort(columns[0], kind="stable")
    return Counters(*(column[order] for column in columns))


def joined_days(one: Days, other: Days) -> Days:
    """Both, sorted by device and day."""
    columns = [np.r_[getattr(one, f.name), getattr(other, f.name)] for f in fields(Days)]
    order = np.lexsort((columns[1], columns[0]))
    return Days(*(column[order] for column in columns))
