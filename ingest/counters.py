"""Run-hours: a raw counter becomes life-to-date hours, whatever the counter does. Pure.

Each reading is compared with the newest one counted:

    normal       it grew, not faster than time                  → counted
    rollover     it wrapped at the model's `rolls_at`           → counted
    replacement  a declared exchange lies between the two       → counted on both sides of it
    unexplained  it restarted near zero, undeclared             → not counted, reported; goes on from there
    faster       it grew faster than time itself                → refused, the older reading stays the reference
    backwards    it fell, and nothing explains it               → refused likewise
    late         it is not newer than the reference             → changes nothing

Skipping readings of a sound counter does not change the sum, so the order of arrival does not matter. Where it
would (`on_path` says no), the hours are counted again from the stored readings (ingest/run_hours.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

HOUR = 3_600_000_000  # µs
DAY = 24 * HOUR
SLACK = 0.1  # hours: resolution of a counter and jitter of its clock
TICK = 1.0  # hours: resolution of a counter that shows whole hours
DRIFT = 0.01  # a clock may be this much off

Kind = Literal["first", "normal", "rollover", "replacement", "unexplained", "faster", "backwards", "late"]
ODD: dict[Kind, str] = {
    "unexplained": "hours_unexplained",
    "faster": "hours_faster_than_time",
    "backwards": "hours_backwards",
}


@dataclass(frozen=True, slots=True)
class Counter:
    """The newest counted reading: `ts` in µs since the Unix epoch, `raw` and `life` in hours."""

    ts: int
    raw: float
    life: float


@dataclass(frozen=True, slots=True)
class Replacement:
    """At `ts` (µs) a counter that showed `old_raw` gave way to one that showed `new_raw`."""

    ts: int
    old_raw: float
    new_raw: float


@dataclass(slots=True)
class DayHours:
    """Hours run on one UTC day, as far as a run of readings adds to it.

    Attributes:
        hours: all of them; the last reading of a day shares what ran until the next one with the day after.
        counted: those up to the last counted reading of the day.
        first_ts: of its first counted reading (µs), None when there was none.
        counter: after its last counted reading, likewise.
    """

    hours: float = 0.0
    counted: float = 0.0
    first_ts: int | None = None
    counter: Counter | None = None


@dataclass(slots=True)
class Folded:
    """The outcome of a run of readings.

    Attributes:
        days: by number since the epoch.
        odd: readings not counted: (kind, ts, raw, the counter before).
        late: readings not newer than the counter: (ts, whether it agrees with what was counted).
    """

    counter: Counter | None
    days: dict[int, DayHours] = field(default_factory=dict)
    odd: list[tuple[Kind, int, float, Counter]] = field(default_factory=list)
    late: list[tuple[int, bool]] = field(default_factory=list)


def allowed(counter: Counter, ts: int, raw: float) -> float:
    """The most hours that a counter can have run from `counter` to `ts`."""
    whole = raw.is_integer() and counter.raw.is_integer()
    return (ts - counter.ts) / HOUR * (1 + DRIFT) + (TICK if whole else SLACK)


def classify(
    counter: Counter | None,
    ts: int,
    raw: float,
    rolls_at: float | None = None,
    replaced: Sequence[Replacement] = (),
) -> tuple[Kind, float]:
    """What a reading means after `counter`, and the hours it adds."""
    if counter is None:
        return "first", 0.0
    if ts <= counter.ts:
        return "late", 0.0
    most = allowed(counter, ts, raw)
    if replaced and (hours := _across(counter, ts, raw, replaced)) is not None and hours <= most:
        return "replacement", hours
    delta = raw - counter.raw
    if delta >= 0:
        return ("normal", delta) if delta <= most else ("faster", 0.0)
    if rolls_at is not None and raw < rolls_at and delta + rolls_at <= most:
        return "rollover", delta + rolls_at
    return ("unexplained", 0.0) if raw <= most else ("backwards", 0.0)


def _across(counter: Counter, ts: int, raw: float, replaced: Sequence[Replacement]) -> float | None:
    """Hours run over the exchanges between `counter` and `ts`; None when there is none, or it does not fit."""
    between = [r for r in replaced if counter.ts < r.ts <= ts]
    if not between:
        return None
    shown, hours = counter.raw, 0.0
    for exchange in sorted(between, key=lambda r: r.ts):
        if exchange.old_raw < shown:
            return None
        hours += exchange.old_raw - shown
        shown = exchange.new_raw
    return hours + raw - shown if raw >= shown else None


def on_path(counter: Counter, ts: int, raw: float) -> bool:
    """Whether a late reading agrees with a sound counter that shows `counter` now: then it changes nothing."""
    return 0 <= counter.raw - raw <= allowed(Counter(ts, raw, 0.0), counter.ts, counter.raw)


def fold(
    counter: Counter | None,
    readings: Iterable[tuple[int, float]],
    rolls_at: float | None = None,
    replaced: Sequence[Replacement] = (),
) -> Folded:
    """Count readings (ts in µs, raw in hours), given in order of time, on top of `counter`."""
    done = Folded(counter)
    for ts, raw in readings:
        before = done.counter
        kind, hours = classify(before, ts, raw, rolls_at, replaced)
        if before is None:
            _count(done, Counter(ts, raw, raw), [])
        elif kind == "late":
            done.late.append((ts, on_path(before, ts, raw)))
        else:
            if kind in ODD:
                done.odd.append((kind, ts, raw, before))
            if kind not in ("faster", "backwards"):
                _count(done, Counter(ts, raw, before.life + hours), split(before.ts, ts, hours))
    return done


def _count(done: Folded, counter: Counter, shares: list[tuple[int, float]]) -> None:
    for day, share in shares:
        done.days.setdefault(day, DayHours()).hours += share
    today = done.days.setdefault(counter.ts // DAY, DayHours())
    today.counted = today.hours
    today.counter = done.counter = counter
    if today.first_ts is None:
        today.first_ts = counter.ts


def split(since: int, until: int, hours: float) -> list[tuple[int, float]]:
    """Hours run between two times, spread evenly over the UTC days they touch.

    >>> split(12 * HOUR, 36 * HOUR, 10.0)
    [(0, 5.0), (1, 5.0)]
    """
    first, last = since // DAY, until // DAY
    if first == last or hours == 0:
        return [(last, hours)]
    span = until - since
    edges = [since, *(day * DAY for day in range(first + 1, last + 1)), until]
    return [
        (first + n, hours * (end - begin) / span)
        for n, (begin, end) in enumerate(pairwise(edges))
        if end > begin
    ]


def explain(kind: Kind, ts: int, raw: float, before: Counter) -> str:
    """Why a reading was not counted, for people."""
    hours = (ts - before.ts) / HOUR
    what = {
        "unexplained": "restarted and no replacement was declared; not counted, it goes on from here",
        "faster": "grew faster than time",
        "backwards": "fell without an explanation",
    }[kind]
    return f"From {before.raw:g} h to {raw:g} h within {hours:.2f} h: the counter {what}."
