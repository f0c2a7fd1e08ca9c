"""The loop of a background process: stop on SIGTERM or SIGINT, beat in `kit.process`, survive a lost database."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from kit import follow, logs
from kit.database import Conn, connect
from kit.errors import Unavailable
from kit.shares import Shares
from kit.wake import Wake

log = logs.get(__name__)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Main thread only."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def beat(conn: Conn, name: str, detail: dict[str, Any] | None = None) -> None:
    """Say that this process is alive; /readyz and the console read it."""
    conn.execute(
        """insert into kit.process (name, pid, detail) values (%s, %s, %s)
           on conflict (name) do update set pid = excluded.pid, beat_at = clock_timestamp(), detail = excluded.detail,
               started_at = case when kit.process.pid = excluded.pid then kit.process.started_at
                                 else clock_timestamp() end""",
        (name, os.getpid(), Jsonb(detail or {})),
    )


def leave(conn: Conn, name: str) -> None:
    """Take this process's name out: it ends as it was told to, and nobody shall miss it."""
    conn.execute("delete from kit.process where name = %s and pid = %s", (name, os.getpid()))
    conn.execute("delete from kit.process where beat_at < clock_timestamp() - interval '1 day'")


@dataclass(frozen=True)
class Job:
    """Work done every `seconds` (real time). `run` opens its own transactions on the autocommit connection it is
    given (`with conn.transaction()`), and returns True to be called again at once.
    """

    name: str
    seconds: float
    run: Callable[[Conn], bool | None]


@dataclass
class Worker:
    """Followers and timed jobs of one process, one after the other on one connection; with `shares` also the followers
    of those parts of a work that this process has at the time."""

    name: str
    dsn: str
    role: str
    followers: list[follow.Follower] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    idle_seconds: float = 1.0
    shares: Shares | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; reconnect with growing pauses when the database is away."""
        pause = 0.2
        sources = {follower.source for follower in self.followers}
        channels = sorted(sources.union(self.shares.sources if self.shares is not None else ()))
        with Wake(self.dsn, channels, application=f"{self.name}.wake") as wake:
            while not stop.is_set():
                try:
                    with connect(self.dsn, role=self.role, application=self.name, autocommit=True) as conn:
                        pause = 0.2
                        with _cancelled_by(stop, conn):
                            self._rounds(conn, wake, stop)
                except psycopg.errors.QueryCanceled:
                    if not stop.is_set():
                        raise  # the statement time-out: a fault of ours, for the supervisor to restart
                except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable) as error:
                    log.warning("database away, trying again", error=str(error).strip(), in_seconds=pause)
                    stop.wait(pause)
                    pause = min(pause * 2, 5.0)
        log.info("stopped")

    def _rounds(self, conn: Conn, wake: Wake, stop: threading.Event) -> None:
        due = {job.name: 0.0 for job in self.jobs}
        while not stop.is_set():
            parts = {"parts": len(self.shares.parts)} if self.shares is not None else None
            beat(conn, self.name, parts)
            busy = 0
            for follower in [*self.followers, *(self.shares.mine(conn) if self.shares is not None else [])]:
                if stop.is_set():
                    return
                busy += follow.step(conn, follower)
            busy += self._timed(conn, due)
            if not busy:
                nearest = min(due.values(), default=float("inf")) - time.monotonic()
                wake.wait(max(0.01, min(self.idle_seconds, nearest)), stop)

    def _timed(self, conn: Conn, due: dict[str, float]) -> int:
        busy = 0
        for job in self.jobs:
            if time.monotonic() < due[job.name]:
                continue
            again: bool | None = False
            try:
                again = job.run(conn)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                raise
            except Exception as error:
                log.error("job failed", job=job.name, error=repr(error), exc_info=error)
            due[job.name] = time.monotonic() + (0 if again else job.seconds)
            busy += bool(again)
        return busy


@contextmanager
def _cancelled_by(stop: threading.Event, conn: Conn) -> Iterator[None]:
    """A long statement does not hold up the end: half a second after `stop` it is cancelled and undone."""
    done = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            if done.is_set():
                return
        if not done.wait(0.5):
            conn.cancel_safe(timeout=1.0)

    watcher = threading.Thread(target=watch, name="cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def die_with_parent(parent: int) -> None:
    """Linux: be told to stop when the process that started this one is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it went before we asked
            raise SystemExit(0)
