"""The running product, its processes killed at random moments: it mends itself, and nothing is off afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest

from kit.database import Conn, connect, scalar
from kit.errors import Unavailable
from tests.journey.conftest import Home, wait_for_console

pytestmark = [pytest.mark.journey, pytest.mark.timeout(400), pytest.mark.xdist_group("journey")]
VICTIMS = ("endpoint", "storage", "analytics", "fsm", "dispatch", "api", "fleet", "staff")
KILLS = 12


def test_processes_killed_at_random_come_back_and_every_invariant_holds(
    home: Home, settled: list[dict[str, object]]
) -> None:
    assert settled
    rng = random.Random(20261124)
    process = home.start("demo")
    try:
        wait_for_console(home, process)
        for _ in range(KILLS):
            kill(process.pid, rng.choice(VICTIMS))
            until(lambda: bool(ask(home, "select 1")), "the database")
        kill_database(process.pid)
        until(lambda: alive(home), "all processes to beat again", home)
        stored = int(ask(home, "select sum(messages) from ingest.device_status"))
        until(
            lambda: int(ask(home, "select sum(messages) from ingest.device_status")) > stored,
            "new telemetry",
            home,
        )
        until(lambda: caught_up(home), "the followers to catch up", home)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    checked = home.start("--json", "invariants")
    out, err = checked.communicate(timeout=60)
    assert checked.returncode == 0, f"{out}\n{err}"


def kill(parent: int, name: str) -> None:
    for child in psutil.Process(parent).children():
        try:
            if name in child.cmdline():
                child.kill()
                return
        except psutil.NoSuchProcess:
            continue


def kill_database(parent: int) -> None:
    """The whole server, without a goodbye."""
    for child in psutil.Process(parent).children():
        if child.name().startswith("postgres"):
            for process in (child, *child.children(recursive=True)):
                process.kill()
            return
    raise AssertionError("the embedded database is not running")


@contextmanager
def database(home: Home) -> Iterator[Conn]:
    with connect(home.dsn, application="journey", autocommit=True) as conn:
        yield conn


def ask(home: Home, query: str) -> object:
    """The answer, or 0 while the database is away."""
    try:
        with database(home) as conn:
            return scalar(conn, query) or 0
    except (Unavailable, psycopg.Error):
        return 0


def alive(home: Home) -> bool:
    """Every process has beaten within the last seconds."""
    names = "('endpoint', 'storage', 'analytics', 'fsm', 'dispatch', 'api', 'fleet')"
    lately = "beat_at > clock_timestamp() - interval '3 s'"
    return bool(ask(home, f"select count(*) = 7 from kit.process where {lately} and name in {names}"))


def caught_up(home: Home) -> bool:
    """Analytics has seen all batches but those of the last moments, and no fact was set aside."""
    with database(home) as conn:
        assert scalar(conn, "select count(*) from kit.failed_fact") == 0
    newest = "select max(id) from ingest.batch"
    seen = "select min(id) from kit.follower where source = 'ingest.batch'"
    return int(str(ask(home, newest))) - int(str(ask(home, seen))) < 50


def until(condition: Callable[[], bool], what: str, home: Home | None = None, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}\n{home.logs() if home else ''}"
        time.sleep(0.1)
