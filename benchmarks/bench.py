"""What the ingest benchmark runs on: the embedded PostgreSQL, a fleet, a door in a process of its own, figures."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.publishing import Load
from ingest import copying, device_types, registry, storage
from ingest.catalogue import Catalogue
from ingest.intake import Bounds, Intake
from ingest.message import Arrival
from ingest.rows import Block, settle
from ingest.topics import Topics
from kit.database import Conn, connect, scalar
from kit.process import stop_on_signals
from kit.settings import Ingest, Settings
from meantime import postgres, schema

ROLE = "meantime_ingest"
METRICS = 64
TABLES = (
    "telemetry", "batch", "device_status", "rollup_dirty", "total", "run_hours", "run_hours_day", "session",
    "quarantine", "dead_letter",
)  # fmt: skip


def emit(name: str, value: float, unit: str, **context: Any) -> None:
    """One figure as a line of JSON."""
    context["load"] = round(os.getloadavg()[0], 1)
    print(
        json.dumps({"name": name, "value": float(f"{value:.4g}"), "unit": unit, "context": context}),
        flush=True,
    )


class Bench:
    """A server with a fleet of devices of 64 metrics.

    Attributes:
        tokens: by uid.
    """

    def __init__(self, folder: Path, devices: int) -> None:
        self.folder = folder
        self.server = postgres.start(folder / "pg", settings={"shared_buffers": "64MB"})
        schema.ensure_database(self.server.dsn("postgres"), "meantime")
        self.dsn = self.server.dsn()
        schema.migrate(self.dsn)
        self.conn = connect(self.dsn, application="benchmark", autocommit=True)
        metric = {"unit": "1", "low": -1e6, "high": 1e6}
        names = [f"m{n}" for n in range(METRICS)]
        model = {"code": "bench", "name_en": "Benchmark", "name_zh": "基准", "kind": "pump"}
        metrics = [{"name": name, "name_en": name, "name_zh": name, **metric} for name in names]
        device_types.load(self.conn, {"model": model, "metric": metrics})
        with self.conn.transaction():
            made = [registry.provision(self.conn, f"d{n}", "bench") for n in range(devices)]
        self.tokens = {each.uid: each.token for each in made}
        self.start_ms = int(time.time() * 1000) - 6 * 3_600_000

    def load(self, count: int, k: int, devices: int = 500, **more: Any) -> Load:
        """Messages of a number of devices."""
        return Load(count, k, [f"d{n}" for n in range(devices)], self.start_ms, **more)

    def empty(self) -> None:
        """Forget all rows."""
        names = ", ".join(f"ingest.{name}" for name in TABLES)
        self.conn.execute(f"truncate {names}")
        self.conn.execute("checkpoint")

    def stored(self) -> int:
        """Rows that are committed."""
        return int(scalar(self.conn, "select coalesce(sum(rows), 0) from ingest.batch"))

    def wait(self, count: int) -> None:
        """Return once so many rows are committed."""
        self.until(lambda: self.stored() >= count)

    def until(self, true: Callable[[], bool], seconds: float = 120) -> None:
        """Return once something is true."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"not true after {seconds} s; {self.stored()} rows are stored")
            time.sleep(0.02)

    def door_rate(self) -> float:
        """Rows per second between the first and the last commit; the first batch does not count."""
        rows, seconds = self.conn.execute(
            """select sum(rows) - (array_agg(rows order by id))[1],
                      extract(epoch from max(committed_at) - min(committed_at))::float8
               from ingest.batch where rows > 0"""
        ).fetchone() or (0, 1)
        return float(rows) / max(float(seconds), 1e-6)

    @property
    def pid(self) -> int:
        """Of the server; its children are the backends."""
        pid = self.server.pid()
        assert pid is not None
        return pid

    def settings(self, **parts: Any) -> Settings:
        """Settings of this database; parts are the settings' own groups."""
        return Settings(database_url=self.dsn, **parts)

    def check(self, rows: int) -> None:
        """Make sure that so many rows are stored."""
        stored = self.conn.execute("select count(*) from ingest.telemetry").fetchone()
        if stored != (rows,):
            raise AssertionError(f"{stored} rows are stored, {rows} were sent")

    def detail(self, name: str, door: str = "endpoint") -> float:
        """A live figure of a door, as it last told; 0 when it has told nothing."""
        query = "select coalesce(max((detail->>%s)::float8), 0) from kit.process where name = %s"
        return float(scalar(self.conn, query, (name, door)))

    def packed(self, load: Load) -> list[bytes]:
        """The rows of a load as binary COPY, in batches as large as a door's largest."""
        batch = Ingest().batch_messages
        with connect(self.dsn, role=ROLE, autocommit=True) as conn:
            blocks = _blocks(conn, load, batch)
            with conn.transaction():
                storage.ensure(conn, {n for block in blocks for n in storage.chunks_of(block.ts)})
        return [b"".join(copying.packed([block], n)) for n, block in enumerate(blocks)]

    def copy_rate(self, pieces: Sequence[bytes], rows: int) -> float:
        """The limit: rows made beforehand by binary COPY into the same empty table, a transaction for each batch, on
        one connection as a door has."""
        self.empty()
        with connect(self.dsn, role=ROLE, autocommit=True) as conn:
            began = time.perf_counter()
            for piece in pieces:
                with conn.transaction(), conn.cursor().copy(copying.INTO_TELEMETRY) as copy:
                    copy.write(piece)
            return rows / (time.perf_counter() - began)

    def close(self) -> None:
        self.conn.close()
        self.server.stop()


def _blocks(conn: Conn, load: Load, batch: int) -> list[Block]:
    catalogue = Catalogue(Topics("meantime"), register=False)
    now = datetime.now(UTC)
    said = map(load.message, range(load.count))
    arrivals = [Arrival(topic, body, None, None, now) for topic, body in said]
    found: list[Block] = []
    with conn.transaction():
        _, present = catalogue.begin(conn)
        for first in range(0, len(arrivals), batch):
            intake = Intake(conn, catalogue, Bounds(present, 400, 300))
            catalogue.resolve(conn, arrivals[first : first + batch])
            intake.take(arrivals[first : first + batch])
            found += [settle(group)[0] for group in intake.groups.values()]
    return found


@contextmanager
def bench(devices: int) -> Iterator[Bench]:
    """A server in a temporary folder, fsync on."""
    folder = Path(tempfile.mkdtemp(prefix="meantime-bench-", dir="/var/tmp"))
    folder.chmod(0o711)
    made = Bench(folder, devices)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _serve(module: str, settings: Settings) -> None:
    importlib.import_module(module).run(settings, stop_on_signals())


@contextmanager
def door(module: str, settings: Settings) -> Iterator[int]:
    """A front door in a process of its own; gives its pid."""
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(module, settings))
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.terminate()
        process.join(15)


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(np.array(values), share * 100))


def median(values: Sequence[float]) -> float:
    return float(np.median(np.array(values)))
