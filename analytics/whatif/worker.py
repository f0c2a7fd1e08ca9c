"""Who works on backtests: a process of its own at low priority, started by the analytics worker when one waits.

`python -m analytics.whatif.worker` works until none is left. It reads in small transactions, so that nothing that
follows the database's tables has to wait for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import psycopg

from analytics import backtest
from analytics.prediction.decision import Costs
from analytics.whatif import result, store
from analytics.whatif.store import Backtest
from kit import logs, settings
from kit.database import Conn, connect, url
from kit.errors import MeantimeError
from kit.process import Job, die_with_parent

log = logs.get("analytics.whatif.worker")  # it is also run as __main__
ROLE = "meantime_analytics"
LOOK_SECONDS = 2.0
TELL_SECONDS = 0.5
SLOTS = 1
"""How many run at the same time on one database."""


class Cancelled(Exception):
    """Somebody ended the backtest while it ran."""


def job(dsn: str) -> Job:
    """What the analytics worker does about backtests: start a process where one waits and none of its own runs."""
    return Job("backtest", LOOK_SECONDS, Starter(dsn).look)


class Starter:
    """Starts processes; the slots in the database bound how many work."""

    def __init__(self, dsn: str, start: Callable[[str], subprocess.Popen[bytes]] | None = None) -> None:
        self._dsn, self._start = dsn, start or start_process
        self._running: list[subprocess.Popen[bytes]] = []

    def look(self, conn: Conn) -> None:
        """Start one more if there is something to do."""
        self._running = [process for process in self._running if process.poll() is None]
        if len(self._running) < SLOTS and store.waiting(conn):
            self._running.append(self._start(self._dsn))


def start_process(dsn: str) -> subprocess.Popen[bytes]:
    """A process that works until no backtest is left."""
    return subprocess.Popen(
        [sys.executable, "-m", "analytics.whatif.worker", str(os.getpid())],
        env=settings.environment(database_url=dsn) | {"OMP_NUM_THREADS": "1"},
    )


def work(conn: Conn, slots: int = SLOTS) -> int:
    """Run what waits on an autocommit connection; how many were taken. Nothing while all slots are held."""
    slot, done = store.take_slot(conn, slots), 0
    while slot is not None:
        with conn.transaction():
            taken = store.take(conn)
        if taken is None:
            store.leave_slot(conn, slot)
            break
        _run(conn, taken)
        store.let_go(conn, taken.id)
        done += 1
    return done


def _run(conn: Conn, taken: Backtest) -> None:
    began = last = time.monotonic()

    def tell(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL_SECONDS:
            last = time.monotonic()
            if not store.report_progress(conn, taken.id, share):
                raise Cancelled

    costs = {model: Costs(**price) for model, price in taken.costs.items()}
    log.info("backtest begins", id=taken.id, attempt=taken.attempts)
    try:
        report = backtest.run(
            conn,
            taken.period_from,
            taken.period_to,
            taken.rules,
            costs=costs,
            train_from=taken.train_from,
            progress=tell,
        )
        store.finish(conn, taken.id, time.monotonic() - began, found=result.of(conn, report))
    except Cancelled:
        log.info("backtest cancelled", id=taken.id)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise  # the database is away: it is taken again
    except MeantimeError as error:
        store.finish(conn, taken.id, time.monotonic() - began, error=error.message)
    except Exception as error:
        log.error("backtest failed", id=taken.id, exc_info=error)
        store.finish(conn, taken.id, time.monotonic() - began, error=repr(error))


def main(parent: int | None) -> None:
    """The process."""
    if parent is not None:
        die_with_parent(parent)
    os.nice(10)
    found = settings.load()
    logs.configure(found, "backtest")
    with connect(url(found), role=ROLE, application="analytics.backtest", autocommit=True) as conn:
        work(conn)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
