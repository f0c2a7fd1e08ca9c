"""What goes through the models: blocks of stored rows in the order of arrival, cut into frames. Pure.

A frame holds at most one row per device, so that a detector can treat all devices at once and still see each
device's rows one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analytics.definitions import Floats, Ints

_FAR = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Block:
    """Telemetry rows of one device type.

    Attributes:
        order: place of the row's batch in the sequence of committed batches; rows of one batch share it.
        device, ts, seq, batch: [n]; ts in microseconds since the Unix epoch.
        values: [n, metric], NaN where the row says nothing.
        state: [n] operating state as sent, NaN where the row says nothing.
    """

    order: Ints
    device: Ints
    ts: Ints
    seq: Ints
    batch: Ints
    values: Floats
    state: Floats

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, at: Ints | slice) -> Block:
        """Some of the rows."""
        return Block(
            self.order[at], self.device[at], self.ts[at], self.seq[at], self.batch[at], self.values[at], self.state[at]
        )

    def arrived(self) -> Block:
        """The rows in the order in which they count: by batch, within a batch by time."""
        return self.take(np.lexsort((self.seq, self.device, self.ts, self.order)))


@dataclass(frozen=True)
class Event:
    """A fault code raised (active) or cleared by a device."""

    order: int
    device: int
    ts: int
    code: str
    active: bool
    batch: int


@dataclass(frozen=True)
class Reset:
    """A component of a device was repaired or replaced at `ts`; component `*` is the whole machine."""

    id: int
    device: int
    ts: int
    component: str


@dataclass(frozen=True)
class Cut:
    """The rows of one frame, and what lies before them."""

    rows: Ints  # into the sorted block
    slots: Ints  # of the rows' devices; unique
    events: list[tuple[int, Event]] = field(default_factory=list)  # with the slot of the device
    resets: list[tuple[int, Reset]] = field(default_factory=list)


def timely(slots: Ints, ts: Ints, newest: Ints) -> Ints:
    """Which rows, in order of arrival, are not older than what the device has sent before: indices sorted by
    (slot, arrival).

    Args:
        slots, ts: [n], rows in order of arrival.
        newest: [slot], newest event time processed of each slot.
    """
    by_slot = np.argsort(slots, kind="stable")
    slot, time = slots[by_slot], ts[by_slot]
    if not len(slot):
        return by_slot
    # A running maximum per device in one pass: each device gets its own range of numbers.
    _, group = np.unique(slot, return_inverse=True)
    low = int(min(time.min(), newest[slot].min()))
    span = int(max(time.max(), newest[slot].max())) - low + 1
    if span * (int(group[-1]) + 1) > _FAR:  # centuries of event time in one block: take the slow road
        ahead = np.concatenate([np.maximum.accumulate(time[group == g]) for g in range(int(group[-1]) + 1)])
    else:
        ahead = np.maximum.accumulate(time - low + group * span) - group * span + low
    return by_slot[(time >= ahead) & (time >= newest[slot])]


def cuts(
    slots: Ints, order: Ints, ts: Ints, events: dict[int, list[Event]], resets: dict[int, list[Reset]]
) -> Iterator[Cut]:
    """Frames over rows that are sorted by (slot, arrival).

    Events and resets (by slot, each list sorted) go with the first row of their device that is not before them;
    events after a device's last row go with a frame that has no row of that device. A reset after the last row
    is left out: it lies ahead.
    """
    n = len(slots)
    first = np.flatnonzero(np.r_[True, slots[1:] != slots[:-1]]) if n else np.empty(0, np.int64)
    count = np.diff(np.r_[first, n])
    start = {int(slots[f]): (int(f), int(c)) for f, c in zip(first, count, strict=True)}
    event_at, reset_at = _place_events(start, order, ts, events), _place_resets(start, ts, resets)
    longest = int(count.max()) if n else 0
    # Longest first: the devices that still have a row at depth r are a prefix.
    by_length = np.argsort(-count, kind="stable")
    first, count = first[by_length], count[by_length]
    for depth in range(max([longest, *(d + 1 for d in event_at)])):
        rows = first[: int(np.searchsorted(-count, -depth, side="left"))] + depth
        yield Cut(rows, slots[rows], event_at.get(depth, []), reset_at.get(depth, []))


def _place_events(
    start: dict[int, tuple[int, int]], order: Ints, ts: Ints, events: dict[int, list[Event]]
) -> dict[int, list[tuple[int, Event]]]:
    at: dict[int, list[tuple[int, Event]]] = {}
    for slot, found in events.items():
        row, count = start.get(slot, (0, 0))
        keys = list(zip(order[row : row + count].tolist(), ts[row : row + count].tolist(), strict=True))
        depth = 0
        for event in found:
            while depth < count and keys[depth] < (event.order, event.ts):
                depth += 1
            at.setdefault(depth, []).append((slot, event))
    return at


def _place_resets(
    start: dict[int, tuple[int, int]], ts: Ints, resets: dict[int, list[Reset]]
) -> dict[int, list[tuple[int, Reset]]]:
    at: dict[int, list[tuple[int, Reset]]] = {}
    for slot, found in resets.items():
        row, count = start.get(slot, (0, 0))
        for reset in found:
            depth = int(np.searchsorted(ts[row : row + count], reset.ts))
            if depth < count:
                at.setdefault(depth, []).append((slot, reset))
    return at
