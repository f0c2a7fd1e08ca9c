"""The quiet thread of a front door: beats in `kit.process`, knows the clock, and does small database jobs for the loop.

Jobs that wait together run in one transaction, those of one kind in one call, so a herd of reconnecting devices costs
few statements and few commits.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from ingest.watchdog import Waiter, Watchdog
from kit import clock, logs
from kit.clock import Clock
from kit.database import Conn, connect
from kit.errors import Unavailable
from kit.process import beat

log = logs.get(__name__)
MOST_JOBS = 500
STOP_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Job:
    """`run(conn, values)` inside a transaction, once for all waiting jobs with the same `run`; its results are in the
    order of the values. Then `done(result)` after the commit, or `done(error)`. Both on the pulse."""

    run: Callable[[Conn, list[Any]], Sequence[Any]]
    value: Any
    done: Callable[[Any], None]


class Pulse:
    """One thread, one connection.

    Attributes:
        detail: called every second for `kit.process.detail`.
        ticks: called every second with the connection, inside a transaction each.
        alive: whether the database answered last time.
        channels: what to listen to, and whom to call with the payload, within a second.
        opened: called with each new connection, inside a transaction.
        waiters: whose database connections are watched (`ingest.watchdog`): its own, and what the door adds.
    """

    def __init__(
        self, dsn: str, name: str, *, role: str, detail: Callable[[], dict[str, Any]], seconds: float = 1.0
    ) -> None:
        self.name, self.ticks = name, list[Callable[[Conn], None]]()
        self.channels: dict[str, Callable[[str], None]] = {}
        self.opened: list[Callable[[Conn], None]] = []
        self.alive = False
        self._dsn, self._role, self._detail, self._seconds = dsn, role, detail, seconds
        self._clock = Clock(datetime.now(UTC), datetime.now(UTC), 1.0)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._conn: Conn | None = None
        self._busy_since: float | None = None
        self.waiters = [Waiter("pulse", lambda: self._busy_since, lambda: self._conn, 10.0, strict=True)]
        self._watchdog = Watchdog(dsn, self.waiters)
        self._thread = threading.Thread(target=self._run, name=f"{name}-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._watchdog.start()

    def stop(self) -> None:
        """Finish the jobs at hand and end the thread."""
        self._stop.set()
        self._watchdog.stop()
        self._jobs.put(None)
        self._thread.join(STOP_SECONDS)

    def now(self) -> datetime:
        """The present by the database's clock, as of the last beat's settings."""
        return self._clock.now()

    def at(self, wall: datetime) -> datetime:
        """What the database's clock showed at that wall time."""
        return self._clock.at(wall)

    def ask(self, run: Callable[[Conn], Any], done: Callable[[Any], None]) -> None:
        """Run a job soon; `done` gets its result or its exception."""
        self._jobs.put(Job(lambda conn, _: [run(conn)], None, done))

    def ask_together(
        self, run: Callable[[Conn, list[Any]], Sequence[Any]], value: Any, done: Callable[[Any], None]
    ) -> None:
        """The same for jobs that are cheaper together: see `Job`."""
        self._jobs.put(Job(run, value, done))

    def _run(self) -> None:
        due = 0.0
        while not self._stop.is_set():
            self._busy_since = time.monotonic()
            if time.monotonic() >= due:
                self._beat()
                due = time.monotonic() + self._seconds
            self._busy_since = None
            jobs = self._waiting(max(0.0, due - time.monotonic()))
            if jobs:
                self._busy_since = time.monotonic()
                self._do(jobs)
        self._drop()

    def _waiting(self, seconds: float) -> list[Job]:
        try:
            first = self._jobs.get(timeout=seconds) if seconds else self._jobs.get_nowait()
        except queue.Empty:
            return []
        jobs = [first] if first is not None else []
        while len(jobs) < MOST_JOBS and not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                jobs.append(job)
        return jobs

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._dsn, role=self._role, application=f"{self.name}.pulse", autocommit=True
            )
            self._conn.add_notify_handler(lambda told: self.channels[told.channel](told.payload))
            for channel in self.channels:
                self._conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            for each in self.opened:
                with self._conn.transaction():
                    each(self._conn)
        return self._conn

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _beat(self) -> None:
        try:
            conn = self._connection()
            self._clock = clock.load(conn)
            beat(conn, self.name, self._detail())
            self.alive = True
            for tick in self.ticks:
                with conn.transaction():
                    tick(conn)
        except (psycopg.Error, Unavailable) as error:
            if self.alive:
                log.warning("no pulse: the database does not answer", error=str(error).strip())
            self.alive = False
            self._drop()
        except Exception as error:  # a fault in one beat must not end the pulse
            log.error("a beat failed", error=repr(error), exc_info=error)

    def _do(self, jobs: list[Job]) -> None:
        try:
            conn = self._connection()
            with conn.transaction():
                results = _run_all(conn, jobs)
        except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable) as error:
            self._drop()
            for job in jobs:
                job.done(error)
        except Exception as error:  # noqa: BLE001 - one job is at fault: the others must not suffer
            if len(jobs) == 1:
                log.error("a job of the door failed", error=repr(error))
                jobs[0].done(error)
            else:
                for job in jobs:
                    self._do([job])
        else:
            for job, result in results:
                job.done(result)


def _run_all(conn: Conn, jobs: list[Job]) -> list[tuple[Job, Any]]:
    """Each job with its result."""
    kinds: dict[Callable[[Conn, list[Any]], Sequence[Any]], list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job.run, []).append(job)
    results: list[tuple[Job, Any]] = []
    for run, same in kinds.items():
        results += zip(same, run(conn, [job.value for job in same]), strict=True)
    return results
