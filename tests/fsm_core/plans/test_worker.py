"""The process of the field-service core: in its own role, killed and restarted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from datetime import timedelta

from fsm_core import invariants
from fsm_core.worker import make_worker
from kit import clock
from kit.database import Conn, rows, scalar
from kit.settings import Settings
from tests.fsm_core import factory
from tests.fsm_core.factory import T0

DEADLINE = 60.0


def wait_for(conn: Conn, query: str, at_least: int) -> None:
    end = time.monotonic() + DEADLINE
    while scalar(conn, query) < at_least:  # type: ignore[arg-type]
        assert time.monotonic() < end, f"{query} has not reached {at_least}"
        time.sleep(0.02)


def serve(dsn: str) -> None:
    make_worker(dsn, Settings()).run(threading.Event())


def start(dsn: str) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(dsn,), daemon=True)
    process.start()
    return process


def kill(process: multiprocessing.process.BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_a_worker_killed_in_the_middle_loses_nothing_and_repeats_nothing(db: Conn, dsn: str) -> None:
    clock.set_rate(db, 0, sim=T0 + timedelta(days=1))
    world = factory.world(db)
    devices = [factory.device(db, factory.site(db, world.customer)) for _ in range(30)]
    decided = "select count(*) from fsm.episode_signal"
    process = start(dsn)
    try:
        for round_number in range(3):
            at = T0 + timedelta(minutes=round_number)
            for device in devices:
                factory.detection(db, device, at=at)
                factory.detection(db, device, at=at, failure_mode="seal_leak")
            wait_for(db, decided, 60 * round_number + 1)
            if round_number == 1:
                kill(process)
                process = start(dsn)
        wait_for(db, decided, 180)
        wait_for(db, "select count(*) from fsm.message where state = 'sent'", 60)
    finally:
        kill(process)
    assert scalar(db, decided) == 180
    assert scalar(db, "select count(*) from fsm.episode") == 60
    assert scalar(db, "select count(*) from fsm.work_order") == 60
    assert rows(db, "select * from kit.failed_fact") == []
    assert invariants.check(db) == []
