"""What a backtest of a large stored fleet costs in time and memory, against raw reading of the same rows.

    python -m benchmarks.backtest [--devices 2000] [--days 60] [--seed 5] [--dsn DSN]
                                   [--models] [--learn-only] [--most ROWS]

A simulated fleet is lived into an embedded PostgreSQL (an hourly row of each device, late rows late, repairs, the
product's own detections), or the one at DSN is taken as it is. Then its last days are run again with another limit of
`shift`, with 21 days of warm-up before them: first half of them, then all. Each run is a process of its own, so
`backtest.peak_mb` is its highest memory with everything it loads, and says whether a longer period takes more.
`backtest.raw_read_s` is the limit: the same rows as PostgreSQL's binary COPY, looked at by nobody. `--models` learns
failure models from what lies before the period, too (the fleet then needs more days, and its hourly means are counted);
before that it learns them from all that is stored, as the worker would, each device type in a process of its own:
`learn.s` and `learn.peak_mb`, with `learn.base_mb` of it there before anything was read. `--most` healthy rows are
learned from (default: as in the product), and with `--learn-only` no period is run again.
CPU seconds are of the Python process. JSON lines.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import sql

from analytics import backtest, costs
from analytics.prediction import train
from analytics.prediction.sample import MOST_HEALTHY
from analytics.whatif import result
from benchmarks.bench import emit
from benchmarks.stored_fleet import Life
from kit import logs
from kit.database import Conn, connect, one
from meantime import postgres, schema

ROLE = "meantime_analytics"
RULES = {"shift": {"limit": 7.0}}


@contextmanager
def fleet(devices: int, days: int, seed: int, *, roll_up: bool) -> Iterator[str]:
    """The DSN of a fleet's database, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="meantime-bench-"))
    folder.chmod(0o711)
    server = postgres.start(folder / "pg", settings={"fsync": "off", "max_wal_size": "512MB"})
    try:
        schema.ensure_database(server.dsn("postgres"), "meantime")
        schema.migrate(server.dsn())
        began = time.perf_counter()
        with connect(server.dsn(), application="benchmark", autocommit=True) as conn, logs.quiet():
            life = Life(conn, devices, days, seed)
            for _ in life.days(roll_up=roll_up):
                pass
            conn.execute("vacuum analyze")
        emit("backtest.seed_s", time.perf_counter() - began, "s", rows=life.rows)
        yield server.dsn()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.socket, ignore_errors=True)


def raw(dsn: str, since: datetime, until: datetime) -> tuple[float, int]:
    """Seconds that reading the rows takes, and their bytes."""
    began, size = time.perf_counter(), 0
    query = sql.SQL(
        """copy (select device_id, ts, seq, batch_id, shape_id, "values" from ingest.telemetry
                 where ts between {} and {}) to stdout (format binary)"""
    ).format(sql.Literal(since), sql.Literal(until))
    with connect(dsn, role=ROLE, autocommit=True) as conn, conn.cursor().copy(query) as copy:
        for block in copy:
            size += len(block)
    return time.perf_counter() - began, size


def run(dsn: str, start: datetime, end: datetime, train_from: datetime | None) -> dict[str, Any]:
    """One backtest in this process; what it took and what came of it."""
    began, spent = time.perf_counter(), time.process_time()
    with connect(dsn, role=ROLE, autocommit=True) as conn:
        report = backtest.run(conn, start, end, RULES, train_from=train_from)
        found = result.of(conn, report)
    return {
        "s": time.perf_counter() - began, "cpu_s": time.process_time() - spent, "rows": report.rows,
        "peak_mb": _peak_mb(), "orders": found["live"]["orders"],
        "models": len(report.predictions[1]),
    }  # fmt: skip


def learn(dsn: str, model: str, most: int) -> dict[str, Any]:
    """Failure models of a device type from all that is stored, in this process; what it took and what came of it."""
    base = _peak_mb()
    with connect(dsn, role=ROLE, autocommit=True) as conn:
        first, last = spanned(conn)
        began, spent = time.perf_counter(), time.process_time()
        done = train.candidates(conn, model, first, last, costs.policy(conn, model), compare=False, most=most)
        fitted = [one for one in done if isinstance(one, train.Candidate)]
        return {
            "s": time.perf_counter() - began, "cpu_s": time.process_time() - spent, "base_mb": base,
            "peak_mb": _peak_mb(), "fitted": len(fitted), "promoted": sum(one.promote for one in fitted),
        }  # fmt: skip


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def learning(dsn: str, most: int) -> None:
    """What learning takes, device type by device type."""
    with connect(dsn, role=ROLE, autocommit=True) as conn:
        counts = conn.execute("select model, count(*) from ingest.device group by 1 order by 1").fetchall()
    for model, devices in counts:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            told = pool.apply(learn, (dsn, model, most))
        what = {"model": model, "devices": devices, "most": most}
        emit("learn.s", told["s"], "s", cpu_s=round(told["cpu_s"], 1), fitted=told["fitted"],
             promoted=told["promoted"], **what)  # fmt: skip
        emit("learn.peak_mb", told["peak_mb"], "MB", base_mb=round(told["base_mb"]), **what)


def measure(dsn: str, period: tuple[datetime, datetime], train_from: datetime | None) -> dict[str, Any]:
    """One backtest in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (dsn, *period, train_from))


def spanned(conn: Conn) -> tuple[datetime, datetime]:
    """First and last moment of what is stored."""
    found = one(conn, "select min(first_ts) as first, max(last_ts) as last from ingest.batch")
    assert found is not None
    return found["first"], found["last"]


def figures(dsn: str, *, models: bool) -> None:
    """Both runs and the limit."""
    with connect(dsn, role=ROLE, autocommit=True) as conn:
        first, last = spanned(conn)
    start = min(first + backtest.WARMUP if not models else first + (last - first) * 0.6, last)
    train_from = first if models else None
    for name, end in (("half", start + (last - start) / 2), ("whole", last)):
        seconds, size = raw(dsn, start - backtest.WARMUP, end)
        told = measure(dsn, (start, end), train_from)
        what = {"period": name, "days": round((end - start) / timedelta(days=1)), "rows": told["rows"]}
        emit("backtest.raw_read_s", seconds, "s", mb=round(size / 1e6), **what)
        emit("backtest.s", told["s"], "s", times_raw=round(told["s"] / seconds, 1), cpu_s=round(told["cpu_s"], 1),
             us_per_row=round(1e6 * told["cpu_s"] / max(told["rows"], 1), 1), orders=told["orders"],
             models=told["models"], **what)  # fmt: skip
        emit("backtest.peak_mb", told["peak_mb"], "MB", **what)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--models", action="store_true")
    parser.add_argument("--most", type=int, default=MOST_HEALTHY)
    parser.add_argument("--learn-only", action="store_true")
    parser.add_argument("--dsn")
    given = parser.parse_args()
    models = given.models or given.learn_only
    with (
        nullcontext(given.dsn) if given.dsn
        else fleet(given.devices, given.days, given.seed, roll_up=models)
    ) as dsn:  # fmt: skip
        if models:
            learning(dsn, given.most)
        if not given.learn_only:
            figures(dsn, models=models)


if __name__ == "__main__":
    main()
