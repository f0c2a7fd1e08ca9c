"""TimescaleDB's columnstore, which only its Community edition has: old chunks are compressed, one at a time.

The storage worker calls for it, as it does for retention. A policy would be run by a process of the server that logs
in as the table's owner, and none of our roles may log in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, LiteralString

import psycopg
from psycopg import errors

from kit import clock, logs
from kit.database import Conn

log = logs.get(__name__)

AFTER: Final = timedelta(days=30)
"""How old a chunk's end is when it is compressed: later than late data usually comes."""
ENABLE: Final[LiteralString] = (
    "alter table ingest.telemetry set (timescaledb.enable_columnstore, timescaledb.segmentby = 'device_id', "
    "timescaledb.orderby = 'ts, seq')"
)
CONVERT: Final[LiteralString] = "call convert_to_columnstore(%s::regclass, if_not_columnstore => true)"
_BUSY = (errors.LockNotAvailable, errors.DeadlockDetected)


def enable(conn: Conn) -> None:
    """Let the telemetry table have compressed chunks; done once, by who may alter it."""
    conn.execute(ENABLE)


def waiting(conn: Conn, before: datetime) -> list[str]:
    """The chunks that end by `before` and are not wholly compressed, oldest first: those that never were, and those
    to which late rows have come since. Frozen ones are their owner's wish."""
    found = conn.execute(
        """select name from (select format('%%I.%%I', chunk_schema, chunk_name) as name, range_start
                             from timescaledb_information.chunks
                             where hypertable_schema = 'ingest' and hypertable_name = 'telemetry'
                               and range_end <= %s offset 0) c
           cross join lateral _timescaledb_functions.chunk_status(name::regclass) as s(status)
           where status <> 1 and status & 4 = 0 order by range_start""",  # 1: compressed, 4: frozen
        (before,),
    )
    return [name for (name,) in found]


@dataclass
class Compressor:
    """The worker's job. A round takes every chunk that waits once, one at each call, so that neither a busy one nor
    one to which rows come all the time holds up the others."""

    todo: list[str] = field(default_factory=list)

    def step(self, conn: Conn) -> bool:
        """Compress the next chunk of the round, in transactions of its own; True while the round goes on."""
        if not self.todo:
            self.todo = waiting(conn, clock.now(conn) - AFTER)
        if self.todo:
            compress(conn, self.todo.pop(0))
        return bool(self.todo)


def compress(conn: Conn, chunk: str, *, wait: timedelta = timedelta(seconds=1)) -> bool:
    """Compress a chunk, given as schema.name; what came late is merged in. False when that was not possible now:
    somebody writes to it (`wait` is how long they are waited for), retention has dropped it, the server refuses. The
    log says which, and the next round tries again.

    Whoever writes to this chunk meanwhile waits until it is done; readers wait for a moment at the end only.
    """
    try:
        with conn.transaction():
            conn.execute(
                "select set_config('lock_timeout', %s, true)", (f"{wait // timedelta(milliseconds=1)}ms",)
            )
            conn.execute("set local statement_timeout = 0")  # a large fleet's week may take minutes
            conn.execute(CONVERT, (chunk,))
    except _BUSY:
        log.warning("compression found the chunk busy, trying again later", chunk=chunk)
        return False
    except errors.UndefinedTable:
        return False
    except (errors.QueryCanceled, psycopg.InterfaceError):
        raise
    except psycopg.Error as error:
        if conn.closed:
            raise
        log.error(
            "a chunk could not be compressed, trying again later", chunk=chunk, error=str(error).strip()
        )
        return False
    log.info("old telemetry compressed", chunk=chunk)
    return True
