"""Notices a database connection that will never answer, and cuts it, so that its owner connects anew.

TCP finds out about a machine that is gone (`kit.database` sets keep-alives and a user timeout), but not about a proxy
or a load balancer that has forgotten the connection and still acknowledges its bytes. So a writer that waits for
long is looked up on a connection of its own: when its server process is gone, or waits for the writer in its turn,
twice with nothing in between, nobody will ever answer. A lock that is waited for looks different, and is waited for.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from kit import logs
from kit.database import Conn, connect, one
from kit.errors import Unavailable

log = logs.get(__name__)
LOOK_SECONDS = 1.0


@dataclass
class Waiter:
    """Somebody who talks to the database.

    Attributes:
        since: monotonic time at which the present piece of work began; None: there is none.
        conn: its connection, if it has one.
        patience: seconds before it is looked at.
        strict: it never waits for locks, so more than its patience is enough.
    """

    name: str
    since: Callable[[], float | None]
    conn: Callable[[], Conn | None]
    patience: float = 5.0
    strict: bool = False
    seen: object = field(default=None)


class Watchdog:
    """A thread that looks once a second."""

    def __init__(self, dsn: str, waiters: list[Waiter]) -> None:
        self._dsn, self._waiters = dsn, waiters
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self.cuts = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread soon."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for waiter in self._waiters:
                try:
                    self._look(waiter)
                except (psycopg.Error, Unavailable, OSError):
                    waiter.seen = None  # the database itself is away: its clients find out by themselves

    def _look(self, waiter: Waiter) -> None:
        since, conn = waiter.since(), waiter.conn()
        if since is None or conn is None or conn.closed or time.monotonic() - since < waiter.patience:
            waiter.seen = None
            return
        state = self._state(
            conn.info.backend_pid
        )  # while the database is away this raises: nothing to cut then
        waits = state is None or (state[0] in ("idle", "idle in transaction") and state[1] == "ClientRead")
        if waiter.strict or (waits and waiter.seen == (conn.info.backend_pid, state)):
            self._cut(waiter, conn)
        waiter.seen = (conn.info.backend_pid, state) if waits else None

    def _state(self, pid: int) -> tuple[object, ...] | None:
        with connect(self._dsn, application="watchdog", autocommit=True) as conn:
            row = one(
                conn,
                "select state, wait_event, state_change from pg_stat_activity where pid = %s",
                (pid,),
            )
        return tuple(row.values()) if row is not None else None

    def _cut(self, waiter: Waiter, conn: Conn) -> None:
        with connect(self._dsn, application="watchdog", autocommit=True) as other:
            # It may hold locks that the next attempt would wait for.
            other.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
        log.warning("a database connection does not answer any more, cutting it", who=waiter.name)
        # Closing the psycopg connection from another thread would not wake its owner; the end of the stream does.
        with socket.socket(fileno=socket.dup(conn.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        self.cuts += 1
