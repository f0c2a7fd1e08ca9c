"""The demo's past: written once however often it is stopped, and learned from only when it is there."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from analytics import worker as analytics
from analytics.prediction import stored, waiting
from fsm_core.plans import worker as plans
from kit import clock, follow
from kit.database import Conn, connect, rows, scalar
from kit.settings import Settings, load
from meantime import device_types
from meantime.demo import past
from simulators.enrolment import enrol
from simulators.fleet import fleet
from tests.conftest import utc

START = utc("2026-08-27 00:00")
DEVICES = 13


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    simulation = {"devices": DEVICES, "history_days": 2}
    return load().model_copy(
        update={"simulation": load().simulation.model_copy(update=simulation), "home": tmp_path}
    )


@pytest.fixture
def begun(db: Conn, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Thirty days instead of half a year."""
    monkeypatch.setattr(past, "DAYS", timedelta(days=30))
    machines = fleet(settings.simulation.seed, DEVICES)
    with db.transaction():
        clock.set_rate(db, 0.0, sim=START)
        device_types.load_shipped(db)
        enrol(db, settings.simulation.seed, machines, START - timedelta(days=30))
        past.begin(db, settings, machines, START)
    return settings


def everything(conn: Conn) -> list[tuple[object, ...]]:
    return conn.execute("select * from ingest.reading_hour order by device_id, metric, bucket").fetchall()


def _die_within_a_step(victim: Conn, db: Conn, settings: Settings) -> None:
    with victim.transaction():
        past.step(victim, settings)  # a savepoint of this transaction, which never commits
        db.execute("select pg_terminate_backend(%s, 5000)", (scalar(victim, "select pg_backend_pid()"),))
        victim.execute("select 1")


def test_failures_and_codes_of_the_past_are_on_record_but_nothing_is_found_or_ordered(
    db: Conn, begun: Settings
) -> None:
    failures = rows(db, "select * from analytics.failure")
    assert failures
    assert scalar(db, "select count(*) from analytics.reset") == len(failures)
    assert scalar(db, "select count(*) from sim.fault where repaired_at is not null") == len(failures)
    assert scalar(db, "select count(*) from ingest.fault_event where active") > len(failures)
    follow.catch_up(db, [*analytics.followers(begun), *plans.followers(begun)])
    assert scalar(db, "select count(*) from analytics.detection") == 0
    assert scalar(db, "select count(*) from analytics.known_reset") == 0
    assert scalar(db, "select count(*) from fsm.work_order") == 0


def test_a_step_that_was_killed_is_done_again_and_nothing_is_there_twice(
    db: Conn, dsn: str, begun: Settings
) -> None:
    with connect(dsn, application="killed", autocommit=True) as victim:
        assert past.step(victim, begun)
        with pytest.raises(psycopg.OperationalError):
            _die_within_a_step(victim, db, begun)
    assert scalar(db, "select count(distinct device_id) from ingest.reading_hour") == past.AT_ONCE
    while past.step(db, begun):
        pass
    once = everything(db)
    assert scalar(db, "select count(distinct device_id) from ingest.reading_hour") == DEVICES
    assert past.step(db, begun) is False
    assert everything(db) == once


def test_learning_waits_for_the_readings_and_then_finds_them(db: Conn, begun: Settings) -> None:
    assert waiting.held(db)
    while past.step(db, begun):
        pass
    assert not waiting.held(db)
    hours = stored.hours(db, "pump-p100", START - timedelta(days=30), START)
    assert hours is not None
    counted = scalar(
        db,
        """select max(last) - min(last) from ingest.reading_hour r join ingest.device d on d.id = r.device_id
           where d.uid = 'P-0001' and r.metric = 'run_hours'""",
    )
    assert hours.run[0].sum() == pytest.approx(
        counted, abs=8
    )  # as the counter says, though one hour in three is told


def test_beside_the_demo_the_readings_come_in_after_the_first_order_and_stop_with_it(
    db: Conn, dsn: str, begun: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    with past.loading(dsn, begun, START, stop):
        pass  # stopped at once: no order has been opened
    assert everything(db) == []
    monkeypatch.setattr(past, "PATIENCE", 0.0)
    with past.loading(dsn, begun, START, stop):
        deadline = threading.Event()
        for _ in range(600):
            if not waiting.held(db):
                break
            deadline.wait(0.05)
    assert scalar(db, "select count(distinct device_id) from ingest.reading_hour") == DEVICES
