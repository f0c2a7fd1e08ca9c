"""What the fleet did before the product watched it: machines ran until they failed, and were then repaired. Pure.

Somebody recorded it coarsely: a reading of every device each few hours (a historian), fault codes, and when what
failed and was repaired (a maintenance system). From such a past failures can be learned on the first day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from simulators import readings
from simulators.draws import Floats, Ints, single
from simulators.faults import DAY, HOUR, SECOND, CodeEvent, Fault, code_events, micros
from simulators.fleet import REST, Machine, planned
from simulators.specs import ModelSpec

GAP = 12 * HOUR  # one failure in the fleet of 240 per …: nobody acted in time
WELL = 10 * DAY  # a machine that was repaired is well for so long
INTERVAL = timedelta(hours=3)  # between two readings that were recorded
SEED_DEVICES = 240


@dataclass(frozen=True)
class Failure:
    """A failure as a maintenance system has it: the component, when it failed, when it was replaced."""

    uid: str
    component: str
    failed: int
    repaired: int


@dataclass(frozen=True)
class Recorded:
    """One metric of devices of a model, in order of time within each device.

    Attributes:
        number: [n] device number; ts: [n] microseconds; values: [n], none beyond what is possible.
    """

    metric: str
    number: Ints
    ts: Ints
    values: Floats


def plan(seed: int, machines: Sequence[Machine], start: datetime, end: datetime) -> list[Fault]:
    """The failures of [start, end): each machine is repaired six to forty hours after it stopped, all are well some
    days before `end`."""
    first, last = micros(start), micros(end) - REST
    gap = GAP * SEED_DEVICES / len(machines)
    rests: dict[int, int] = {}
    faults = []
    for at in range(int((last - first) / gap)):
        onset = first + int(gap * (at + single(seed, "past", at)))
        free = [machine for machine in machines if rests.get(machine.number, 0) <= onset]
        if not free:
            continue
        machine = free[int(len(free) * single(seed, "past who", at))]
        fault = planned(seed, machine, onset, "past", at)
        hours = 6 + 34 * single(seed, "past stood", at)
        repaired = (fault.failed + int(hours * HOUR)) // SECOND * SECOND
        if repaired < last:
            rests[machine.number] = repaired + WELL
            faults.append(replace(fault, repaired=repaired))
    return faults


def failures(faults: Collection[Fault]) -> list[Failure]:
    """What the maintenance system knows, in order of the repairs."""
    told = [
        Failure(one.uid, one.component, one.failed, one.repaired)
        for one in faults
        if one.repaired is not None
    ]
    return sorted(told, key=lambda one: (one.repaired, one.uid))


def codes(
    seed: int, machines: Sequence[Machine], faults: Collection[Fault], start: datetime, end: datetime
) -> list[CodeEvent]:
    """All fault codes with start < ts <= end, in order of time."""
    after, until = micros(start), micros(end)
    specs = {machine.number: machine.spec for machine in machines}
    found = list(readings.information_codes(seed, machines, after, until))
    for one in faults:
        found += [event for event in code_events(one, specs[one.number], seed) if after < event.ts <= until]
    return sorted(found)


def recorded(
    seed: int, machines: Sequence[Machine], faults: Collection[Fault], start: datetime, end: datetime
) -> Iterator[Recorded]:
    """What was recorded of these machines in (start, end], metric by metric."""
    interval = INTERVAL // timedelta(microseconds=1)
    for rows in readings.take(seed, machines, list(faults), micros(start), micros(end), interval):
        for at, metric in enumerate(rows.spec.metrics):
            values = rows.values[:, at]
            keep = possible(rows.spec, metric, values)
            yield Recorded(metric, rows.number[keep], rows.ts[keep], values[keep])


def possible(spec: ModelSpec, metric: str, values: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[n] whether a value may be true: a recorder drops what no machine can read, as the product does."""
    channel = {channel.name: channel for channel in spec.channels}.get(metric)
    if channel is None:
        return np.isfinite(values)
    return np.asarray((values >= channel.low) & (values <= channel.high))
