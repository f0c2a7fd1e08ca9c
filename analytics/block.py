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
            self.order[at],
            self.device[at],
            self.ts[at],
            self.seq[at],
            self.batch[at],
            self.values[at],
            self.state[at],
        )

    def arrival(self) -> Ints:
        """The order in which the rows count: by batch, within a batch by time."""
        return np.lexsort((self.seq, self.device, self.ts, self.order))


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


Item = Event | Reset


@dataclass(frozen=True)
class Cut:
    """One frame: row r of it belongs to the device at position r.

    Attributes:
        rows: indices into the sorted block, of the devices at positions 0 … n-1.
        before: fault events and resets that come before these rows, with the position of their device, in order.
    """

    rows: Ints
    before: list[tuple[int, Item]] = field(default_factory=list)


def timely(slots: Ints, ts: Ints, newest: Ints) -> Ints:
    """Which rows, in order of arrival, are not older than what the device has sent before: indices sorted by
    (slot, arrival).

    Args:
        slots, ts: [n], rows in order of arrival.
        newest: [n], newest event time processed of each row's device.
    """
    by_slot = np.argsort(slots, kind="stable")
    slot, time, before = slots[by_slot], ts[by_slot], newest[by_slot]
    if not len(slot):
        return by_slot
    # A running maximum per device in one pass: each device gets its own range of numbers.
    _, group = np.unique(slot, return_inverse=True)
    low = int(min(time.min(), before.min()))
    span = int(max(time.max(), before.max())) - low + 1
    if span * (int(group[-1]) + 1) > _FAR:  # centuries of event time in one block: take the slow road
        ahead = np.concatenate([np.maximum.accumulate(time[group == g]) for g in range(int(group[-1]) + 1)])
    else:
        ahead = np.maximum.accumulate(time - low + group * span) - group * span + low
    return by_slot[(time >= ahead) & (time >= before)]


def cuts(
    slots: Ints, order: Ints, ts: Ints, events: dict[int, list[Event]], resets: dict[int, list[Reset]]
) -> tuple[Ints, list[Cut], list[Reset]]:
    """Cut rows that are sorted by (slot, arrival) into frames.

    Devices get positions, those with most rows first, so that the devices of every frame are a prefix. An event
    goes before the first row of its device that is not before it; a reset before the first row or event whose
    event time is not before it. A reset with nothing after it is left out: it lies ahead.

    Args:
        events, resets: by slot.

    Returns: the slots by position; the frames; the resets that were placed.
    """
    n = len(slots)
    first = np.flatnonzero(np.r_[True, slots[1:] != slots[:-1]]) if n else np.empty(0, np.int64)
    count = np.diff(np.r_[first, n])
    by_length = np.argsort(-count, kind="stable")
    first, count = first[by_length], count[by_length]
    present = slots[first].tolist()
    positions = present + sorted(set(events) - set(present))
    before: dict[int, list[tuple[int, Item]]] = {}
    placed: list[Reset] = []
    for at, slot in enumerate(positions):
        if slot in events or slot in resets:
            rows = slice(int(first[at]), int(first[at] + count[at])) if at < len(present) else slice(0, 0)
            keys = list(zip(order[rows].tolist(), ts[rows].tolist(), strict=True))
            for depth, item in _merge(keys, events.get(slot, []), resets.get(slot, []), placed):
                before.setdefault(depth, []).append((at, item))
    depths = max([int(count.max()) if n else 0, *(depth + 1 for depth in before)])
    # Longest first: the devices that still have a row at this depth are a prefix.
    frames = [
        Cut(first[: int(np.searchsorted(-count, -depth, side="left"))] + depth, before.get(depth, []))
        for depth in range(depths)
    ]
    return np.array(positions, np.int64), frames, placed


def _merge(
    keys: list[tuple[int, int]], events: list[Event], resets: list[Reset], placed: list[Reset]
) -> Iterator[tuple[int, Item]]:
    """The events and resets of one device with the number of its rows that come before each."""
    waiting = sorted(resets, key=lambda reset: (reset.ts, reset.id))
    coming = sorted(events, key=lambda event: (event.order, event.ts, event.code, not event.active))
    for depth in range(len(keys) + 1):
        key = keys[depth] if depth < len(keys) else None
        while coming and (key is None or (coming[0].order, coming[0].ts) <= key):
            event = coming.pop(0)
            yield from ((depth, reset) for reset in _due(waiting, event.ts, placed))
            yield depth, event
        if key is not None:
            yield from ((depth, reset) for reset in _due(waiting, key[1], placed))


def _due(waiting: list[Reset], ts: int, placed: list[Reset]) -> list[Reset]:
    due = [reset for reset in waiting if reset.ts <= ts]
    del waiting[: len(due)]
    placed += due
    return due
