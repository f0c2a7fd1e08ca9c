"""The storage worker: partitions ahead of time, rollups, hours counted again after late data, retention,
compression where the edition has it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
from psycopg import errors

from ingest import columnstore, dead_letters, letter_store, rollup, run_hours, storage
from kit import clock, logs
from kit.database import Conn, connect
from kit.errors import Unavailable
from kit.process import Job, Worker
from kit.settings import Settings

log = logs.get(__name__)
ROLE = "meantime_ingest"
AHEAD = 2  # chunks made before they are needed
FORGET_SECONDS = 2.0  # of one round: the worker must beat in between, and roll up


def make_worker(dsn: str, settings: Settings) -> Worker:
    """The process `storage`."""
    keep = timedelta(days=settings.ingest.raw_retention_days)
    refusals = timedelta(days=settings.ingest.refused_retention_days)
    beside = Beside(dsn)
    jobs = [
        Job("partitions", 10, partitions),
        Job("rollup", 5, roll_up_gently),
        Job("recount", 10, recount),
        Job("retention", 60, lambda conn: retention(conn, keep)),
        Job("refusals", 60, lambda conn: forget_refusals(conn, refusals)),
        Job("dead letters", 60, lambda conn: bound_letters(conn, settings.ingest.dead_letter_bytes)),
        Job("compression", 600, beside.start),
    ]
    return Worker("storage", dsn, ROLE, jobs=jobs)


def partitions(conn: Conn) -> None:
    """Make the partitions for now and the weeks ahead."""
    with conn.transaction():
        present = clock.now(conn)
        storage.ensure_range(conn, present, present + AHEAD * storage.CHUNK)


def roll_up(conn: Conn) -> bool:
    """Count marked hours again; True when there may be more."""
    with conn.transaction():
        return rollup.step(conn) > 0


def roll_up_gently(conn: Conn) -> bool:
    """The same, then a rest of twice the time it took: a long backlog (a seed, an outage) leaves the machine to those
    who store and detect."""
    began = time.monotonic()
    more = roll_up(conn)
    if more:
        time.sleep(min(2 * (time.monotonic() - began), 2.0))
    return more


def recount(conn: Conn) -> bool:
    """Count run-hours again where late data asks for it; True when there may be more."""
    with conn.transaction():
        return run_hours.recount_dirty(conn) > 0


def retention(conn: Conn, keep: timedelta) -> None:
    """Drop raw telemetry older than `keep`; the rollups stay. Writers in the way: the next round tries again."""
    try:
        with conn.transaction():
            dropped = storage.drop_before(conn, clock.now(conn) - keep)
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        log.warning("retention found the table busy, trying again in a minute")
        return
    if dropped:
        log.info("old telemetry dropped", chunks=dropped)


def forget_refusals(conn: Conn, keep: timedelta) -> bool:
    """Forget what was refused longer ago than `keep`; True when there may be more."""
    with conn.transaction():
        return dead_letters.prune(conn, keep) > 0


def bound_letters(conn: Conn, most: int) -> bool:
    """Measure the dead letters and forget the oldest beyond `most` bytes; True when there may be more."""
    kept, gone = letter_store.measure(conn), 0
    end = time.monotonic() + FORGET_SECONDS
    while kept.bytes > most and (gone == 0 or time.monotonic() < end):
        with conn.transaction():
            forgotten = letter_store.forget(conn, kept.bytes - most)
        if not forgotten.letters:  # others have deleted them meanwhile, or replay them just now
            break
        gone += forgotten.letters
        kept = letter_store.Stored(kept.letters - forgotten.letters, kept.bytes - forgotten.bytes)
    letter_store.note(conn, kept, most)
    if gone:
        log.warning(
            "dead letters beyond their bound, the oldest are forgotten",
            letters=gone,
            kept=kept.letters,
            bytes=most,
        )
    return gone > 0 and kept.bytes > most


def compression(conn: Conn, compressor: columnstore.Compressor) -> bool:
    """Compress one old chunk where the edition can; True when there are more."""
    return storage.level(conn) == "timescale_community" and compressor.step(conn)


@dataclass
class Beside:
    """Compression on a thread and a connection of its own: a large fleet's week takes long, and rollups, retention and
    the sign of life go on meanwhile. When the process ends, a chunk that is not done is undone by the server."""

    dsn: str
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def start(self, conn: Conn) -> None:
        """Begin a round where the edition can compress, unless the last one still goes on."""
        if storage.level(conn) == "timescale_community" and not self._thread.is_alive():
            self._thread = threading.Thread(target=self._round, name="compression", daemon=True)
            self._thread.start()

    def _round(self) -> None:
        compressor = columnstore.Compressor()
        try:
            with connect(self.dsn, role=ROLE, application="storage.compression", autocommit=True) as conn:
                while compression(conn, compressor):
                    pass
        except (psycopg.Error, Unavailable) as error:
            log.warning("compression was cut short, trying again later", error=str(error).strip())
