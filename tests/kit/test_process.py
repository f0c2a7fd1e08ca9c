"""A worker's end."""

from __future__ import annotations

import threading
import time

from kit.database import Conn, scalar
from kit.process import Job, Worker


def test_a_long_statement_does_not_hold_up_the_end(dsn: str, db: Conn) -> None:
    stop, running = threading.Event(), threading.Event()

    def slow(conn: Conn) -> None:
        running.set()
        conn.execute("select pg_sleep(60)")

    worker = Worker("slow", dsn, "meantime_fsm", jobs=[Job("slow", 1.0, slow)])
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    assert running.wait(10)
    deadline = time.monotonic() + 10
    while not scalar(
        db, "select count(*) from pg_stat_activity where application_name = 'slow' and state = 'active'"
    ):
        assert time.monotonic() < deadline
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_failing_job_does_not_stop_the_others(dsn: str) -> None:
    stop, done = threading.Event(), threading.Event()

    def fail(conn: Conn) -> None:
        raise ValueError("no")

    def succeed(conn: Conn) -> None:
        done.set()

    worker = Worker("two", dsn, "meantime_fsm", jobs=[Job("fails", 0.1, fail), Job("works", 0.1, succeed)])
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    assert done.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
