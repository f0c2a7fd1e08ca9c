"""The database's end of the log: reads partitions, stores what their records hold, moves the offset with the rows.

Several workers share the partitions by advisory locks, each at most its share of them; the locks of one that dies are
free at once, and the others take them. Two that believe for a moment to own the same partition write the same rows,
which their keys absorb.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from base64 import b64encode

import msgspec
import psycopg

from ingest.buffer import Buffer
from ingest.chunks import Chunk, Effect
from ingest.log import offsets
from ingest.log.choice import Chosen, chosen
from ingest.log.seam import Log, Record, unpack
from ingest.pipeline import ROLE, Pipeline, calm_collector
from ingest.pulse import Pulse
from ingest.store import Store
from kit import logs, shares
from kit.database import Conn, connect, url
from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings

log = logs.get(__name__)
DOOR = "stream"
RECORDS = 50
LOOK_SECONDS = 1.0
FORGET_SECONDS = 10.0


def run(settings: Settings, stop: threading.Event, *, suffix: str = "") -> None:
    """Store what lies in the log until `stop` is set.

    Raises:
        Misconfigured: no log is set.
    """
    calm_collector()
    where = chosen(settings)
    if where is None:
        raise Misconfigured(
            "There is no log to store from: set MEANTIME_JETSTREAM__URL or MEANTIME_KAFKA__SERVERS."
        )
    Worker(settings, where, suffix=suffix).work(stop)


class Worker:
    """Reads on the caller's thread, writes on the pipeline's."""

    def __init__(self, settings: Settings, given: Chosen, *, suffix: str = "") -> None:
        self._dsn, self._given, self._name = url(settings), given, DOOR + suffix
        self._log: Log = given.open(self._name)
        self._at: dict[int, int] = {}
        self._gone = 0
        self._inflight: dict[int, int] = {}
        self._forgotten: dict[int, int] = {}
        self._conn: Conn | None = None
        self._looked = self._purged = -math.inf
        self._counting = threading.Lock()
        self._room = threading.Event()
        self._room.set()
        self._pulse = Pulse(self._dsn, self._name, role=ROLE, detail=self._detail)
        self._pipeline = Pipeline(
            self._dsn, Store(settings.ingest, door=DOOR), door=self._name,
            buffer=Buffer(settings.ingest.buffer_messages), released=self._released,
            batch=settings.ingest.batch_messages, linger=0, command=self._command,
        )  # fmt: skip
        self._pulse.waiters.append(self._pipeline.waiter)

    def work(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        self._pulse.start()
        self._pipeline.start()
        while not stop.is_set():
            try:
                self._round(stop)
            except (psycopg.Error, Unavailable) as error:
                log.warning("cannot read the log, trying again", error=str(error).strip())
                self._lose_all()
                stop.wait(0.3)
        self._pipeline.close(2)
        self._pulse.stop()
        self._log.close()
        if self._conn is not None:
            self._conn.close()

    def _round(self, stop: threading.Event) -> None:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._share()
            self._looked = time.monotonic()
        if not self._at:
            stop.wait(0.2)
            return
        if not self._room.wait(0.2):
            return
        wait, found = 0.2 / len(self._at), 0
        for partition in list(self._at):
            found += self._read(partition, wait if not found else 0.01)

    def _read(self, partition: int, wait: float) -> int:
        at = self._at[partition]
        records = self._log.read(partition, at, RECORDS, wait)
        if records and records[0][0] > at + 1:
            self._gone += records[0][0] - at - 1
            log.error(
                "records are gone that were not stored", partition=partition, after=at, next=records[0][0]
            )
        for offset, data in records:
            self._submit(partition, _unpacked(partition, offset, data))
        return len(records)

    def _submit(self, partition: int, record: Record) -> None:
        self._at[partition] = record.offset
        with self._counting:
            self._inflight[partition] = self._inflight.get(partition, 0) + 1
        moved = Effect(offsets.move, (self._given.key, partition, record.offset))
        if self._pipeline.submit(Chunk(partition, record.arrivals, [], record.size, (moved,))):
            self._room.clear()

    def _released(self, chunks: list[Chunk]) -> None:
        with self._counting:
            for chunk in chunks:
                self._inflight[chunk.source] -= 1
        if self._pipeline.done(chunks):
            self._room.set()

    def _command(self, commands: list[tuple[str, bytes]]) -> None:
        """What an edge node is to be told goes to the doors, wherever it is connected."""

        def tell(conn: Conn) -> None:
            for topic, payload in commands:
                conn.execute(
                    "select pg_notify(%s, %s)", (offsets.COMMANDS, f"{topic} {b64encode(payload).decode()}")
                )

        self._pulse.ask(tell, lambda _: None)

    # --- which partitions

    def _share(self) -> None:
        """Claim free partitions up to this worker's share; leave those above it once nothing of them is in flight."""
        if self._conn is None or self._conn.closed:
            self._at.clear()
            self._conn = connect(self._dsn, role=ROLE, application=f"{self._name}.claims", autocommit=True)
        conn, total, key = self._conn, self._given.partitions, self._given.key
        work = f"ingest.log.{key}"
        share = math.ceil(total / shares.alive(conn, DOOR))
        stored = offsets.load(conn, key)
        for partition in sorted(self._at)[share:]:
            if not self._inflight.get(partition):
                del self._at[partition]
                shares.release(conn, work, partition)
        for partition in range(total):
            free = partition not in self._at and not self._inflight.get(partition)
            if len(self._at) < share and free and shares.claim(conn, work, partition):
                # Read again after the claim: the one before may have stored more meanwhile.
                self._at[partition] = offsets.load(conn, key).get(partition, 0)
        self._purge(stored)

    def _purge(self, stored: dict[int, int]) -> None:
        if time.monotonic() - self._purged < FORGET_SECONDS:
            return
        self._purged = time.monotonic()
        for partition in self._at:
            if stored.get(partition, 0) <= self._forgotten.get(partition, 0):
                continue
            try:
                self._log.forget(partition, stored[partition])
            except Unavailable as error:  # it keeps more than it must: no reason to read anything anew
                log.warning("cannot remove stored records", partition=partition, error=str(error))
                return
            self._forgotten[partition] = stored[partition]

    def _lose_all(self) -> None:
        """Start again from what is committed."""
        self._at.clear()
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):
                self._conn.close()
            self._conn = None
        self._looked = -math.inf

    def _detail(self) -> dict[str, object]:
        return {
            "partitions": len(self._at),
            "gone": self._gone,
            "offsets": {str(p): at for p, at in sorted(self._at.items())},
        } | (self._pipeline.detail())


def _unpacked(partition: int, offset: int, data: bytes) -> Record:
    try:
        return unpack(offset, data)
    except msgspec.MsgspecError as error:
        log.error(
            "a record of the log is not ours, passed over",
            partition=partition,
            offset=offset,
            error=str(error),
        )
        return Record(offset, [], len(data))
