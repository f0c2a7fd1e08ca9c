"""A small fleet that wears: readings drift two days before a failure, a code comes a day before it."""

from __future__ import annotations

import numpy as np

from analytics.definitions import DAY, HOUR
from analytics.prediction.history import History, Log

START = 1_780_272_000_000_000  # 2026-06-01 00:00 UTC, µs
STEP_HOURS = 3


def fleet(devices: int = 12, days: int = 75, seed: int = 1) -> tuple[History, Log]:
    """Its history and its failures, three a device; two metrics, two codes, one component and one that never fails."""
    rng = np.random.default_rng(seed)
    known = START + np.arange(1, days * 24 // STEP_HOURS + 1) * STEP_HOURS * HOUR
    values = rng.normal(10, 1, (devices, len(known), 2)) + rng.normal(0, 5, (devices, 1, 2))
    failed: list[tuple[int, int]] = []
    faults: list[tuple[int, int, int]] = []
    for device in range(devices):
        for day in (18, 38, 58):
            at = START + int((day + rng.uniform(0, 8)) * 8) * STEP_HOURS * HOUR
            failed.append((device, at))
            faults.append((device, at - 24 * HOUR, 0))
            values[device, (known > at - 48 * HOUR) & (known <= at), 0] += 5
        faults += [(device, int(START + rng.uniform(0, days) * DAY), int(rng.integers(2))) for _ in range(6)]
        from_day = int(rng.uniform(5, days - 5) * 8)
        values[device, from_day : from_day + 16, 0] += 5  # a drift that means nothing
    device, ts = np.array(failed).T
    nothing = np.zeros(len(ts), np.int64)
    history = History(
        metrics=("vibration", "current"),
        codes=("E1", "E2"),
        components=("bearing", "motor"),
        devices=np.arange(devices) + 100,
        known=known,
        step_hours=STEP_HOURS,
        values=values,
        faults=Log.of(*np.array(faults).T),
        repairs=Log.of(device, ts + HOUR, nothing),
        trait_names=("age",),
        traits=np.arange(devices, dtype=np.float64)[:, None],
    )
    return history, Log.of(device, ts, nothing)
