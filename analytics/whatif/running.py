"""One way to tune the engines: what it finds, the orders that open, and how those turn out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.block import Block, Event, Reset
from analytics.definitions import HOUR
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.episodes import HORIZON, Episodes, Opened, Outcome, Repair, Repairs, by_device, claim, outcome
from analytics.prediction.decision import Costs
from analytics.store import moment
from analytics.whatif.orders import Ordered
from analytics.whatif.rows import Piece


class Run:
    """One way to tune the engines, and what it has found.

    Args:
        engines: made anew for each partition, by device type. There are as many as live uses, because what is known of
            a fleet is learned in each by itself.
    """

    def __init__(self, engines: Callable[[], Mapping[str, Engine]], partitions: int = 1) -> None:
        self._engines = [engines() for _ in range(partitions)]
        self._waiting: dict[int, list[Reset]] = {}
        self.found: list[tuple[int, Finding]] = []

    def take(self, piece: Piece) -> None:
        """Step through a piece."""
        for reset in piece.resets:
            self._waiting.setdefault(reset.device, []).append(reset)
        for part, engines in enumerate(self._engines):
            for model in sorted(piece.blocks.keys() | piece.events.keys()):
                self._step(part, engines[model], piece.blocks.get(model), piece.events.get(model, []))
            if piece.learn:
                for engine in engines.values():
                    if engine.devices:
                        engine.refresh_fleet()

    def _step(self, part: int, engine: Engine, block: Block | None, events: Sequence[Event]) -> None:
        """The rows and events of the devices of one partition."""
        count, block = len(self._engines), engine.nothing() if block is None else block
        if count > 1:
            block = block.take(np.flatnonzero(block.device % count == part))
            events = [event for event in events if event.device % count == part]
        if not len(block) and not events:
            return
        resets: list[Reset] = []
        if self._waiting:
            present = set(block.device.tolist()) | {event.device for event in events}
            resets = [r for device in present & self._waiting.keys() for r in self._waiting[device]]
        done = engine.step(block, events, sorted(resets, key=lambda reset: reset.id))
        for reset in done.applied:
            left = [one for one in self._waiting.pop(reset.device) if one != reset]
            if left:
                self._waiting[reset.device] = left
        self.found += done.findings

    def orders(
        self,
        start: int,
        foreseen: Sequence[tuple[int, Finding]],
        left: Callable[[int, Finding], bool] = lambda device, finding: False,
    ) -> list[tuple[Opened, Finding]]:
        """The orders that open from a time on, with what opened them; `foreseen` counts with what this run found, and
        what is `left` to a prediction does not."""
        episodes, opened = Episodes(), []
        own = [(device, finding) for device, finding in self.found if not left(device, finding)]
        for device, finding in sorted([*own, *foreseen], key=lambda found: found[1].ts):
            order = episodes.take(device, finding)
            if order is not None and order.ts >= start:
                opened.append((order, finding))
        return opened


@dataclass(frozen=True)
class Recorded(Finding):
    """A stored detection, with the evidence it was stored with."""

    told: dict[str, Any] = field(default_factory=dict)

    def evidence(self) -> dict[str, Any]:
        """As stored."""
        return self.told


@dataclass(frozen=True)
class Judged:
    """The orders of a run, each with the finding that opened it, against the repairs on record.

    Attributes:
        components: of each (device, failure mode) that has orders; `model_of`: of every device.
        until: time up to which repairs are known.
        horizon: µs; an order is right when its component is repaired within so long.
    """

    opened: list[tuple[Opened, Finding]]
    repairs: list[Repair]
    components: dict[tuple[int, str], str]
    model_of: Mapping[int, str]
    until: int
    horizon: int = HORIZON

    def outcome(self, model: str, price: Costs) -> Outcome:
        """Of the devices of a type."""
        orders = [order for order, _ in self.opened if self.model_of[order.device] == model]
        repairs = [repair for repair in self.repairs if self.model_of[repair.device] == model]
        return outcome(orders, repairs, self.components, self.until, price, self.horizon)

    def orders(self) -> list[Ordered]:
        """Each with its verdict."""
        there = by_device(self.repairs)
        return [self._ordered(order, finding, there) for order, finding in self.opened]

    def _ordered(self, order: Opened, finding: Finding, repairs: Repairs) -> Ordered:
        repair = claim(order, repairs, self.components, self.horizon)
        over = order.ts + self.horizon <= self.until
        return Ordered(
            order.device, self.model_of[order.device], order.mode, self.components[order.device, order.mode],
            moment(order.ts), order.rule, finding.severity, finding.score, finding.evidence(),
            "right" if repair is not None else "false" if over else "undecided",
            None if repair is None else moment(repair.ts),
            None if repair is None else (repair.ts - order.ts) / HOUR,
        )  # fmt: skip
