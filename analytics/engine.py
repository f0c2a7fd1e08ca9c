"""The streaming engine of one device type: blocks of rows in, findings out. Pure.

The result depends on the sequence of committed batches alone, not on how many of them go into one step: live,
replayed and restarted engines decide the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from analytics.block import Block, Cut, Event, Reset, cuts, timely
from analytics.definitions import Bools, Definition
from analytics.detectors import discover
from analytics.detectors.protocol import Detector, Finding
from analytics.features import Baseline
from analytics.fleet import Fleet
from analytics.rules import Rules
from analytics.state import Layout, Rows, State

AnItem = TypeVar("AnItem", Event, Reset)


@dataclass(frozen=True)
class Step:
    """What a step did.

    Attributes:
        findings: with the device that each belongs to, in the order of their decision.
        touched: devices whose state changed.
        applied: resets that took effect.
        late: rows that were older than what their device had sent; they changed nothing.
    """

    findings: list[tuple[int, Finding]]
    touched: list[int]
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
        self.state = State(definition, owners)
        self._slots: dict[int, int] = {}
        self._devices: list[int] = []

    @property
    def layout(self) -> Layout:
        """How a dumped state is laid out."""
        return self.state.layout

    @property
    def devices(self) -> list[int]:
        """The devices that have a state."""
        return self._devices

    def nothing(self) -> Block:
        """A block without rows."""
        none = np.empty(0, np.int64)
        return Block(none, none, none, none, none, np.empty((0, len(self.definition.metrics))), np.empty(0))

    def dump(self, device: int) -> bytes:
        """The device's state."""
        return self.state.dump(self._slots[device])

    def load(self, device: int, data: bytes, layout: Layout | None = None) -> None:
        """Take over a device's state as it was saved."""
        self.state.load(self._slot(device), data, layout)

    def _slot(self, device: int) -> int:
        slot = self._slots.setdefault(device, len(self._slots))
        if slot == len(self._devices):
            self._devices.append(device)
            self.state.grow(slot + 1)
        return slot

    def refresh_fleet(self) -> Fleet:
        """Learn the prior of new devices from all devices held here; used from now on."""
        n, tuning = len(self._devices), self.rules.baseline
        newest, first, cell = (
            self.state.read(Baseline.OWNER, name, n) for name in ("newest", "first", "cell")
        )
        self.baseline.fleet = Fleet.of(newest, first, cell, rows=2 * tuning.warm_rows, days=tuning.warm_days)
        return self.baseline.fleet

    def step(self, block: Block, events: Sequence[Event] = (), resets: Sequence[Reset] = ()) -> Step:
        """Take the rows and fault events of some batches, and the resets known before them."""
        block = block.arrived()
        devices, which = np.unique(block.device, return_inverse=True)
        slots = np.array([self._slot(device) for device in devices.tolist()], np.int64)[which]
        by_event, by_reset = self._by_slot(events), self._by_slot(resets)
        newest = self.state.newest(Baseline.OWNER, "newest", slots).astype(np.int64)
        keep = timely(slots, block.ts, newest)
        late = len(block) - len(keep)
        block, slots = block.take(keep), slots[keep]
        positions, frames, applied = cuts(slots, block.order, block.ts, by_event, by_reset)
        if not len(positions):
            return Step([], [], [], late)
        work = self.state.gather(positions)
        found: list[Finding] = []
        for frame in frames:
            found += self._frame(block, frame, work)
        self.state.scatter(positions, work)
        touched = [self._devices[slot] for slot in positions.tolist()]
        return Step([(touched[finding.at], finding) for finding in found], touched, applied, late)

    def _by_slot(self, items: Sequence[AnItem]) -> dict[int, list[AnItem]]:
        by_slot: dict[int, list[AnItem]] = {}
        for item in items:
            by_slot.setdefault(self._slot(item.device), []).append(item)
        return by_slot

    def _frame(self, block: Block, cut: Cut, work: dict[str, Rows]) -> list[Finding]:
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
        views = {owner: {name: values[:n] for name, values in rows.items()} for owner, rows in work.items()}
        baseline = views[Baseline.OWNER]
        rows = cut.rows
        frame = self.baseline.judge(
            block.ts[rows], block.batch[rows], block.state[rows], block.values[rows], baseline
        )
        freeze: Bools = np.zeros(frame.values.shape, bool)
        for detector in self.detectors:
            outcome = detector.step(frame, views[detector.rule])
            if outcome.freeze is not None:
                freeze |= outcome.freeze
            found += [self._with_others(finding, work) for finding in outcome.findings]
        self.baseline.learn(frame, freeze, baseline)
        return found

    def _event(self, event: Event, at: int, work: dict[str, Rows]) -> list[Finding]:
        found = [f for detector in self.detectors for f in detector.event(event, work[detector.rule], at)]
        return [self._with_others(finding, work) for finding in found]

    def _with_others(self, finding: Finding, work: dict[str, Rows]) -> Finding:
        mode = self.definition.axis("mode").index(finding.mode)
        others = (
            d.rule
            for d in self.detectors
            if d.rule != finding.rule and work[d.rule]["open"][finding.at, mode]
        )
        return replace(finding, also_open=tuple(others))

    def _reset(self, reset: Reset, at: int, block: Block, cut: Cut, work: dict[str, Rows]) -> list[Finding]:
        """A repair closes the alarms of its component and lets its baselines start anew."""
        modes = self.definition.modes_of(reset.component)
        if not modes:
            return []
        ts = max(reset.ts, int(work[Baseline.OWNER]["newest"][at]))
        open_modes = [m for m in modes if any(work[d.rule]["open"][at, m] for d in self.detectors)]
        for detector in self.detectors:
            detector.reset(work[detector.rule], at, modes)
        metrics = np.flatnonzero((self.definition.weight[modes] > 0).any(axis=0))
        self.baseline.restart(work[Baseline.OWNER], at, metrics)
        batch = int(block.batch[cut.rows[at]]) if at < len(cut.rows) else _next_event(cut, at, reset).batch
        return [
            Finding(at, ts, ts, "clear", "reset", 1, mode.code, mode.priority, 0.0, batch)
            for mode in (self.definition.modes[m] for m in open_modes)
        ]


def _next_event(cut: Cut, at: int, reset: Reset) -> Event:
    """The event that a reset was placed before, in a frame that has no row of its device."""
    return next(
        item for its, item in cut.before if its == at and isinstance(item, Event) and item.ts >= reset.ts
    )
