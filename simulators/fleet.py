"""Which devices there are and which faults are planted on them: functions of the seed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from simulators.draws import single
from simulators.faults import DAY, HOUR, SECOND, Fault, FaultBook, Shape, micros
from simulators.machine import ALWAYS_ON, profile
from simulators.specs import MODELS, ModelSpec

SEED_DEVICES = 240  # the fleet that the rates below are meant for
HISTORY_FAULTS = 36  # in 90 days
AHEAD = 8 * HOUR  # in the live part one new fault per …
REST = 4 * DAY  # … on a device that has been well for so long
SHOWCASE_HOURS = (
    -0.4,
    -0.2,
    0.8,
    2.0,
    3.5,
    5.0,
)  # onsets of the first faults around the start of the live part


@dataclass(frozen=True)
class Machine:
    """A simulated device. `number` counts from 1 over the whole fleet; `serial` is the maker's."""

    number: int
    uid: str
    model: str
    serial: str

    @property
    def spec(self) -> ModelSpec:
        """Its physics."""
        return MODELS[self.model]


def fleet(seed: int, devices: int) -> list[Machine]:
    """The first `devices` machines: four pumps, three chillers and three compressors in each ten."""
    order = [spec for spec in MODELS.values() for _ in range(spec.share)]
    counts = dict.fromkeys(MODELS, 0)
    machines = []
    for number in range(1, devices + 1):
        spec = order[(number - 1) * 7 % len(order)]  # a step of seven mixes the models in short fleets, too
        counts[spec.code] += 1
        mark = hashlib.sha256(f"{seed}/serial/{number}".encode()).hexdigest()[:8].upper()
        machines.append(
            Machine(number, f"{spec.prefix}-{counts[spec.code]:04}", spec.code, f"{spec.prefix}{mark}")
        )
    return machines


def token(seed: int, uid: str) -> str:
    """The demo device's password. Whoever knows the seed knows it: for simulated fleets only."""
    return hashlib.sha256(f"{seed}/token/{uid}".encode()).hexdigest()[:32]


def tokens(seed: int, devices: int = SEED_DEVICES) -> dict[str, str]:
    """uid -> token of a whole fleet, for whoever registers it."""
    return {machine.uid: token(seed, machine.uid) for machine in fleet(seed, devices)}


def plan_history(seed: int, machines: Sequence[Machine], start: datetime, end: datetime) -> list[Fault]:
    """The faults of a past period, onset by onset: none in the first six days (the models still learn), and
    on one machine never within ten days of its last failure."""
    first, last = micros(start) + 6 * DAY, micros(end) - 6 * HOUR
    count = round(HISTORY_FAULTS * len(machines) / SEED_DEVICES * (last - first) / (84 * DAY))
    rests: dict[int, int] = {}
    faults = []
    for at in range(count):
        onset = first + int((last - first) * (at + single(seed, "onset", at)) / count)
        free = [machine for machine in machines if rests.get(machine.number, 0) <= onset]
        if not free:
            continue
        machine = free[int(len(free) * single(seed, "who", at))]
        fault = planned(seed, machine, onset, "", at)
        rests[machine.number] = fault.failed + 10 * DAY
        faults.append(fault)
    return faults


def planned(seed: int, machine: Machine, onset: int, stream: str, counter: int) -> Fault:
    """A fault of a past period: its course takes two to ten days."""
    days = 2.0 + 8.0 * single(seed, f"{stream} course".strip(), counter) ** 1.5
    shape = _shape(single(seed, f"{stream} shape".strip(), counter))
    return _fault(seed, machine, onset, days, shape, counter, stream)


def plan_ahead(
    seed: int,
    machines: Sequence[Machine],
    book: FaultBook,
    now: datetime,
    under_warranty: Collection[str] = (),
) -> list[Fault]:
    """The showcase around the start of the live part: faults that show at once, on healthy machines that
    never stop, by turns under warranty and not, so that the first automatic orders open within the first simulated
    hours. Not yet planted in the book."""
    base = micros(now)
    numbers = np.array([machine.number for machine in machines])
    steady = profile(seed, numbers) < ALWAYS_ON
    well = [m for m, on in zip(machines, steady, strict=True) if on and book.free(m.number, base, REST)]
    well.sort(key=lambda machine: single(seed, "showcase", machine.number))
    inside = [machine for machine in well if machine.uid in under_warranty]
    outside = [machine for machine in well if machine.uid not in under_warranty]
    faults: list[Fault] = []
    for at, hours in enumerate(SHOWCASE_HOURS):
        pool = (inside, outside)[at % 2] or inside or outside
        if pool:
            machine = _unlike(pool, faults)
            pool.remove(machine)
            days = 1.5 + single(seed, "showtime", at)
            onset = base + int(hours * HOUR)
            tries = [_fault(seed, machine, onset, days, "sudden", 10_000 + 100 * at + n) for n in range(10)]
            shown = {fault.mode for fault in faults}
            faults.append(next((fault for fault in tries if fault.mode not in shown), tries[0]))
    return faults


def _unlike(pool: Sequence[Machine], faults: Sequence[Fault]) -> Machine:
    """The first of the pool whose model was not the last fault's, so that the show has variety."""
    last = faults[-1].uid.split("-")[0] if faults else ""
    return next((machine for machine in pool if machine.spec.prefix != last), pool[0])


def arrivals(
    seed: int, machines: Sequence[Machine], book: FaultBook, after: int, until: int
) -> Iterator[Fault]:
    """New faults with after < onset <= until: one per window of eight hours (longer for a small fleet), on a
    machine that has been well for some days. Plant each one before asking for the next."""
    window = int(AHEAD * max(1.0, SEED_DEVICES / len(machines)))
    known = {fault.onset for fault in book}
    for slot in range(after // window, until // window + 1):
        onset = slot * window + int(window * single(seed, "arrival", slot))
        if not after < onset <= until or onset // SECOND * SECOND in known:
            continue
        for attempt in range(20):
            machine = machines[int(len(machines) * single(seed, "victim", slot, attempt))]
            if book.free(machine.number, onset, REST):
                days = 1.5 + 2.5 * single(seed, "ahead", slot)
                yield _fault(seed, machine, onset, days, _shape(single(seed, "kind", slot)), slot)
                break


def _shape(draw: float) -> Shape:
    return "silent" if draw < 0.12 else "sudden" if draw < 0.3 else "wear"


def _fault(
    seed: int, machine: Machine, onset: int, days: float, shape: Shape, counter: int, stream: str = ""
) -> Fault:
    modes = machine.spec.modes
    shares = np.cumsum([mode.rate for mode in modes])
    draw = single(seed, f"{stream} mode".strip(), machine.number, counter)
    mode = modes[int(np.searchsorted(shares, shares[-1] * draw, side="right"))]
    begins, failed = (ts // SECOND * SECOND for ts in (onset, onset + int(days * DAY)))
    return Fault(machine.number, machine.uid, mode.code, mode.component, begins, failed, shape)
