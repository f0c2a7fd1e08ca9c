"""Planted faults: their course from onset to failure, their fault codes, the book that keeps them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from simulators.draws import Floats, Ints, single
from simulators.specs import ModelSpec

SECOND = 1_000_000  # event time is int64 microseconds since the Unix epoch
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
KNEE = 90 * MINUTE  # a sudden fault shows 45 % of its effect after so long
Shape = Literal["wear", "sudden", "silent"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        number, uid: the device.
        mode, component: as in the device type.
        onset, failed: when it begins to show and when the machine stops for it.
        shape: wear accelerates; sudden shows at once, then worsens; silent shows nothing before the failure.
        repaired: event time of the repair; None while it is open.
    """

    number: int
    uid: str
    mode: str
    component: str
    onset: int
    failed: int
    shape: Shape = "wear"
    repaired: int | None = None

    def damage(self, ts: Ints) -> Floats:
        """0 healthy … 1 at the moment of failure and after it; 0 again after the repair."""
        share = np.clip((ts - self.onset) / (self.failed - self.onset), 0.0, 1.0)
        if self.shape == "silent":
            course = (share >= 1.0).astype(np.float64)
        elif self.shape == "sudden":
            course = 0.45 * np.clip((ts - self.onset) / KNEE, 0.0, 1.0) + 0.55 * share**2
        else:
            course = 0.25 * share + 0.75 * share**3
        return course if self.repaired is None else np.where(ts >= self.repaired, 0.0, course)

    @property
    def stopped(self) -> tuple[int, int | None] | None:
        """From when to when the machine stands still for it; None when it was repaired in time."""
        if self.repaired is not None and self.repaired <= self.failed:
            return None
        return self.failed, self.repaired


@dataclass(frozen=True, order=True)
class CodeEvent:
    """A fault code that a device raises or clears."""

    ts: int
    uid: str
    code: str
    active: bool


def code_events(fault: Fault, spec: ModelSpec, seed: int) -> Iterator[CodeEvent]:
    """All codes of a fault, as far as they are decided: chatter shortly before the failure on 60 % of the
    machines that warn at all, the code at the failure, and its end at the repair. A repair cancels what would
    follow it."""
    code, counter = spec.mode(fault.mode).fault_code, fault.onset // SECOND
    end = fault.repaired if fault.repaired is not None else np.iinfo(np.int64).max
    warns = fault.shape != "silent" and single(seed, "warns", fault.number, counter) < 0.6
    if warns:
        ahead = (fault.failed - fault.onset) // 12
        for pulse in range(2 + int(3 * single(seed, "chatter", fault.number, counter))):
            at = (
                fault.failed - ahead + int(ahead * 0.9 * single(seed, "pulse", fault.number, counter + pulse))
            )
            length = int((1 + 6 * single(seed, "length", fault.number, counter + pulse)) * MINUTE)
            if at + length < min(fault.failed, end):
                yield CodeEvent(at // SECOND * SECOND, fault.uid, code, True)
                yield CodeEvent((at + length) // SECOND * SECOND, fault.uid, code, False)
    if fault.failed < end:
        yield CodeEvent(fault.failed, fault.uid, code, True)
        if fault.repaired is not None:
            yield CodeEvent(fault.repaired, fault.uid, code, False)


class FaultBook:
    """The faults of a fleet. Times only move forward: a repair closes what had begun by then."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._by_device: dict[int, list[Fault]] = {}
        for fault in faults:
            self.plant(fault)

    def __iter__(self) -> Iterator[Fault]:
        for faults in self._by_device.values():
            yield from faults

    def plant(self, fault: Fault) -> bool:
        """Add a fault unless one with the same onset and mode is known; says whether it was added."""
        known = self._by_device.setdefault(fault.number, [])
        if any((one.mode, one.onset) == (fault.mode, fault.onset) for one in known):
            return False
        known.append(fault)
        return True

    def of(self, number: int) -> list[Fault]:
        """The faults of a device."""
        return self._by_device.get(number, [])

    def free(self, number: int, ts: int, rest: int) -> bool:
        """True when the device has no open fault and its last repair is at least `rest` before `ts`."""
        return all(one.repaired is not None and one.repaired + rest <= ts for one in self.of(number))

    def repair(self, number: int, component: str, ts: int) -> list[Fault]:
        """Close the open faults of a component (`*`: all) that began by `ts`; returns them closed."""
        closed = []
        for at, fault in enumerate(self.of(number)):
            if fault.repaired is None and fault.onset <= ts and component in ("*", fault.component):
                self._by_device[number][at] = replace(fault, repaired=ts)
                closed.append(self._by_device[number][at])
        return closed

    def standing(self, ts: int, *, longer_than: int = 0) -> list[Fault]:
        """Faults whose machine has stood still for longer than that at `ts`: somebody will telephone."""
        return [one for one in self if one.repaired is None and one.failed + longer_than <= ts]


def micros(moment: datetime) -> int:
    """Aware datetime -> microseconds since the Unix epoch, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(ts: int) -> datetime:
    """Microseconds since the Unix epoch -> aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=int(ts))
