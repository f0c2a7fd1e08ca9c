"""Who works on backtests: a process of its own at low priority, started by the analytics worker when one waits.

`python -m analytics.whatif.worker` works until none is left. It reads in small transactions, so that nothing that
follows the database's tables has to wait for it. One that is cancelled ends wherever it is, in a long statement or
while models are learned; what a killed process worked on is taken from the beginning by the next.
"""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
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
APPLICATION = "analytics.backtest"
LOOK_SECONDS = 2.0
TELL_SECONDS = 0.5
SLOTS = 1
"""How many run at the same time on one database."""
GONE = "2s"
"""How soon the server notices in the middle of a statement that the process is gone, and lets its locks go."""


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


class Watch:
    """Interrupts the process when what it works on was cancelled: between two steps it notices by itself, but a
    statement or learning a model may take minutes."""

    def __init__(self, dsn: str, worker: Conn) -> None:
        self._dsn, self._pid, self._stop = dsn, worker.info.backend_pid, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen = False

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _look(self) -> None:
        try:
            with connect(self._dsn, role=ROLE, application=f"{APPLICATION}.watch", autocommit=True) as conn:
                while not self._stop.wait(LOOK_SECONDS):
                    if store.given_up(conn, self._pid):
                        self.seen = True
                        _thread.interrupt_main()
                        return
        except (MeantimeError, psycopg.Error) as error:  # the work itself will find that the database is away
            log.warning("nobody watches for a cancelled backtest", error=str(error))


def main(parent: int | None) -> None:
    """The process."""
    if parent is not None:
        die_with_parent(parent)
    os.nice(10)
    # A shell that starts programs in the background lets them ignore it, and `Watch` would interrupt nobody.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = settings.load()
    logs.configure(found, "backtest")
    dsn = url(found)
    with connect(dsn, role=ROLE, application=APPLICATION, autocommit=True) as conn, Watch(dsn, conn) as watch:
        conn.execute("select set_config('client_connection_check_interval', %s, false)", (GONE,))
        try:
            work(conn)
        except KeyboardInterrupt:
            if not watch.seen:
                raise
            log.info("backtest cancelled in the middle")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
