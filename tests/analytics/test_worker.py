"""The streaming worker on a real database: batches in, detections out, whatever happens in between."""

from __future__ import annotations

import numpy as np
import pytest

from analytics import worker
from analytics.block import Block
from analytics.definitions import DAY
from analytics.store import moment
from kit import follow
from kit.database import Conn, rows
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import PRESSURE, START, VIBRATION, Fault

DAYS = 12


@pytest.fixture
def devices(db: Conn) -> list[int]:
    return stored.prepare(db, 6)


def fleet(devices: list[int], days: float = DAYS) -> Block:
    faults = (Fault(devices[1], VIBRATION, 7, 3, 5.0), Fault(devices[4], PRESSURE, 8, 2, -2.5))
    return machines.rows(devices, machines.times(days), faults=faults)


def daily(block: Block) -> list[Block]:
    day = block.ts // DAY
    return [block.take(np.flatnonzero(day == one)) for one in np.unique(day)]


def run(conn: Conn, partitions: int = 1) -> None:
    settings = Settings(analytics={"partitions": partitions})
    follow.catch_up(conn, worker.followers(settings))


def test_a_failing_bearing_and_a_leaking_seal_are_found_well_before_they_fail(
    db: Conn, devices: list[int]
) -> None:
    for block in daily(fleet(devices)):
        stored.write(db, block)
    run(db)
    raised = rows(db, "select * from analytics.detection where kind = 'raise' order by ts")
    first = {row["failure_mode"]: row for row in reversed(raised)}
    assert {(row["device_id"], row["failure_mode"]) for row in raised} == {
        (devices[1], "bearing_wear"),
        (devices[4], "seal_leak"),
    }
    assert moment(START + 7 * DAY) < first["bearing_wear"]["ts"] < moment(START + int(8.5 * DAY))
    assert moment(START + 8 * DAY) < first["seal_leak"]["ts"] < moment(START + 9 * DAY + 6 * HOUR)
    driver = first["bearing_wear"]["evidence"]["drivers"][0]
    assert driver["metric"] == "vibration"
    assert driver["unit"] == "mm/s"
    assert driver["baseline"] < driver["limit"] < driver["value"] + 0.5
    assert driver["regime"] in (1, 2, 3)
