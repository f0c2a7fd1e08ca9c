"""What a detector is: it takes frames in the order of event time and says what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from analytics.block import Event
from analytics.definitions import Bools
from analytics.features import Frame
from analytics.state import Arrays


@dataclass(frozen=True)
class Driver:
    """One metric that speaks for a finding, as it stood when the rule decided."""

    metric: str
    value: float | None
    baseline: float
    limit: float
    unit: str
    z: float
    regime: int


@dataclass(frozen=True)
class Finding:
    """A failure mode raised or cleared on a device.

    Attributes:
        slot: of the device.
        ts: event time of the decision; `since`: where what it rests on begins. Microseconds.
        kind: raise or clear.
        rule, version: of the detector; rule `reset` when a repair cleared it.
        score: 1 is the limit.
        batch: the newest batch of this device that it knew.
        codes: the fault codes that caused it.
    """

    slot: int
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


@dataclass(frozen=True)
class Outcome:
    """`freeze` [n, metric]: values that the baselines must not learn; None for none."""

    findings: list[Finding] = field(default_factory=list)
    freeze: Bools | None = None


class Detector(Protocol):
    """Decides for all devices of one type. State lives in `state` only, one row per slot, so that
    `state.dump` and `state.load` are snapshot and restore.

    `step` must not change the frame, and a device's outcome depends on that device's rows alone.
    """

    rule: ClassVar[str]
    version: ClassVar[int]
    state: Arrays

    def step(self, frame: Frame, events: list[tuple[int, Event]]) -> Outcome:
        """Take one frame and the fault events (with their slots) that come before its rows."""
        ...

    def reset(self, slot: int, component: str, ts: int, batch: int) -> list[Finding]:
        """A component was repaired: forget its alarms. Returns a `clear` for each open one."""
        ...


def as_json(driver: Driver) -> dict[str, Any]:
    """For the evidence of a detection."""
    return {name: getattr(driver, name) for name in driver.__dataclass_fields__}
