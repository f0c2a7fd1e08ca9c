"""Repairs that hold and repairs that do not, on a real database: what the streaming worker makes of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analytics import explain, worker
from analytics.block import Block
from analytics.definitions import DAY, HOUR
from analytics.recovery import settings
from analytics.store import moment
from kit import follow
from kit.database import Conn, rows
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import START, VIBRATION, Fault

REPAIR = START + int(10.5 * DAY) + HOUR // 2


@pytest.fixture
def devices(db: Conn) -> list[int]:
    return stored.prepare(db, 4)


def fleet(devices: list[int], days: float = 18) -> Block:
    """Three bearings wear out; only that of the first is whole after the repair, and the last is very bad."""
    faults = tuple(Fault(devices[at], VIBRATION, 7, 3, size) for at, size in ((0, 5.0), (2, 0.8), (3, 5.0)))
    block = machines.rows(devices, machines.times(days), faults=faults)
    healed = (block.device == devices[0]) & (block.ts > REPAIR) & (block.state > 0)
    block.values[healed, VIBRATION] -= faults[0].added(block.ts[healed])
    return block


def tell(conn: Conn, devices: list[int], at: int = REPAIR) -> None:
    for device in devices:
        conn.execute(
            "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'test')",
            (device, moment(at)),
        )


def live(conn: Conn, devices: list[int], pieces: int, days: float = 18) -> None:
    """Half days in `pieces` each, the repairs told when they happen; fresh followers every time."""
    block = fleet(devices, days)
    edges = np.arange(START, int(block.ts.max()) + 2 * HOUR, DAY // (2 * pieces))
    for first, end in pairwise(edges.tolist()):
        if first <= REPAIR < end:
            tell(conn, [devices[0], devices[2], devices[3]])
        stored.write(conn, block.take(np.flatnonzero((block.ts >= first) & (block.ts < end))))
        follow.catch_up(conn, worker.followers(Settings()))


def checks(conn: Conn) -> list[dict[str, object]]:
    return rows(
        conn,
        "select device_id, failure_mode, state, decided_ts, run_hours, figures from analytics.recovery order by 1, 2",
    )


def test_a_repair_that_held_has_recovered_and_one_that_did_not_is_found(db: Conn, devices: list[int]) -> None:
    live(db, devices, 1)
    held, failed, again = checks(db)
    assert (held["device_id"], held["state"]) == (devices[0], "recovered")
    assert (failed["device_id"], failed["failure_mode"], failed["state"]) == (
        devices[2], "bearing_wear", "not_recovered",
    )  # fmt: skip
    assert (again["device_id"], again["state"]) == (devices[3], "recurred")  # the detectors saw it themselves
    assert 12 <= held["run_hours"] < 24  # type: ignore[operator]
    assert 48 <= failed["run_hours"] < 52  # type: ignore[operator]
    (raised,) = rows(db, "select * from analytics.detection where rule = 'recovery'")
    assert (raised["device_id"], raised["kind"], raised["ts"]) == (devices[2], "raise", failed["decided_ts"])
    (driver,) = [d for d in raised["evidence"]["drivers"] if d["metric"] == "vibration"]
    assert driver["value"] > driver["limit"] > driver["baseline"]
    explained = explain.explain(db, raised["id"])
    assert explained.ok, explained.text_en
    db.execute("update ingest.telemetry set \"values\"[6] = 2.2 where device_id = %s and ts > %s",
               (devices[2], moment(REPAIR)))  # fmt: skip
    assert not explain.explain(db, raised["id"]).ok


def test_the_hours_of_the_rule_that_alarmed_hold_before_those_of_the_mode(
    db: Conn, devices: list[int]
) -> None:
    data = {
        "model": {"code": stored.MODEL},
        "recovery": [
            {"failure_mode": "bearing_wear", "hours": 90},
            {"failure_mode": "bearing_wear", "rule": "shift", "hours": 24},
            {"failure_mode": "bearing_wear", "rule": "limit", "hours": 6},
        ],
    }
    assert settings.load(db, data) == 3
    live(db, devices, 1)
    failed = next(row for row in checks(db) if row["device_id"] == devices[2])
    assert failed["state"] == "not_recovered"
    assert 24 <= failed["run_hours"] < 28  # type: ignore[operator]
    raised = rows(
        db,
        """select a.rule from analytics.recovery w join analytics.detection a on a.id = w.raise_id
           where w.device_id = %s""",
        (devices[2],),
    )
    assert raised == [{"rule": "shift"}]


@pytest.mark.slow
def test_however_the_rows_come_and_whenever_it_is_restarted_the_verdict_is_the_same(
    db: Conn, devices: list[int]
) -> None:
    live(db, devices, 3)
    stepwise = checks(db)
    found = stored.detections(db)
    db.execute(
        "truncate analytics.recovery, analytics.detection, analytics.device_state, analytics.known_reset cascade"
    )
    db.execute("truncate analytics.snapshot, analytics.fleet, analytics.step, kit.follower cascade")
    db.execute("truncate ingest.telemetry, ingest.batch cascade")
    db.execute("truncate analytics.reset cascade")
    live(db, devices, 1)
    assert [(row[0], row[1], row[2], row[3], row[4]) for row in stored.detections(db)] == [
        (row[0], row[1], row[2], row[3], row[4]) for row in found
    ]
    assert checks(db) == stepwise


def test_the_next_repair_ends_the_finding_and_begins_another_check(db: Conn, devices: list[int]) -> None:
    live(db, devices, 1)
    at = REPAIR + 7 * DAY
    tell(db, [devices[2]], at)
    follow.catch_up(db, worker.followers(Settings()))
    found = rows(db, "select kind, ts from analytics.detection where rule = 'recovery' order by id")
    assert [row["kind"] for row in found] == ["raise", "clear"]
    assert found[1]["ts"] == moment(at)
    newest = rows(db, "select state, repaired_at from analytics.recovery where device_id = %s order by reset_id",
                  (devices[2],))[-1]  # fmt: skip
    assert newest == {"state": "watching", "repaired_at": moment(at)}


def test_a_repair_nobody_had_an_alarm_for_is_not_checked(db: Conn, devices: list[int]) -> None:
    block = machines.rows(devices, machines.times(3))
    stored.write(db, block)
    follow.catch_up(db, worker.followers(Settings()))
    tell(db, devices, START + 2 * DAY)
    stored.write(db, machines.rows(devices, machines.times(1, first_day=3)))
    follow.catch_up(db, worker.followers(Settings()))
    assert checks(db) == []


def test_a_machine_that_stays_silent_is_given_up(db: Conn, devices: list[int]) -> None:
    live(db, devices, 1, days=11)
    silent = int(devices[2])
    for first_day in (30.0, 60.0, 75.0):
        stored.write(db, machines.rows([devices[1]], machines.times(1, first_day=first_day)))
        follow.catch_up(db, worker.followers(Settings()))
    states = {row["device_id"]: row["state"] for row in checks(db)}
    assert states[silent] == "unknown"
