"""What a detector is: it takes frames in the order of event time and says what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from analytics.block import Event
from analytics.definitions import Definition, Floats, Ints
from analytics.detectors import alarm
from analytics.fields import Field
from analytics.frame import Frame, Frozen
from analytics.state import Rows


@dataclass(frozen=True)
class Driver:
    """One metric that speaks for a finding, as it stood when the rule decided."""

    metric: str
    value: float | None
    baseline: float | None
    limit: float
    unit: str
    z: float | None
    regime: int


@dataclass(frozen=True)
class Finding:
    """A failure mode raised or cleared on a device.

    Attributes:
        at: position of the device in the state rows of this step.
        ts: event time of the decision; `since`: where what it rests on begins. Microseconds.
        kind: raise or clear.
        rule, version: of the detector; rule `reset` when a repair cleared it.
        score: 1 is the limit.
        batch: the batch whose row or event decided.
        codes: the fault codes that caused it.
        also_open: other rules under which the same mode is open at this moment.
        reason: of a clear that no value led to: rule_off, its rule was switched off.
    """

    at: int
    ts: int
    since: int
    kind: str
    rule: str
    version: int
    mode: str
    severity: int
    score: float
    batch: int
    drivers: tuple[Driver, ...] = ()
    codes: tuple[str, ...] = ()
    also_open: tuple[str, ...] = ()
    reason: str | None = None

    def evidence(self) -> dict[str, Any]:
        """For the evidence of a detection, JSON."""
        told: dict[str, Any] = {
            "drivers": [asdict(driver) for driver in self.drivers],
            "codes": list(self.codes),
            "also_open": list(self.also_open),
        }
        return told if self.reason is None else told | {"reason": self.reason}


@dataclass(frozen=True)
class Outcome:
    """`freeze`: values that the baselines must not learn; None for none."""

    findings: list[Finding] = field(default_factory=list)
    freeze: Frozen | None = None


class Detector:
    """Decides for all devices of one type. A module in this folder with one subclass is a detector.

    What it remembers of a device is in the state fields it declares, and nowhere else; row r of `state` belongs to
    row r of a frame. A rare field `open` over the axis `mode` must hold 1 where the detector has raised the mode.
    A device's outcome depends on that device's rows alone, and `step` does not change the frame.
    """

    rule: ClassVar[str]
    version: ClassVar[int]
    """Counted up when it decides otherwise or its fields mean something else: a state that another version saved is
    not taken for its own, so it starts anew; what is open stays open."""
    on: ClassVar[bool] = True
    """Whether it runs unless the rules say otherwise; of a detector that is off, a table `[rule]` switches it on."""
    Tuning: ClassVar[type[Any]]
    """A frozen dataclass of the detector's limits, each with a default; a TOML table `[rule]` changes them."""
    fields: Sequence[Field]

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        self.definition = definition
        self.tuning = tuning if tuning is not None else self.Tuning()

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """Take one frame; `state` has as many rows."""
        raise NotImplementedError

    def event(self, event: Event, state: Rows, at: int) -> list[Finding]:
        """Take one fault event of the device at a position of `state`."""
        return []

    def learn_fleet(
        self, field: Callable[[str], Floats], known: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """Once a day of event time: what the detector learns of all devices of the type, JSON; frames that come later
        have it in `frame.fleet.rules[rule]`. `field` gives a field that is not rare of all devices: [device, *axes];
        `known` is what it gave last."""
        return None

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """The component of these modes was repaired: forget what was seen of them, and close them."""
        raise NotImplementedError

    def finding(
        self,
        frame: Frame,
        at: int,
        k: int,
        kind: str,
        since: int,
        score: float,
        drivers: tuple[Driver, ...] = (),
    ) -> Finding:
        """What this detector says of mode `k` on the device at a position of the frame."""
        mode = self.definition.modes[k]
        return Finding(
            at, int(frame.ts[at]), since, kind, self.rule, self.version, mode.code, mode.priority,
            float(score), int(frame.batch[at]), drivers,
        )  # fmt: skip

    def clears(self, frame: Frame, at: Ints, verdict: alarm.Verdict) -> list[Finding]:
        """What it says of the modes whose alarm clears; the verdict is on the devices `at` positions of the frame."""
        return [
            self.finding(
                frame, int(at[n]), int(k), "clear", int(verdict.low_since[n, k]), verdict.score[n, k]
            )
            for n, k in zip(*np.nonzero(verdict.clearing), strict=True)
        ]

    def raises(
        self,
        frame: Frame,
        at: Ints,
        rare: alarm.Rare,
        verdict: alarm.Verdict,
        drivers: Callable[[int, int], tuple[Driver, ...]],
    ) -> list[Finding]:
        """Open what the verdict raises. `drivers(n, k)` names what drove mode `k` on the nth device of `at`."""
        found = []
        for n, k in zip(*(index.tolist() for index in np.nonzero(verdict.raising)), strict=True):
            alarm.open_mode(rare, n, k)
            since = int(rare["onset"][n, k]) or int(frame.ts[at[n]])
            found.append(
                self.finding(frame, int(at[n]), k, "raise", since, verdict.score[n, k], drivers(n, k))
            )
        return found
