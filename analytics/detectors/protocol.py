"""What a detector is: it takes frames in the order of event time and says what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from analytics.block import Event
from analytics.definitions import Bools, Definition
from analytics.features import Frame
from analytics.state import Field, Rows


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

    def evidence(self) -> dict[str, Any]:
        """For the evidence of a detection, JSON."""
        return {
            "drivers": [asdict(driver) for driver in self.drivers],
            "codes": list(self.codes),
            "also_open": list(self.also_open),
        }


@dataclass(frozen=True)
class Outcome:
    """`freeze` [n, metric]: values that the baselines must not learn; None for none."""

    findings: list[Finding] = field(default_factory=list)
    freeze: Bools | None = None


class Detector:
    """Decides for all devices of one type. A module in this folder with one subclass is a detector.

    What it remembers of a device is in the state fields it declares, and nowhere else; row r of `state` belongs to
    row r of a frame. A field `open` over the axis `mode` must hold 1 where the detector has raised the mode.
    A device's outcome depends on that device's rows alone, and `step` does not change the frame.
    """

    rule: ClassVar[str]
    version: ClassVar[int]
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

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """The component of these modes was repaired: forget what was seen of them, and close them."""
        raise NotImplementedError
