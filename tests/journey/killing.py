"""Kills processes of a running demo, and waits for it to mend itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import psycopg

from kit.database import Conn, connect, scalar
from kit.errors import Unavailable
from tests.journey.conftest import Home

VICTIMS = ("endpoint", "storage", "analytics", "fsm", "dispatch", "api", "fleet", "staff")


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
