"""The streaming engine of one device type: blocks of rows in, findings out. Pure.

The result depends on the sequence of committed batches alone, not on how many of them go into one step: live,
replayed and restarted engines decide the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from analytics.block import Block, Cut, Event, Reset, cuts, timely
from analytics.definitions import Definition, Floats, Ints
from analytics.detectors import discover
from analytics.detectors.protocol import Detector, Finding
from analytics.features import Baseline
from analytics.fields import CHUNK
from analytics.fleet import Fleet
from analytics.frame import Frozen
from analytics.rules import Rules
from analytics.state import Layout, State, Work
from kit.errors import Invalid

_ROW_BITS = 31  # a slot and a row of a block fit into one number
MOST_IDS = 1 << 26  # devices with higher numbers are looked up one by one
AnItem = TypeVar("AnItem", Event, Reset)


@dataclass(frozen=True)
class Step:
    """What a step did.

    Attributes:
        findings: with the device that each belongs to, in the order of their decision.
        touched: devices whose state changed: [device].
        applied: resets that took effect.
        late: rows that were older than what their device had sent; they changed nothing.
    """

    findings: list[tuple[int, Finding]]
    touched: Ints
    applied: list[Reset]
    late: int


class Engine:
    """State of all devices of one type, and what decides on it."""

    def __init__(self, definition: Definition, rules: Rules | None = None) -> None:
        rules = rules or Rules()
        self.definition, self.rules = definition, rules
        self.baseline = Baseline(definition, rules.baseline)
        self.detectors: list[Detector] = [
            cls(definition, rules.detectors[cls.rule]) for cls in discover() if cls.rule in rules.detectors
        ]
        owners = {Baseline.OWNER: Baseline.FIELDS} | {d.rule: d.fields for d in self.detectors}
        self.state = State(definition, owners, {d.rule: d.version for d in self.detectors})
        self._slots: dict[int, int] = {}
        self._devices: list[int] = []  # by slot
        self._table: Ints = np.empty(0, np.int64)  # slot by device, -1: none
        self._ids: Ints = np.empty(0, np.int64)  # device by slot

    @property
    def layout(self) -> Layout:
        """How a dumped state is laid out."""
        return self.state.layout

    @property
    def devices(self) -> list[int]:
        """The devices that have a state."""
        return self._devices

    def newest(self, device: int) -> int:
        """Event time of the newest row of a device, µs; 0: it has sent none."""
        if device not in self._slots:
            return 0
        return int(self.state.some(Baseline.OWNER, "newest", np.array([self._slots[device]], np.int64))[0])

    def nothing(self) -> Block:
        """A block without rows."""
        none = np.empty(0, np.int64)
        return Block(none, none, none, none, none, np.empty((0, len(self.definition.metrics))), np.empty(0))

    def dump(self, device: int) -> bytes:
        """The device's state."""
        return self.dump_all([device])[device]

    def dump_all(self, devices: Sequence[int]) -> dict[int, bytes]:
        """The states of some devices."""
        slots = np.array([self._slots[device] for device in devices], np.int64)
        return dict(zip(devices, self.state.dump(slots), strict=True))

    def load(self, device: int, data: bytes, layout: Layout | None = None) -> None:
        """Take over a device's state as it was saved.

        Raises:
            Invalid: it cannot be right; the device then is as new.
        """
        try:
            self.state.load(self._slot(device), data, layout)
        except Invalid as error:
            raise Invalid(f"Device {device}: {error}") from error

    def _slot(self, device: int) -> int:
        slot = self._slots.setdefault(device, len(self._slots))
        if slot == len(self._devices):
            self._devices.append(device)
            if slot >= len(self._ids):
                self._ids = np.resize(self._ids, 2 * slot + 1)
            self._ids[slot] = device
            self.state.grow(slot + 1)
        return slot

    def _slots_of(self, devices: Ints) -> Ints:
        """The slot of each device, new ones included."""
        if not len(devices):
            return devices
        highest = int(devices.view(np.uint64).max())  # a negative one is very high
        if highest >= MOST_IDS:
            return np.array([self._slot(device) for device in devices.tolist()], np.int64)
        if highest >= len(self._table):
            more = np.full(max(highest + 1, 2 * len(self._table)) - len(self._table), -1)
            self._table = np.concatenate([self._table, more])
        slots = self._table.take(devices)
        if slots.min() < 0:
            for device in np.unique(devices[slots < 0]).tolist():
                self._table[device] = self._slot(device)
            slots = self._table.take(devices)
        return slots

    def refresh_fleet(self) -> Fleet:
        """Learn the prior of new devices from all devices held here; used from now on."""
        n, tuning = len(self._devices), self.rules.baseline
        newest, first, rows, mean, deviation = (
            self.state.read(Baseline.OWNER, name, n)
            for name in ("newest", "first", "rows", "mean", "deviation")
        )
        known = self.baseline.fleet.rules
        learned = {d.rule: d.learn_fleet(self._field(d, n), known.get(d.rule)) for d in self.detectors}
        self.baseline.fleet = Fleet.of(
            newest,
            first,
            rows,
            mean,
            deviation,
            least_rows=2 * tuning.warm_rows,
            least_days=tuning.warm_days,
            rules={rule: its for rule, its in learned.items() if its is not None},
        )
        return self.baseline.fleet

    def _field(self, detector: Detector, devices: int) -> Callable[[str], Floats]:
        return lambda name: self.state.read(detector.rule, name, devices)

    def step(self, block: Block, events: Sequence[Event] = (), resets: Sequence[Reset] = ()) -> Step:
        """Take the rows and fault events of some batches, and the resets known before them."""
        slots = self._slots_of(block.device)
        frames, applied = list[Cut](), list[Reset]()
        once = None if events or resets else _each_once(slots)
        if once is not None:
            positions, rows = once
            timely_rows = block.ts.take(rows) >= self.state.some(Baseline.OWNER, "newest", positions)
            if not timely_rows.all():
                positions, rows = positions[timely_rows], rows[timely_rows]
            late = len(block) - len(rows)
            if len(rows):
                frames = [Cut(rows)]
        else:
            order = block.arrival()
            block, slots = block.take(order), slots[order]
            keep = timely(slots, block.ts, self.state.some(Baseline.OWNER, "newest", slots).astype(np.int64))
            late = len(block) - len(keep)
            block, slots = block.take(keep), slots[keep]
            by_event, by_reset = self._by_slot(events), self._by_slot(resets)
            positions, frames, applied = cuts(slots, block.order, block.ts, by_event, by_reset)
        found: list[tuple[int, Finding]] = []
        for first in range(0, len(positions), CHUNK):
            part = positions[first : first + CHUNK]
            work = self.state.gather(part)
            for cut in frames if len(positions) <= CHUNK else _share(frames, first, first + CHUNK):
                its = self._frame(block, cut, work)
                found += [(self._devices[part[finding.at]], finding) for finding in its]
            self.state.scatter(part)
        return Step(found, self._ids[positions], applied, late)

    def _by_slot(self, items: Sequence[AnItem]) -> dict[int, list[AnItem]]:
        by_slot: dict[int, list[AnItem]] = {}
        for item in items:
            by_slot.setdefault(self._slot(item.device), []).append(item)
        return by_slot

    def _frame(self, block: Block, cut: Cut, work: Work) -> list[Finding]:
        found: list[Finding] = []
        for at, item in cut.before:
            found += (
                self._event(item, at, work)
                if isinstance(item, Event)
                else self._reset(item, at, block, cut, work)
            )
        n = len(cut.rows)
        if not n:
            return found
        views = {owner: rows.first(n) for owner, rows in work.items()}
        baseline, rows = views[Baseline.OWNER], cut.rows
        frame = self.baseline.judge(
            block.ts.take(rows),
            block.batch.take(rows),
            block.state.take(rows),
            block.values.take(rows, 0),
            baseline,
        )
        frozen: list[Frozen] = []
        for detector in self.detectors:
            outcome = detector.step(frame, views[detector.rule])
            if outcome.freeze is not None:
                frozen.append(outcome.freeze)
            found += [self._with_others(finding, work) for finding in outcome.findings]
        self.baseline.learn(frame, frozen, baseline)
        return found

    def _event(self, event: Event, at: int, work: Work) -> list[Finding]:
        found = [f for detector in self.detectors for f in detector.event(event, work[detector.rule], at)]
        return [self._with_others(finding, work) for finding in found]

    def _with_others(self, finding: Finding, work: Work) -> Finding:
        mode = self.definition.axis("mode").index(finding.mode)
        others = (
            d.rule
            for d in self.detectors
            if d.rule != finding.rule and work[d.rule].rare([finding.at])["open"][0, mode]
        )
        return replace(finding, also_open=tuple(others))

    def _reset(self, reset: Reset, at: int, block: Block, cut: Cut, work: Work) -> list[Finding]:
        """A repair closes the alarms of its component and lets its baselines start anew."""
        modes = self.definition.modes_of(reset.component)
        if not modes:
            return []
        ts = max(reset.ts, int(work[Baseline.OWNER]["newest"][at]))
        is_open = np.any([work[d.rule].rare([at])["open"][0] for d in self.detectors], axis=0)
        open_modes = [m for m in modes if self.detectors and is_open[m]]
        for detector in self.detectors:
            detector.reset(work[detector.rule], at, modes)
        metrics = np.flatnonzero((self.definition.weight[modes] > 0).any(axis=0))
        self.baseline.restart(work[Baseline.OWNER], at, metrics)
        batch = int(block.batch[cut.rows[at]]) if at < len(cut.rows) else _next_event(cut, at, reset).batch
        return [
            Finding(at, ts, ts, "clear", "reset", 1, mode.code, mode.priority, 0.0, batch)
            for mode in (self.definition.modes[m] for m in open_modes)
        ]


def _each_once(slots: Ints) -> tuple[Ints, Ints] | None:
    """If no two rows are of one device, their order does not matter: the slots in the order of memory, which is
    quickest, and the row of each; else None."""
    both = (slots << _ROW_BITS) + np.arange(len(slots))
    both.sort()
    ordered = both >> _ROW_BITS
    if not (ordered[1:] > ordered[:-1]).all():
        return None
    both &= (1 << _ROW_BITS) - 1
    return ordered, both


def _next_event(cut: Cut, at: int, reset: Reset) -> Event:
    """The event that a reset was placed before, in a frame that has no row of its device."""
    return next(
        item for its, item in cut.before if its == at and isinstance(item, Event) and item.ts >= reset.ts
    )


def _share(frames: list[Cut], first: int, end: int) -> list[Cut]:
    """The part of each frame that belongs to the devices at some positions, counted from the first of them."""
    parts = []
    for cut in frames:
        before = [(at - first, item) for at, item in cut.before if first <= at < end]
        if before or len(cut.rows) > first:
            parts.append(Cut(cut.rows[first:end], before))
    return parts
