"""A rule that is switched off closes the alarms it had left open: at once, once, and so that it can be explained."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from analytics import evidence, explain, tuning, worker
from analytics.definitions import DAY
from analytics.store import moment
from kit import follow
from kit.database import Conn, rows, scalar
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import MINUTE, START, VIBRATION, Fault

NO_SHIFT = {"shift": {"off": True}}


@pytest.fixture
def alarmed(db: Conn) -> tuple[Conn, int, int]:
    """A pump whose bearing has `shift` and `spike` raised, and a fault event newer than its newest row; a healthy one.

    Returns: the connection, the failing pump, microseconds of that event.
    """
    devices = stored.prepare(db, 2)
    block = machines.rows(devices, machines.times(11), faults=(Fault(devices[0], VIBRATION, 8, 2, 6.0),))
    newest = int(block.ts.max()) + 5 * MINUTE
    stored.write(db, block, [(devices[0], moment(newest), "W010", True)])
    follow.catch_up(db, worker.followers(Settings()))
    assert open_rules(db, devices[0]) == {("shift", "bearing_wear"), ("spike", "bearing_wear")}
    return db, devices[0], newest


def open_rules(conn: Conn, device: int) -> set[tuple[str, str]]:
    return {(row["rule"], row["failure_mode"]) for row in evidence.open_alarms(conn, device)}


def clears(conn: Conn) -> list[dict[str, object]]:
    return rows(
        conn,
        """select id, device_id, ts, rule, failure_mode, evidence, tuning_id from analytics.detection
           where kind = 'clear' and evidence ? 'reason' order by id""",
    )


def test_switching_a_rule_off_clears_what_it_had_open_though_the_devices_are_silent(
    alarmed: tuple[Conn, int, int],
) -> None:
    conn, device, newest = alarmed
    change = tuning.change(conn, NO_SHIFT, "anna")
    follow.catch_up(conn, worker.followers(Settings()))
    (clear,) = clears(conn)
    assert (clear["device_id"], clear["rule"], clear["failure_mode"]) == (device, "shift", "bearing_wear")
    assert clear["ts"] == moment(newest), "event time: that of the newest the device sent"
    told = clear["evidence"]
    assert isinstance(told, dict)
    assert told["reason"] == "rule_off"
    assert told["also_open"] == ["spike"]
    assert clear["tuning_id"] == change.id
    assert open_rules(conn, device) == {("spike", "bearing_wear")}
    assert tuning.in_use(conn)


def test_the_clear_is_explained_and_nothing_is_cleared_twice_or_raised_again(
    alarmed: tuple[Conn, int, int],
) -> None:
    conn, device, _ = alarmed
    tuning.change(conn, NO_SHIFT, "anna")
    follow.catch_up(conn, worker.followers(Settings()))
    more = machines.rows([device], machines.times(2, first_day=12), seed=7)
    stored.write(conn, more)
    follow.catch_up(conn, worker.followers(Settings()))
    tuning.change(conn, {"shift": {"off": True}, "spike": {"off": True}}, "anna")
    follow.catch_up(conn, worker.followers(Settings()))  # fresh workers: they read the saved states
    assert [clear["rule"] for clear in clears(conn)].count("shift") == 1
    assert open_rules(conn, device) == set()
    for (detection,) in conn.execute("select id from analytics.detection order by id").fetchall():
        explanation = explain.explain(conn, detection)
        assert explanation.ok, explanation.text_en


def test_a_rule_switched_on_again_begins_anew(alarmed: tuple[Conn, int, int]) -> None:
    conn, device, _ = alarmed
    tuning.change(conn, NO_SHIFT, "anna")
    follow.catch_up(conn, worker.followers(Settings()))
    tuning.change(conn, {}, "ben")
    follow.catch_up(conn, worker.followers(Settings()))
    block = machines.rows(
        [device], machines.times(6, first_day=11), faults=(Fault(device, VIBRATION, 8, 2, 6.0),)
    )
    stored.write(conn, block)
    follow.catch_up(conn, worker.followers(Settings()))
    raised = conn.execute(
        "select count(*) from analytics.detection where kind = 'raise' and rule = 'shift'"
    ).fetchone()
    assert raised is not None
    assert ("shift", "bearing_wear") in open_rules(conn, device)
    assert raised[0] == 2


def test_a_worker_killed_at_any_statement_clears_once(
    alarmed: tuple[Conn, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    conn, device, _ = alarmed
    tuning.change(conn, NO_SHIFT, "anna")
    killed, execute = 0, psycopg.Cursor.execute
    left = [0]

    def dying(self: psycopg.Cursor[Any], *args: Any, **kwargs: Any) -> psycopg.Cursor[Any]:
        left[0] -= 1
        if left[0] == 0:
            raise psycopg.OperationalError("killed here")
        return execute(self, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", dying)
    for statements in range(1, 200):
        left[0] = statements
        try:
            follow.catch_up(conn, worker.followers(Settings()))
        except psycopg.OperationalError:
            killed += 1
            continue
        break
    monkeypatch.undo()
    assert killed > 20, "each statement up to the end of the work was the last one once"
    assert [clear["rule"] for clear in clears(conn)] == ["shift"]
    assert open_rules(conn, device) == {("spike", "bearing_wear")}
    (clear,) = clears(conn)
    assert explain.explain(conn, int(str(clear["id"]))).ok


def test_devices_on_which_nothing_was_open_are_left_alone(db: Conn) -> None:
    devices = stored.prepare(db, 2)
    stored.write(db, machines.rows(devices, machines.times(5)))
    follow.catch_up(db, worker.followers(Settings()))
    before = db.execute("select device_id, state from analytics.device_state order by 1").fetchall()
    tuning.change(db, NO_SHIFT, "anna")
    follow.catch_up(db, worker.followers(Settings()))
    assert clears(db) == []
    assert db.execute("select device_id, state from analytics.device_state order by 1").fetchall() == before
    assert scalar(db, "select max(ts) from ingest.telemetry") < moment(START + 6 * DAY)
