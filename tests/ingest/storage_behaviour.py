"""What every level of storage must do; run on plain PostgreSQL and on TimescaleDB alike."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest

from ingest import storage, worker
from ingest.chunks import is_poison
from ingest.store import Store
from kit.database import Conn, connect, rows, scalar
from kit.settings import Ingest
from tests.ingest.core.conftest import HOUR, NOW, take, telemetry

WEEK = timedelta(days=7)


def write_and_read(conn: Conn) -> None:
    """What is written is read back, once, by the view as by the table."""
    store = Store(Ingest(), door="endpoint")
    messages = [telemetry(f"P-{1 + n % 2}", NOW - n * HOUR, flow=n, vibration=n / 10) for n in range(48)]
    assert take(conn, store, messages).rows == 48
    assert take(conn, Store(Ingest(), door="endpoint"), [*messages, telemetry(flow=399)]).rows == 1
    assert scalar(conn, "select count(*) from ingest.telemetry") == 49
    read = rows(
        conn,
        """select ts, value, unit from ingest.reading
           where device_id = 1 and metric = 'vibration' and ts > %s order by ts desc""",
        (NOW - 10 * HOUR,),
    )
    assert [row["value"] for row in read] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert {row["unit"] for row in read} == {"mm/s"}


def roll_up(conn: Conn) -> None:
    """An hour's rollup is what its rows say; late rows are counted in."""
    store = Store(Ingest(), door="endpoint")
    start = (NOW - 5 * HOUR).replace(minute=0, second=0)
    first = [telemetry(at=start + n * timedelta(minutes=10), flow=n) for n in (1, 2, 4)]
    take(conn, store, first)
    worker.roll_up(conn)
    query = "select n, mean, low, high, first, last from ingest.reading_hour where bucket = %s and metric = 'flow'"
    assert conn.execute(query, (start,)).fetchall() == [(3, pytest.approx(7 / 3), 1, 4, 1, 4)]
    take(conn, store, [telemetry(at=start, flow=9), telemetry(at=start + timedelta(minutes=59), flow=5)])
    while worker.roll_up(conn):
        pass
    assert conn.execute(query, (start,)).fetchall() == [(5, pytest.approx(4.2), 1, 9, 9, 5)]
    assert scalar(conn, "select count(*) from ingest.rollup_dirty") == 0


def retain(conn: Conn) -> None:
    """Retention drops whole chunks and keeps the rollups; chunks begin on the grid of the epoch."""
    store = Store(Ingest(), door="endpoint")
    old, young = NOW - timedelta(days=100), NOW - timedelta(days=10)
    take(conn, store, [telemetry(at=old, flow=1), telemetry(at=young, flow=2), telemetry(flow=3)])
    while worker.roll_up(conn):
        pass
    for chunk in storage.chunks(conn):
        assert chunk["until"] - chunk["since"] == WEEK
        assert round(chunk["since"].timestamp()) % round(WEEK.total_seconds()) == 0
    before = storage.status(conn)
    assert before["oldest"] == old
    assert before["newest"] == NOW
    assert before["bytes"] > 0
    worker.retention(conn, timedelta(days=60))
    after = storage.status(conn)
    assert after["oldest"] == young
    assert len(after["chunks"]) == len(before["chunks"]) - 1
    # A rollup outlives its rows, also when a straggler of that hour is counted.
    assert scalar(conn, "select sum(n) from ingest.reading_hour where bucket < %s", (young - WEEK,)) == 1
    take(conn, store, [telemetry(at=old, flow=8)])
    worker.retention(conn, timedelta(days=60))
    while worker.roll_up(conn):
        pass
    assert scalar(conn, "select sum(n) from ingest.reading_hour where bucket < %s", (young - WEEK,)) == 1


def make_and_drop_while_writing(dsn: str, conn: Conn) -> None:
    """Writers lose no row of the chunks that stay while others come and go; a write that meets a chunk in the moment
    of its end is refused as a whole (a deadlock, a relation that is gone) and is right the next time."""
    failures: list[BaseException] = []
    stop = threading.Event()
    written = [0, 0]

    def write(writer: int) -> None:
        store = Store(Ingest(), door=f"door-{writer}")
        try:
            with connect(dsn, role="meantime_ingest", autocommit=True) as mine:
                while not stop.is_set() or written[writer] < 10:
                    n = written[writer]
                    fresh = telemetry(f"P-{1 + writer}", NOW - n * timedelta(seconds=1), flow=1)
                    old = telemetry(f"P-{1 + writer}", NOW - timedelta(days=200 + n % 40), seq=n, flow=1)
                    try:
                        take(mine, store, [fresh, old])
                    except (
                        psycopg.Error
                    ) as error:  # as the pipeline does: the same again, unless it is at fault
                        if is_poison(error):
                            raise
                        store.rolled_back()
                        continue
                    written[writer] += 1
        except (psycopg.Error, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        worker.retention(conn, timedelta(days=100))
        worker.partitions(conn)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == [], failures
    kept = scalar(conn, "select count(*) from ingest.telemetry where ts > %s", (NOW - timedelta(days=100),))
    assert kept == sum(written)
