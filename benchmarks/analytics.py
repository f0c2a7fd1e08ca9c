"""How much sooner two analytics processes have read what waits than one.

    python -m benchmarks.analytics [--devices 200] [--hours 50] [--processes 1 2]

The simulated fleet's telemetry, a row a minute, waits in the embedded PostgreSQL as batches of five minutes; each
number of processes gets its own copy of that database and begins with it. The clock runs from when all processes have
their share of the partitions until all have come to the last batch; it counts the rows in between. CPU is that of the
processes and of their connections' PostgreSQL processes. One JSON line each.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from benchmarks.bench import emit
from ingest.store import Store
from kit.database import Conn, connect, scalar
from kit.settings import Ingest, environment
from meantime import device_types, postgres, schema
from simulators import enrolment
from simulators.history import History

MINUTE = timedelta(minutes=1)
TEMPLATE = "waiting"
PATIENCE = 150.0
POSITIONS = """select partition, coalesce(f.id, 0) from generate_series(0, %(parts)s - 1) partition
               left join kit.follower f on f.name = 'analytics.batch.' || partition"""
LEFT = """select count(*) from ingest.telemetry t
          join unnest(%(parts)s::int[], %(ids)s::bigint[]) as p(partition, id)
              on t.device_id %% %(count)s = p.partition and t.batch_id > p.id"""


def fill(dsn: str, devices: int, hours: float) -> None:
    """The fleet and its telemetry until now."""
    schema.migrate(dsn)
    end = datetime.now(UTC)
    with connect(dsn, autocommit=True) as conn:
        device_types.load_shipped(conn)
        past = History(
            7, devices, end - timedelta(hours=hours), end, interval=MINUTE, step=timedelta(minutes=5)
        )
        with conn.transaction():
            ids = enrolment.enrol(conn, past.seed, past.machines, past.start)
        store = Store(Ingest(), door="seed")
        for day in past.days():
            for columns in past.columns(day, ids):
                with conn.transaction():
                    written = store.write_rows(conn, columns)
                store.committed(written)
        conn.execute("analyze")


@contextmanager
def analysts(dsn: str, count: int, partitions: int) -> Iterator[list[psutil.Process]]:
    """So many processes, each asking for so many partitions."""
    names = ["analytics" if number == 1 else f"analytics-{number}" for number in range(1, count + 1)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "meantime", "run", name],
            env=environment(database_url=dsn, analytics__partitions=partitions),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for name in names
    ]  # fmt: skip
    try:
        yield [psutil.Process(each.pid) for each in running]
    finally:
        for each in running:
            each.kill()
            each.wait()


def shared(conn: Conn, count: int, partitions: int) -> bool:
    """Whether all processes are there and each has its share."""
    shares = conn.execute(
        "select (detail->>'parts')::int from kit.process where name ~ '^analytics'"
    ).fetchall()
    return len(shares) == count and all(
        0 < (parts or 0) <= math.ceil(partitions / count) for (parts,) in shares
    )


def wait(what: str, condition: object) -> None:
    """Until it is so."""
    end = time.monotonic() + PATIENCE
    assert callable(condition)
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come about")
        time.sleep(0.02)


def cpu(processes: list[psutil.Process], conn: Conn) -> float:
    """CPU seconds so far."""
    query = "select pid from pg_stat_activity where application_name ~ '^analytics'"
    pids = [pid for (pid,) in conn.execute(query)]
    times = [each.cpu_times() for each in (*processes, *map(psutil.Process, pids))]
    return float(sum(each.user + each.system for each in times))


def measure(dsn: str, count: int, partitions: int) -> float:
    """Rows a second of so many processes."""
    with connect(dsn, autocommit=True) as conn, analysts(dsn, count, partitions) as processes:
        last = scalar(conn, "select max(id) from ingest.batch")
        wait("the processes' shares", lambda: shared(conn, count, partitions))

        def positions() -> dict[int, int]:
            return dict(conn.execute(POSITIONS, {"parts": partitions}).fetchall())

        before, began, used = positions(), time.perf_counter(), cpu(processes, conn)
        wait("the end", lambda: min(positions().values()) >= last)
        seconds, used = time.perf_counter() - began, cpu(processes, conn) - used
        given = {"parts": list(before), "ids": list(before.values()), "count": partitions}
        rows, found = scalar(conn, LEFT, given), scalar(conn, "select count(*) from analytics.detection")
        if rows < 1:
            raise SystemExit("everything was read before the processes had their shares: give more --hours")
        emit(
            f"analytics.processes.{count}", rows / seconds, "rows/s", rows=rows, seconds=round(seconds, 1),
            cpu_us_a_row=round(used / rows * 1e6, 1), detections=found,
        )  # fmt: skip
        return float(rows / seconds)


def main() -> int:
    """The command line; see above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--hours", type=float, default=50)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="meantime-analytics-"))
    folder.chmod(0o711)
    server = postgres.start(folder / "pg")
    try:
        schema.ensure_database(server.dsn("postgres"), TEMPLATE)
        fill(server.dsn(TEMPLATE), given.devices, given.hours)
        rates = []
        for count in given.processes:
            with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
                name = sql.Identifier(f"with_{count}")
                admin.execute(
                    sql.SQL("create database {} template {}").format(name, sql.Identifier(TEMPLATE))
                )
            rates.append(measure(server.dsn(f"with_{count}"), count, max(given.processes)))
        emit("analytics.processes.ratio", rates[-1] / rates[0], "x", processes=given.processes)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.socket, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
