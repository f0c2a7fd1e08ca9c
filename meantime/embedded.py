"""The database a command works on: the one that is set, or the embedded one, started when it is not running."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from kit.errors import Misconfigured
from kit.settings import Settings
from meantime import postgres, schema


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the DSN that a one-shot command works on.

    A database that is set is taken as it is. The embedded one is adopted when it runs; else it is started, brought up
    to date, and stopped again.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    with server(settings) as running:
        if running.process is not None:
            schema.ensure_database(running.dsn("postgres"), "meantime")
            schema.migrate(running.dsn())
        yield running.dsn()


@contextmanager
def server(settings: Settings) -> Iterator[postgres.Server]:
    """The embedded server; stopped at the end when it was not running before."""
    data = postgres.data_folder(settings.home)
    running = postgres.start(data)
    try:
        yield running
    finally:
        if running.process is not None:
            running.stop()


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the lock of this home, so that two supervisors never share one.

    Raises:
        Misconfigured: another one holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise Misconfigured(
                f"Meantime already runs in {home.resolve()} (process {pid}). Stop it with Ctrl-C there, "
                "or set MEANTIME_HOME to run a second one."
            ) from None
        lock.truncate(0)
        lock.write(str(psutil.Process().pid))
        lock.flush()
        yield
