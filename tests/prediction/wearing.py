"""A small fleet whose bearings wear out in operating hours: hourly rollups as they are stored."""

from __future__ import annotations

import numpy as np

from analytics.definitions import HOUR
from analytics.store import moment
from kit.database import Conn, scalar

START = 1_780_272_000_000_000  # 2026-06-01 00:00 UTC, µs
MODEL = "fan"


def write(conn: Conn, devices: int = 8, days: int = 60, seed: int = 1) -> list[int]:
    """Devices with lives of 12 to 22 days, running 18 of 24 hours; vibration grows towards each failure, which is
    recorded and repaired two hours later. Returns their ids."""
    conn.execute(
        "insert into ingest.model (code, name_en, name_zh, kind) values (%s, 'Fan', '风机', 'fan')", (MODEL,)
    )
    for name, role in (
        ("vibration", "reading"),
        ("current", "reading"),
        ("run_hours", "run_hours"),
        ("state", "state"),
    ):
        conn.execute(
            """insert into ingest.metric (model, name, name_en, name_zh, unit, low, high, role)
               values (%s, %s, 'x', 'x', '1', -1e6, 1e6, %s)""", (MODEL, name, role),
        )  # fmt: skip
    for component in ("bearing", "motor"):
        conn.execute(
            """insert into ingest.failure_mode (model, code, component, name_en, name_zh, priority)
               values (%s, %s, %s, 'x', 'x', 2)""", (MODEL, f"{component}_wear", component),
        )  # fmt: skip
    rng, ids = np.random.default_rng(seed), []
    for at in range(devices):
        device = scalar(
            conn, "insert into ingest.device (uid, model) values (%s, %s) returning id", (f"F-{at}", MODEL)
        )
        ids.append(device)
        _device(conn, device, days, rng)
    return ids


def _device(conn: Conn, device: int, days: int, rng: np.random.Generator) -> None:
    hours = np.arange(days * 24)
    wear, begun, length, failed = np.zeros(len(hours)), 0, int(rng.uniform(12, 22) * 24), []
    for hour in range(len(hours)):
        age = (hour - begun) / length
        wear[hour] = max(0.0, age - 0.3) ** 2 * 10
        if age >= 1:
            failed.append(hour)
            begun, length = hour + 2, int(rng.uniform(12, 22) * 24)
    runs = hours % 24 < 18
    vibration = np.where(runs, 2 + wear + rng.normal(0, 0.2, len(hours)), 0.1)
    columns = {"vibration": vibration, "current": 40 + rng.normal(0, 1, len(hours)), "run_hours": np.cumsum(runs),
               "state": runs * 3.0}  # fmt: skip
    with conn.cursor().copy(
        "copy ingest.reading_hour (device_id, metric, bucket, n, mean, low, high, first, last) from stdin"
    ) as copy:
        for name, values in columns.items():
            for hour, value in zip(hours.tolist(), values.tolist(), strict=True):
                copy.write_row((device, name, moment(START + hour * HOUR), 60, *[value] * 5))
    for hour in failed:
        ts = moment(START + hour * HOUR)
        conn.execute("insert into analytics.failure values (%s, 'bearing', %s, %s, 'test')", (device, ts, ts))
        conn.execute(
            "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'test')",
            (device, moment(START + (hour + 2) * HOUR)),
        )
