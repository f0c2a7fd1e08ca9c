"""How the machines behave: sensor readings as a pure function of (seed, device, time, faults), each row by
itself, so that live publishing and the seeded history agree to the last digit however the rows are asked for.

Time is int64 microseconds since the Unix epoch; rows are flat arrays of (device number, time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulators import draws
from simulators.draws import Bools, Floats, Ints
from simulators.faults import DAY, HOUR, MINUTE, Fault
from simulators.specs import Channel, ModelSpec

LOCAL = 8 * HOUR  # the machines live in Asia/Shanghai, which has no summer time
YEAR = int(365.25 * DAY)
OFF, IDLE, PART, FULL = range(4)
MISSING, SPIKE, STUCK = 0.004, 0.0003, 0.0006  # per reading; per reading and sensor; per six hours and sensor
STUCK_BLOCK = 6 * HOUR


def _week(day: list[int], saturday: list[int], sunday: list[int]) -> list[int]:
    """Hours of a week that begins on a Thursday, as the Unix epoch does."""
    return day + day + saturday + sunday + day + day + day


def _day(**parts: int) -> list[int]:
    """`_day(h00=PART, h08=FULL)`: part load until 08:00, full load from then on."""
    hours = []
    for hour in range(24):
        started = [regime for name, regime in parts.items() if int(name[1:]) <= hour]
        hours.append(started[-1])
    return hours


_CLOSED = _day(h00=OFF)
_NIGHT_LOW = _day(h00=PART, h07=FULL, h21=PART)
_SHIFTS = _day(h00=IDLE, h06=PART, h08=FULL, h12=PART, h13=FULL, h18=PART, h22=IDLE)
_OFFICE = _day(h00=OFF, h07=IDLE, h08=FULL, h12=PART, h13=FULL, h18=IDLE, h19=OFF)
# Duty profiles: [profile, hour of the week]. The first two never stop by themselves.
PROFILES: Ints = np.array(
    [
        _week(_NIGHT_LOW, _day(h00=PART), _day(h00=PART)),
        _week(_day(h00=FULL), _day(h00=FULL), _day(h00=FULL)),
        _week(_SHIFTS, _SHIFTS, _CLOSED),
        _week(_OFFICE, _CLOSED, _CLOSED),
    ]
)
ALWAYS_ON = 2
_PROFILE_SHARE = np.array([0.45, 0.70, 0.90, 1.0])  # cumulative
_RAN = np.concatenate(
    [np.zeros((len(PROFILES), 1)), np.cumsum(PROFILES > OFF, axis=1)], axis=1
)  # hours run by each hour


@dataclass(frozen=True)
class Sample:
    """Readings of n rows.

    Attributes:
        values: [n, metric] in the order of `ModelSpec.metrics`; NaN never occurs here.
        missing: [n] the device failed to take or send this reading.
    """

    values: Floats
    missing: Bools


def sample(spec: ModelSpec, seed: int, number: Ints, ts: Ints, faults: Sequence[Fault]) -> Sample:
    """What devices of one model read at the given times.

    Args:
        number, ts: [n] device number and time of each row.
        faults: those of any of the devices, open or repaired; others are ignored.
    """
    course = _Course(spec, number, ts, faults)
    work = _Work(seed, number, ts, course.down)
    regime = work.now
    values = np.empty((len(ts), len(spec.metrics)))
    values[:, 0] = _counter(spec, seed, number, ts, faults)
    values[:, 1] = regime
    for at, channel in enumerate(spec.channels, 2):
        read = _read(channel, seed, number, ts, work) + course.effect(channel.name, regime)
        _stick(read, spec, channel, seed, number, ts, faults)
        values[:, at] = _spike(channel, seed, number, ts, np.clip(read, channel.low, channel.high))
    missing = draws.uniform(seed, "missing", number, ts) < MISSING
    return Sample(values, missing)


def profile(seed: int, number: Ints) -> Ints:
    """[n] which duty profile each device has."""
    found: Ints = np.searchsorted(
        _PROFILE_SHARE, draws.uniform(seed, "profile", number, np.array(0)), side="right"
    )
    return found


def duty(seed: int, number: Ints, ts: Ints) -> Ints:
    """[n] operating regime by the duty profile: 0 off, 1 idle, 2 part load, 3 full load; no faults."""
    hour = (ts + LOCAL) // HOUR
    regime = PROFILES[profile(seed, number), hour % 168]
    # Every now and then four hours at the other load.
    other = (regime >= PART) & (draws.uniform(seed, "swing", number, hour // 4) < 0.12)
    return np.where(other, PART + FULL - regime, regime)


def ran(seed: int, number: Ints, ts: Ints) -> Floats:
    """[n] hours run by the duty profile since the epoch; closed form, so no row needs the ones before it."""
    local = ts + LOCAL
    hour = local // HOUR
    which, slot = profile(seed, number), hour % 168
    running = PROFILES[which, slot] > OFF
    found: Floats = (
        hour // 168 * _RAN[which, -1] + _RAN[which, slot] + running * ((local - hour * HOUR) / HOUR)
    )
    return found


class _Course:
    """What faults do to the rows: who stands still, and what each metric has gained."""

    def __init__(self, spec: ModelSpec, number: Ints, ts: Ints, faults: Sequence[Fault]) -> None:
        self.down = np.zeros(len(ts), dtype=bool)
        self._rows = len(ts)
        self._effects: dict[str, Floats] = {}
        begin = int(ts.min()) if len(ts) else 0
        for fault in faults:
            if fault.repaired is not None and fault.repaired <= begin:
                continue  # long over
            rows = np.flatnonzero((number == fault.number) & (ts >= fault.onset))
            if fault.repaired is not None:
                rows = rows[ts[rows] < fault.repaired]
            if len(rows):
                self._add(spec, fault, rows, ts)

    def _add(self, spec: ModelSpec, fault: Fault, rows: Ints, ts: Ints) -> None:
        damage = fault.damage(ts[rows])
        self.down[rows] |= ts[rows] >= fault.failed
        for metric, effect in spec.mode(fault.mode).effects.items():
            self._effects.setdefault(metric, np.zeros(self._rows))[rows] += effect * damage

    def effect(self, metric: str, regime: Ints) -> Floats | float:
        """[n] what the faults add to a metric; less at low load, nothing while the machine is off."""
        found = self._effects.get(metric)
        return 0.0 if found is None else found * np.array([0.0, 0.5, 0.85, 1.0])[regime]


class _Work:
    """What all sensors of the rows share: the regime now and in the hour before, the load's swing, the weather."""

    def __init__(self, seed: int, number: Ints, ts: Ints, down: Bools) -> None:
        self.into = (ts + LOCAL) % HOUR
        self.now = np.where(down, OFF, duty(seed, number, ts))
        self.before = np.where(down, OFF, duty(seed, number, ts - self.into - MINUTE))
        self.swing = draws.drift(seed, "load", number, ts, 3 * HOUR)
        self.alive = np.where(self.now == OFF, 0.1, 1.0)
        self.season = np.cos(2 * np.pi * (ts - 200 * DAY) / YEAR)
        self.day = np.cos(2 * np.pi * (ts + LOCAL - 15 * HOUR) / DAY)


def _read(channel: Channel, seed: int, number: Ints, ts: Ints, work: _Work) -> Floats:
    """A healthy sensor: level of the regime, machine, season, time of day, load, drift and noise."""
    levels, name = np.array(channel.levels), channel.name
    level = levels[work.now]
    level = level + (levels[work.before] - level) * np.exp(-work.into / (channel.settle * MINUTE))
    level = level * (1.0 + channel.spread * draws.normal(seed, name, number, np.array(-1)))
    slow = channel.slow * draws.drift(seed, name + "~", number, ts, 5 * HOUR)
    noise = channel.noise * draws.normal(seed, name + "+", number, ts)
    weather = channel.season * work.season + channel.day * work.day
    moving = work.alive * (channel.load * work.swing + slow + noise)
    found: Floats = np.round(level + weather + moving, channel.digits)
    return found


def _stick(
    read: Floats,
    spec: ModelSpec,
    channel: Channel,
    seed: int,
    number: Ints,
    ts: Ints,
    faults: Sequence[Fault],
) -> None:
    """Now and then a sensor hangs and repeats what it read at the beginning of a six-hour block."""
    block = ts // STUCK_BLOCK
    rows = np.flatnonzero(draws.uniform(seed, channel.name + "#", number, block) < STUCK)
    if not len(rows):
        return
    who, then = number[rows], block[rows] * STUCK_BLOCK
    course = _Course(spec, who, then, faults)
    work = _Work(seed, who, then, course.down)
    read[rows] = _read(channel, seed, who, then, work) + course.effect(channel.name, work.now)


def _spike(channel: Channel, seed: int, number: Ints, ts: Ints, read: Floats) -> Floats:
    """Single absurd values: half of them a multiple of the truth, half of them beyond what is possible."""
    draw = draws.uniform(seed, channel.name + "!", number, ts)
    absurd = np.where(draw < SPIKE / 2, channel.high * 1.6, read * 3.0 + channel.noise * 30)
    return np.where(draw < SPIKE, np.round(absurd, channel.digits), np.round(read, channel.digits))


def hours_shown(spec: ModelSpec, seed: int, number: int, ts: int) -> float:
    """What the run-hours counter of a machine without faults shows at `ts` (microseconds)."""
    return float(_counter(spec, seed, np.array([number]), np.array([ts]), ())[0])


def _counter(spec: ModelSpec, seed: int, number: Ints, ts: Ints, faults: Sequence[Fault]) -> Floats:
    """[n] the run-hours counter: rolls on only while the machine runs, and wraps where its type says so."""
    span = spec.rolls_at or 30_000.0
    hours = span * draws.uniform(seed, "hours", number, np.array(0)) + ran(seed, number, ts) - ran(
        seed, number, np.full(len(ts), BORN)
    )  # fmt: skip
    begin = int(ts.min()) if len(ts) else 0
    stood = [(fault.number, *fault.stopped) for fault in faults if fault.stopped is not None]
    over = [(who, since, until) for who, since, until in stood if until is not None and until <= begin]
    hours -= _stood(seed, over, number)
    for who, since, end in stood:
        if end is not None and end <= begin:
            continue
        rows = np.flatnonzero((number == who) & (ts > since))
        until = ts[rows] if end is None else np.minimum(ts[rows], end)
        hours[rows] -= ran(seed, number[rows], until) - ran(seed, number[rows], np.full(len(rows), since))
    return np.round(hours if spec.rolls_at is None else hours % spec.rolls_at, 2)


def _stood(seed: int, stood: Sequence[tuple[int, int, int]], number: Ints) -> Floats:
    """[n] hours that devices would have run in those (device number, from, to), all at once."""
    if not stood or not len(number):
        return np.zeros(len(number))
    who, since, until = np.array(stood, np.int64).T
    lost = ran(seed, who, until) - ran(seed, who, since)
    of_each = np.bincount(who, lost, max(int(who.max()), int(number.max())) + 1).astype(np.float64)
    found: Floats = of_each[number]
    return found


BORN = 1_735_689_600_000_000  # 2025-01-01: the counters' share of `hours` is what they showed then
