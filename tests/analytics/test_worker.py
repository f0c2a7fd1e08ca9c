"""The streaming worker on a real database: batches in, detections out, whatever happens in between."""

from __future__ import annotations

import numpy as np
import pytest

from analytics import worker
from analytics.block import Block
from analytics.definitions import DAY, HOUR
from analytics.store import moment
from kit import follow
from kit.database import Conn, rows, scalar
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


def test_one_batch_a_day_or_all_at_once_or_restarted_after_each_the_detections_are_the_same(
    db: Conn, devices: list[int]
) -> None:
    blocks = daily(fleet(devices))
    for block in blocks:
        stored.write(db, block)
        run(db)  # fresh followers: everything is read back from the database
    stepwise = stored.detections(db)
    states = db.execute("select device_id, state from analytics.device_state order by 1").fetchall()
    forget(db)
    run(db)
    assert len(stepwise) >= 2
    assert stored.detections(db) == stepwise
    assert db.execute("select device_id, state from analytics.device_state order by 1").fetchall() == states


def test_two_partitions_find_what_one_finds_of_machines_that_need_no_fleet(
    db: Conn, devices: list[int]
) -> None:
    for block in daily(fleet(devices)):
        stored.write(db, block)
    run(db, partitions=2)
    found = {(row[0], row[4]) for row in stored.detections(db)}
    assert found == {(devices[1], "bearing_wear"), (devices[4], "seal_leak")}


def test_rows_that_are_shuffled_and_sent_twice_within_a_batch_change_nothing(
    db: Conn, devices: list[int]
) -> None:
    blocks = daily(fleet(devices))
    for block in blocks:
        stored.write(db, block)
    run(db)
    ordered = stored.detections(db)
    forget(db)
    db.execute("truncate ingest.telemetry, ingest.batch")
    rng = np.random.default_rng(3)
    for block in blocks:
        twice = rng.permutation(np.concatenate([np.arange(len(block)), rng.integers(0, len(block), 40)]))
        stored.write(db, block.take(twice))
    run(db)
    assert [row[:-1] for row in stored.detections(db)] == [row[:-1] for row in ordered]


def test_rows_older_than_what_the_device_has_sent_change_nothing(db: Conn, devices: list[int]) -> None:
    blocks = daily(fleet(devices, 4))
    for block in blocks:
        stored.write(db, block)
    run(db)
    before = db.execute("select device_id, state from analytics.device_state order by 1").fetchall()
    late = blocks[1]
    stored.write(
        db, Block(late.order, late.device, late.ts + 60, late.seq, late.batch, late.values * 9, late.state)
    )
    run(db)
    assert db.execute("select device_id, state from analytics.device_state order by 1").fetchall() == before
    assert scalar(db, "select count(*) from analytics.detection") == 0


def test_a_repair_closes_the_alarm_and_the_next_fault_is_found_again(db: Conn, devices: list[int]) -> None:
    broken = devices[1]
    faults = (Fault(broken, VIBRATION, 7, 3, 5.0),)
    for block in daily(machines.rows(devices, machines.times(9), faults=faults)):
        stored.write(db, block)
    run(db)
    repaired = moment(START + 9 * DAY)
    reset(db, broken, "bearing", repaired)
    faults = (Fault(broken, VIBRATION, 16, 3, 5.0),)
    for block in daily(machines.rows(devices, machines.times(9, first_day=9), faults=faults, seed=2)):
        stored.write(db, block)
    run(db)
    history = rows(
        db,
        "select kind, rule, failure_mode, ts from analytics.detection where device_id = %s order by ts",
        (broken,),
    )
    cleared = [row["ts"] for row in history if row["rule"] == "reset"]
    assert cleared == [repaired]
    assert {row["ts"] < repaired for row in history if row["kind"] == "raise"} == {True, False}
    assert all(
        row["ts"] > moment(START + 16 * DAY)
        for row in history
        if row["kind"] == "raise" and row["ts"] > repaired
    )


def test_a_repair_that_lies_ahead_waits_for_its_time(db: Conn, devices: list[int]) -> None:
    broken = devices[1]
    blocks = daily(machines.rows(devices, machines.times(11), faults=(Fault(broken, VIBRATION, 7, 3, 5.0),)))
    for block in blocks[:9]:
        stored.write(db, block)
    run(db)
    ahead = moment(START + 10 * DAY + HOUR)
    reset(db, broken, "*", ahead)
    stored.write(db, blocks[9])
    run(db)
    assert scalar(db, "select count(*) from analytics.detection where rule = 'reset'") == 0
    stored.write(db, blocks[10])
    run(db)
    assert db.execute("select ts from analytics.detection where rule = 'reset'").fetchall() == [(ahead,)]


def test_a_chattering_fault_code_is_one_alarm_and_clears_once(db: Conn, devices: list[int]) -> None:
    begin = START + DAY
    chatter = [
        (devices[0], moment(begin + at * 2 * machines.MINUTE), "E101", at % 2 == 0) for at in range(40)
    ]
    stored.write(db, machines.rows(devices, machines.times(1)))
    stored.write(db, machines.rows(devices, machines.times(1, first_day=1)), chatter)
    run(db)
    found = db.execute(
        "select kind, rule, failure_mode, evidence -> 'codes' from analytics.detection order by ts"
    ).fetchall()
    assert found == [
        ("raise", "fault_code", "bearing_wear", ["E101"]),
        ("clear", "fault_code", "bearing_wear", ["E101"]),
    ]


def test_a_changed_device_type_keeps_what_was_learned(db: Conn, devices: list[int]) -> None:
    blocks = daily(fleet(devices))
    for block in blocks[:6]:
        stored.write(db, block)
    followers = worker.followers(Settings())
    follow.catch_up(db, followers)
    db.execute(
        """insert into ingest.metric (model, name, name_en, name_zh, unit, low, high, role)
           values (%s, 'axial_play', 'Axial play', '轴向窜动', 'mm', 0, 5, 'reading')""",
        (stored.MODEL,),
    )
    for block in blocks[6:]:
        stored.write(db, block)
    follow.catch_up(db, followers)
    assert {(row[0], row[4]) for row in stored.detections(db)} == {
        (devices[1], "bearing_wear"),
        (devices[4], "seal_leak"),
    }


def reset(conn: Conn, device: int, component: str, ts: object) -> None:
    conn.execute(
        "insert into analytics.reset (device_id, component, ts, reason) values (%s, %s, %s, 'test')",
        (device, component, ts),
    )


def forget(conn: Conn) -> None:
    """As if analytics had never run."""
    conn.execute(
        """truncate analytics.detection, analytics.device_state, analytics.fleet, analytics.step, analytics.snapshot,
               analytics.known_reset, analytics.tuning_use, kit.follower cascade"""
    )
