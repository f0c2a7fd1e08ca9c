"""One writer thread: whatever is buffered → one transaction → commit → the acknowledgements are released.

The promise of both front doors is kept here: an acknowledgement leaves only after the commit that stored its message.
While the database is away the pieces stay where they are and are tried again with growing pauses; when a commit's
outcome is unknown the batch is written again and its key absorbs what was already stored; a message that cannot be
stored is found by halving its batch and ends in the dead letter.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import psycopg

from ingest.ahead import Ahead
from ingest.buffer import Buffer
from ingest.chunks import Batch, Chunk, Counts, Effect, apply, is_poison
from ingest.message import Arrival, Refused
from ingest.watchdog import Waiter
from kit import logs
from kit.database import Conn, connect
from kit.errors import Unavailable

log = logs.get(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
ROLE = "meantime_ingest"


def calm_collector() -> None:
    """Make the garbage collector look seldom: a door makes many short-lived objects and no cycles. And let its
    threads take turns more often: a writer that has heard from PostgreSQL should go on at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.0001)


class Store(Protocol):
    """What the pipeline needs of `ingest.store.Store`: one per pipeline, used by its writer; its decoder calls
    `foresee`."""

    meanwhile: Callable[[], None]

    def foresee(self, arrivals: Sequence[Arrival]) -> Any: ...
    def write(
        self, conn: Conn, arrivals: Sequence[Arrival], foreseen: Sequence[Any] = (), *, whole: bool = False
    ) -> Any: ...
    def committed(self, written: Any) -> None: ...
    def rolled_back(self) -> None: ...


class Pipeline:
    """Buffer and writer thread of one front door.

    `released(chunks)` is called on the writer thread after the commit; the door hands it to its own loop, sends the
    acknowledgements there and calls `done`. `command(messages)` gets what a write wants published: (topic, payload).
    """

    def __init__(
        self,
        dsn: str,
        store: Store,
        *,
        door: str,
        buffer: Buffer[Chunk],
        released: Callable[[list[Chunk]], None],
        batch: int = 5000,
        linger: float = 0.002,
        command: Callable[[list[tuple[str, bytes]]], None] | None = None,
    ) -> None:
        self.counts = Counts()
        self.buffer = buffer
        self._dsn, self._store, self._door = dsn, store, door
        self._released, self._command = released, command
        self._ahead = Ahead(buffer, store.foresee, door=door, batch=batch, linger=linger)
        store.meanwhile = self._ahead.go
        self._conn: Conn | None = None
        self._abandon = threading.Event()
        self._writing_since: float | None = None
        self._busy_since: float | None = None
        self.waiter = Waiter("writer", lambda: self._busy_since, lambda: self._conn)
        self._thread = threading.Thread(target=self._run, name=f"{door}-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ahead.start()

    def submit(self, chunk: Chunk) -> bool:
        """Queue a chunk; returns True when the door must stop reading."""
        return self._ahead.submit(chunk)

    def done(self, chunks: list[Chunk]) -> bool:
        """The door has dealt with released chunks; returns True when it may read again."""
        return self._ahead.done(chunks)

    def lag(self) -> float:
        """Seconds that the oldest message not yet committed has waited."""
        since = self._writing_since or self._ahead.oldest()
        return 0.0 if since is None else time.monotonic() - since

    def detail(self) -> dict[str, Any]:
        """The figures of buffer and writer."""
        buffer, counts = self.buffer, self.counts
        return {
            "buffer": buffer.count,
            "buffer_bytes": buffer.size,
            "buffer_peak": buffer.peak,
            "high_water": buffer.high,
            "lag_ms": round(self.lag() * 1000, 1),
            "stored": counts.stored,
            "batches": counts.batches,
            "commit_ms": round(counts.commit_ms, 2),
            "retries": counts.retries,
            "dead_letters": counts.buried,
            "error": counts.error,
        }

    def close(self, seconds: float) -> bool:
        """Write what is left, for at most `seconds`. Returns False if something had to be left unwritten:
        it was never acknowledged, so its sender will send it again."""
        self._ahead.close()
        self._thread.join(seconds)
        left = self._thread.is_alive()
        self._abandon.set()
        return not left

    def _run(self) -> None:
        while (batch := self._ahead.next()) is not None:
            self._writing_since = batch.chunks[0].at
            if not self._store_somehow(batch):
                break
            self.counts.batches += 1
            self.counts.stored += len(batch.arrivals)
            self._writing_since = None
            self._released(batch.chunks)
        self._drop()

    def _store_somehow(self, batch: Batch) -> bool:
        """Try until the batch is stored; False when told to abandon it."""
        pause = FIRST_PAUSE
        while not self._abandon.is_set():
            try:
                self._split(batch.arrivals, batch.effects, batch.foreseen)
            except Exception as error:  # noqa: BLE001 - everything but poison: wait and try again
                self._failed(error, pause)
                self._abandon.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                if self.counts.error is not None:
                    log.info("storing again", door=self._door)
                    self.counts.error = None
                return True
        return False

    def _failed(self, error: Exception, pause: float) -> None:
        self.counts.retries += 1
        text = str(error).strip() or repr(error)
        if pause >= 0.2 or not isinstance(error, psycopg.OperationalError | Unavailable):
            log.warning("cannot store, trying again", door=self._door, error=text, in_seconds=pause)
        self.counts.error = text

    def _split(self, arrivals: list[Arrival], effects: list[Effect], foreseen: Sequence[Any] = ()) -> None:
        """Store all, or halve the batch around a message that the database refuses."""
        try:
            self._transaction(arrivals, effects, foreseen)
        except Exception as error:
            if not is_poison(error):
                raise
            if len(arrivals) > 1:
                middle = len(arrivals) // 2
                self._split(arrivals[:middle], [])
                self._split(arrivals[middle:], effects)
            elif arrivals and not effects:
                self._bury(arrivals[0], error)
            elif arrivals:
                self._split(arrivals, [])
                self._split([], effects)
            else:
                log.error("the door's own rows were refused", door=self._door, error=str(error).strip())

    def _transaction(
        self, arrivals: list[Arrival], effects: list[Effect], foreseen: Sequence[Any] = ()
    ) -> None:
        began = time.perf_counter()
        written = None
        try:
            self._busy_since = time.monotonic()
            conn = self._connection()
            if not effects:
                written = self._store.write(conn, arrivals, foreseen, whole=True)
            else:
                with conn.transaction():
                    if arrivals:
                        written = self._store.write(conn, arrivals, foreseen)
                    apply(conn, effects)
        except BaseException as error:
            self._store.rolled_back()
            self._undo(error)
            raise
        finally:
            self._busy_since = None
        if written is not None:
            self._store.committed(written)
            if written.commands and self._command is not None:
                self._command(written.commands)
        self.counts.commit_ms = (time.perf_counter() - began) * 1000

    def _undo(self, error: BaseException) -> None:
        """Leave the connection without a transaction. One that was cut between two answers may not know it yet: only
        a new one is sure to work."""
        if self._conn is None or not is_poison(error) or self._conn.broken:
            self._drop()
            return
        try:
            self._conn.rollback()
        except psycopg.Error:
            self._drop()

    def _bury(self, arrival: Arrival, error: Exception) -> None:
        """Put a message that the database, or the log, refuses into the dead letter."""
        reason = error.reason if isinstance(error, Refused) else "database_refused"
        conn = self._connection()
        conn.execute(
            """insert into ingest.dead_letter (door, topic, client_id, device_uid, payload, size, reason, detail,
                   received_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                self._door, arrival.topic.replace("\0", "�")[:1000], arrival.client_id, arrival.uid,
                arrival.payload[:65536], len(arrival.payload), reason, str(error).strip().replace("\0", "�")[:2000],
                arrival.received_at,
            ),
        )  # fmt: skip
        self.counts.buried += 1

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(self._dsn, role=ROLE, application=f"{self._door}.writer", autocommit=True)
        return self._conn

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
