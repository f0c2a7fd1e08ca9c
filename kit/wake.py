"""Wake-ups: NOTIFY says that something may be there; polling backs it, so a lost notification costs a second."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import psycopg
from psycopg import sql

from kit.database import connect


class Wake:
    """Listens on channels (`schema.table`) and lets a worker sleep until one speaks."""

    def __init__(self, dsn: str, channels: list[str], *, application: str) -> None:
        self._dsn, self._channels, self._application = dsn, channels, application
        self._conn: psycopg.Connection | None = None

    def __enter__(self) -> Wake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _listen(self) -> psycopg.Connection:
        if self._conn is None or self._conn.closed:
            self._conn = connect(self._dsn, application=self._application, autocommit=True)
            for channel in self._channels:
                self._conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        return self._conn

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return when a channel has spoken, `seconds` have passed or `stop` is set, whichever is first."""
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            try:
                for _ in self._listen().notifies(timeout=min(left, 0.2), stop_after=1):
                    return
            except psycopg.OperationalError:
                self._drop()
                stop.wait(min(left, 0.5))
