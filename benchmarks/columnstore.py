"""What compression saves and costs on TimescaleDB's Community edition, with the simulated fleet's telemetry.

    python -m benchmarks.columnstore DSN [--devices 20] [--days 70]

DSN: a Community server; the benchmark makes a database of its own on it and drops it again. Figures: bytes a row
before and after, rows compressed a second, and the same reads and writes on both. One JSON line each.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.bench import emit
from ingest import columnstore, storage
from ingest.store import Columns, Store
from kit.database import Conn, connect, scalar
from kit.settings import Ingest
from meantime import device_types, schema
from simulators import enrolment
from simulators.history import History

MINUTE = timedelta(minutes=1)
LATE = timedelta(seconds=30)


@contextmanager
def database(server: str) -> Iterator[str]:
    """A migrated database of this run's own."""
    name = f"columnstore_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            dsn = make_conninfo(server, dbname=name)
            schema.migrate(dsn)
            yield dsn
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def fill(conn: Conn, devices: int, days: int) -> Columns:
    """The fleet's telemetry, a row a minute, until 30 days and a chunk ago, so that all of it is old; returns the
    last day of one model."""
    device_types.load_shipped(conn)
    end = datetime.now(UTC) - columnstore.AFTER - storage.CHUNK
    past = History(7, devices, end - timedelta(days=days), end, interval=MINUTE)
    with conn.transaction():
        ids = enrolment.enrol(conn, past.seed, past.machines, past.start)
    store = Store(Ingest(), door="seed")
    for day in past.days():
        for columns in past.columns(day, ids):
            write(conn, store, columns)
            last = columns
    return last


def write(conn: Conn, store: Store, columns: Columns) -> int:
    """One committed write; returns the rows that were new."""
    with conn.transaction():
        written = store.write_rows(conn, columns)
    store.committed(written)
    return written.rows


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def reads(conn: Conn, label: str, at: datetime) -> None:
    """A day of one device, and a week's hourly means of one."""
    for name, text in (
        ("day", 'select ts, "values" from ingest.telemetry where device_id = 1 and ts > %s and ts <= %s'),
        ("week_hourly", """select date_bin('1 hour', ts, 'epoch'), avg("values"[1]) from ingest.telemetry
                           where device_id = 1 and ts > %s - interval '6 days' and ts <= %s group by 1"""),
    ):  # fmt: skip
        took = min(
            seconds(lambda text=text: conn.execute(text, (at - timedelta(days=1), at)).fetchall())  # type: ignore[misc]
            for _ in range(5)
        )
        emit(f"storage.columnstore.read_{name}.{label}", took * 1000, "ms")


def writes(conn: Conn, label: str, columns: Columns) -> None:
    """The day once more: all of it is there already; and moved by half a minute, so that all of it is late and new."""
    count = len(columns.ts)
    took = seconds(lambda: write(conn, Store(Ingest(), door="seed"), columns))
    emit(f"storage.columnstore.duplicates.{label}", count / took, "rows/s", rows=count)
    moved = replace(columns, ts=columns.ts + LATE // timedelta(microseconds=1))
    took = seconds(lambda: write(conn, Store(Ingest(), door="seed"), moved))
    emit(f"storage.columnstore.late.{label}", count / took, "rows/s", rows=count)


def main() -> None:
    """Fill, measure, compress, measure again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dsn")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--days", type=int, default=70)
    asked = parser.parse_args()
    with database(asked.dsn) as dsn, connect(dsn, autocommit=True) as conn:
        if storage.level(conn) != "timescale_community":
            raise SystemExit("this server is not TimescaleDB's Community edition: it cannot compress")
        last = fill(conn, asked.devices, asked.days)
        rows = scalar(conn, "select count(*) from ingest.telemetry")
        at = storage.status(conn)["newest"]
        for label in ("rowstore", "columnstore"):
            if label == "columnstore":
                emit(
                    "storage.columnstore.compress",
                    rows / seconds(lambda: compress(conn)),
                    "rows/s",
                    rows=rows,
                )
            size = storage.status(conn)
            emit(f"storage.columnstore.bytes_per_row.{label}", size["bytes"] / rows, "bytes", rows=rows,
                 chunks=len(size["chunks"]), compressed=size["compressed"])  # fmt: skip
            reads(conn, label, at)
            with conn.transaction(force_rollback=True):
                writes(conn, label, last)


def compress(conn: Conn) -> None:
    """All that waits, as the worker does it; says how long the largest chunk took, for whoever writes to a chunk waits
    for so long."""
    took: dict[str, float] = {}
    for chunk in columnstore.waiting(conn, datetime.now(UTC) - columnstore.AFTER):
        began = time.perf_counter()
        if not columnstore.compress(conn, chunk):
            raise SystemExit(f"{chunk} could not be compressed; the log says why")
        took[chunk] = time.perf_counter() - began
    counted = conn.execute(
        "select tableoid::regclass::text, count(*) from ingest.telemetry group by 1"
    ).fetchall()
    largest, count = max(counted, key=lambda item: item[1])
    emit("storage.columnstore.largest_chunk", took[largest], "s", rows=count)


if __name__ == "__main__":
    main()
