"""A worker's end, and who of the family is missed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from kit.database import Conn, rows, scalar
from kit.process import Job, Worker, beat, leave
from kit.settings import environment


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


def known(db: Conn) -> dict[str, tuple[bool, bool]]:
    """name → (alive, missed)."""
    return {
        row["name"]: (row["alive"], row["missed"])
        for row in rows(db, "select name, alive, missed from kit.process_seen")
    }


def silent(db: Conn, name: str, ago: str) -> None:
    """A process that was here for long and has said nothing for that time."""
    beat(db, name)
    db.execute(
        """update kit.process set beat_at = clock_timestamp() - %s::interval,
               appeared_at = clock_timestamp() - interval '30 days' where name = %s""",
        (ago, name),
    )


def test_a_process_that_dies_is_missed_until_it_beats_again(db: Conn) -> None:
    silent(db, "fsm", "19 seconds")
    assert known(db) == {"fsm": (True, False)}
    silent(db, "fsm", "21 seconds")
    assert known(db) == {"fsm": (False, True)}
    beat(db, "fsm")
    assert known(db) == {"fsm": (True, False)}


def test_one_of_which_none_is_left_is_missed_for_a_day_and_then_forgotten(db: Conn) -> None:
    silent(db, "collector", "23 hours")
    assert known(db) == {"collector": (False, True)}
    silent(db, "collector", "25 hours")
    assert known(db) == {}


def test_one_whose_like_are_alive_is_missed_for_an_hour(db: Conn) -> None:
    silent(db, "endpoint-2", "59 minutes")
    silent(db, "endpoint", "1 second")
    silent(db, "storage", "1 second")
    assert known(db)["endpoint-2"] == (False, True)
    silent(db, "endpoint-2", "61 minutes")
    assert known(db)["endpoint-2"] == (False, False)


def test_one_under_a_new_name_takes_the_place_of_one_that_died(db: Conn) -> None:
    silent(db, "analytics", "1 second")
    silent(db, "analytics-2", "2 minutes")
    silent(db, "analytics-3", "3 minutes")
    beat(db, "endpoint-4")  # of another role
    assert (known(db)["analytics-2"], known(db)["analytics-3"]) == ((False, True), (False, True))
    beat(db, "analytics-7")
    assert (known(db)["analytics-2"], known(db)["analytics-3"]) == ((False, False), (False, True))
    beat(db, "analytics-8")
    assert (known(db)["analytics-2"], known(db)["analytics-3"]) == ((False, False), (False, False))


def test_a_restart_under_its_own_name_takes_nobody_elses_place(db: Conn) -> None:
    silent(db, "endpoint", "2 minutes")
    silent(db, "endpoint-2", "3 minutes")
    beat(db, "endpoint")
    assert known(db) == {"endpoint": (True, False), "endpoint-2": (False, True)}


def test_a_process_leaves_under_its_own_name_only_and_takes_the_forgotten_along(db: Conn) -> None:
    beat(db, "fsm")
    beat(db, "dispatch")
    db.execute("update kit.process set pid = 1 where name = 'dispatch'")  # another one's
    silent(db, "collector", "25 hours")
    leave(db, "dispatch")
    leave(db, "fsm")
    assert [row["name"] for row in rows(db, "select name from kit.process")] == ["dispatch"]


def run(dsn: str, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "meantime", "run", name], env=environment(database_url=dsn),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_one_that_is_told_to_stop_is_not_known_any_more_and_one_that_is_killed_is(dsn: str, db: Conn) -> None:
    stopped, killed = run(dsn, "storage"), run(dsn, "analytics-2")
    deadline = time.monotonic() + 60
    while set(known(db)) != {"storage", "analytics-2"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stopped.terminate()
    killed.kill()
    assert stopped.wait(20) == 0
    killed.wait(20)
    assert set(known(db)) == {"analytics-2"}
