"""Synthetic pumps for the tests of analytics: regimes, seasons, weather, noise, gaps, glitches; planted faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.block import Block
from analytics.definitions import DAY, HOUR, Code, Definition, Floats, Ints, Limit, Metric, Mode, Symptom

START = 1_780_272_000_000_000  # 2026-06-01 00:00 UTC, microseconds
MINUTE = HOUR // 60
PUMP = Definition(
    "pump",
    (
        Metric("bearing_temperature", "°C", -40, 200),
        Metric("current", "A", 0, 200),
        Metric("flow", "m³/h", 0, 400),
        Metric("pressure", "bar", -1, 40),
        Metric("vibration", "mm/s", 0, 60),
    ),
    (
        Mode("bearing_wear", "bearing", 2),
        Mode("motor_overload", "motor", 1),
        Mode("seal_leak", "mechanical_seal", 2),
    ),
    (
        Symptom("bearing_wear", "vibration", "up", 1.0),
        Symptom("bearing_wear", "bearing_temperature", "up", 0.7),
        Symptom("motor_overload", "current", "up", 1.0),
        Symptom("seal_leak", "flow", "down", 0.8),
        Symptom("seal_leak", "pressure", "down", 1.0),
    ),
    (Code("E101", 2, "bearing_wear"), Code("W010", 4, None), Code("W201", 3, "seal_leak")),
    (Limit("vibration", "high", 11.0, "bearing_wear", 1, 10.0, 0.5),),
)
TEMPERATURE, CURRENT, FLOW, PRESSURE, VIBRATION = range(5)
LEVEL = np.array([58.0, 62.0, 120.0, 6.0, 2.2])
NOISE = np.array([0.8, 1.2, 2.0, 0.08, 0.12])


@dataclass(frozen=True)
class Fault:
    """A symptom that grows with the square of time from `onset` days on, by `size` within `days`."""

    device: int
    metric: int
    onset: float
    days: float
    size: float

    def added(self, ts: Ints) -> Floats:
        share = np.clip((ts - START - self.onset * DAY) / (self.days * DAY), 0.0, 1.0)
        found: Floats = self.size * share**2
        return found


def times(days: float, minutes: int = 60, first_day: float = 0.0) -> Ints:
    """Event times of one device."""
    return START + np.arange(int(first_day * DAY), int((first_day + days) * DAY), minutes * MINUTE)


def rows(
    devices: Sequence[int], ts: Ints, *, seed: int = 1, faults: Sequence[Fault] = (), mess: bool = False
) -> Block:
    """What healthy or failing pumps send at the given times. `mess` drops rows and values and adds glitches."""
    rng = np.random.default_rng(seed)
    device, time = np.repeat(np.array(devices), len(ts)), np.tile(ts, len(devices))
    own = np.array([LEVEL * (1 + 0.08 * np.random.default_rng(1000 + d).standard_normal(5)) for d in devices])
    hour = (time % DAY) / HOUR
    shift = np.array([np.random.default_rng(2000 + d).integers(0, 24) for d in devices])[
        np.repeat(np.arange(len(devices)), len(ts))
    ]
    state = np.select([(hour + shift) % 24 < 4, (hour + shift) % 24 < 10], [0.0, 2.0], 3.0)
    load = np.select([state == 0, state == 2], [0.0, 0.85], 1.0)[:, None]
    values = np.repeat(own, len(ts), axis=0) * np.where(load > 0, load, 0.02)
    ambient = 4 * np.cos(2 * np.pi * (hour - 15) / 24) + 8 * np.sin(2 * np.pi * (time - START) / (365 * DAY))
    values[:, TEMPERATURE] += 0.5 * ambient + np.concatenate([_weather(rng, ts) for _ in devices])
    values += np.where(load > 0, 1.0, 0.1) * NOISE * rng.standard_normal(values.shape)
    for fault in faults:
        ours = (device == fault.device) & (state > 0)
        values[ours, fault.metric] += fault.added(time[ours])
    keep = np.ones(len(time), bool)
    if mess:
        values[rng.random(values.shape) < 0.01] = np.nan
        glitch = rng.random(values.shape) < 0.0005
        values[glitch] *= rng.uniform(0.3, 3.0, values.shape)[glitch]
        keep = (rng.random(len(time)) > 0.02) & ~_gaps(rng, device, time)
    n = len(time)
    zero = np.zeros(n, np.int64)
    return Block(zero, device, time, np.arange(n), zero, values, state).take(np.flatnonzero(keep))


def _weather(rng: np.random.Generator, ts: Ints) -> Floats:
    """An autocorrelated disturbance of about a degree, correlated over half a day."""
    walk, now = np.empty(len(ts)), 0.0
    keep = float(np.exp(-np.diff(ts[:2])[0] / (12 * HOUR))) if len(ts) > 1 else 0.0
    for at, kick in enumerate(rng.standard_normal(len(ts))):
        now = keep * now + np.sqrt(1 - keep**2) * kick
        walk[at] = now
    return walk


def _gaps(rng: np.random.Generator, device: Ints, time: Ints) -> np.ndarray:
    """One silence of up to two days for every device."""
    found = np.zeros(len(device), bool)
    for one in np.unique(device):
        begin = rng.uniform(time.min(), time.max())
        found |= (device == one) & (time >= begin) & (time < begin + rng.uniform(0, 2) * DAY)
    return found
