"""Recorded data through the whole product: a database of its own, the real end point, detection and orders in step.

The clock follows the data: after each moment of the recording is acknowledged, detection and orders catch up with it
before the next one is sent. So an order's opening time is the recording's, and a replay gives the same orders however
fast the machine is.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from kit import follow, logs
from kit.database import Conn, connect
from kit.errors import Invalid, Unavailable
from kit.settings import Settings
from meantime import device_types, embedded, schema
from meantime.in_step import InStep
from meantime.supervisor import Supervisor, free_port
from simulators.replay import azure, azure_data, score
from simulators.replay import csv as csv_replay
from simulators.replay.sender import Progress, Where

log = logs.get(__name__)


@dataclass(frozen=True)
class CsvReport:
    """What a CSV replay did, and what came of it."""

    replay: csv_replay.Report
    detections: int
    orders: int


@dataclass(frozen=True)
class Stage:
    """A database for one recording, with an end point in front of it."""

    dsn: str
    where: Where
    conn: Conn


@contextmanager
def stage(settings: Settings, name: str, *, keep: bool) -> Iterator[Stage]:
    """A database `name` on the embedded server (made anew unless `keep`), or the one that is set; a door on it."""
    if settings.database_url is not None:
        schema.migrate(settings.database_url)
        with _door(settings, settings.database_url) as made:
            yield made
        return
    with embedded.server(settings) as server:
        if not keep:
            with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
                admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        schema.ensure_database(server.dsn("postgres"), name)
        schema.migrate(server.dsn(name))
        with _door(settings, server.dsn(name)) as made:
            yield made


@contextmanager
def _door(settings: Settings, dsn: str) -> Iterator[Stage]:
    port = free_port("127.0.0.1", 0)
    variables: dict[str, object] = {"endpoint__port": port, "endpoint__host": "127.0.0.1"}
    supervisor = Supervisor(dsn, variables, log_folder=settings.home / "logs")
    with connect(dsn, application="replay", autocommit=True) as conn:
        supervisor.start(("endpoint",))
        try:
            _wait_for_port(port, supervisor)
            yield Stage(dsn, Where("127.0.0.1", port, settings.ingest.topic_prefix), conn)
        finally:
            supervisor.stop()


def _wait_for_port(port: int, supervisor: Supervisor, seconds: float = 30) -> None:
    waited = threading.Event()
    for _ in range(int(seconds * 20)):
        if _listens(port):
            return
        if supervisor.children["endpoint"].process.poll() is not None:
            break
        waited.wait(0.05)
    raise Unavailable(f"The end point did not start on port {port}; its log says why.")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def azure_pdm(
    settings: Settings,
    folder: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    train_from: datetime | None = None,
    machines: int | None = None,
    horizon: timedelta = score.HORIZON,
    keep: bool = False,
    progress: Progress | None = None,
) -> azure.Report:
    """The Azure predictive-maintenance set, or a part of it; see `simulators.replay.azure`.

    Args:
        horizon: a warning is right when its failure comes within so long after it.
        train_from: what became known from then until `start` is stored first, and failure models are learned from it;
            predictions then decide along with the other rules.

    Raises:
        Invalid: `train_from` without a later `start`.
    """
    if train_from is not None and (start is None or train_from >= start):
        raise Invalid(
            "What is learned from must lie before what is played: give --from a date after --train-from."
        )
    with stage(settings, "replay_azure", keep=keep) as made:
        step = InStep(made.conn, settings)
        if train_from is not None and start is not None:
            azure.load_past(made.conn, settings, folder, train_from, start, machines)
            step.learned(azure_data.MODEL, start)
        return azure.replay(
            made.dsn, settings, folder, where=made.where, start=start, end=end, machines=machines, horizon=horizon,
            progress=progress, registered=step.registered, replaced=step.replaced, known=step.known,
        )  # fmt: skip


def csv(
    settings: Settings,
    file: Path,
    map_file: Path,
    *,
    types: Sequence[Path] = (),
    keep: bool = False,
    progress: Progress | None = None,
) -> CsvReport:
    """A CSV file by its map (`simulators.replay.mapping`), with the clock at the file's end; `types` are device-type
    files to load besides the shipped ones."""
    with stage(settings, "replay_csv", keep=keep) as made:
        with made.conn.transaction():
            device_types.load_shipped(made.conn)
            for path in types:
                device_types.load(made.conn, device_types.read(path))
        step = InStep(made.conn, settings)
        report = csv_replay.replay(
            made.dsn, settings, file, map_file, where=made.where, progress=progress,
            registered=step.registered, move_clock=True,
        )  # fmt: skip
        follow.catch_up(made.conn, step.followers, deadline=600)
        found = made.conn.execute(
            """select (select count(*) from analytics.detection where kind = 'raise'),
                      (select count(*) from fsm.work_order where source = 'automatic')"""
        ).fetchone()
        assert found is not None
        return CsvReport(report, found[0], found[1])
