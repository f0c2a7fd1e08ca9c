"""Telemetry rows into the table: binary COPY in the hope that none is there yet, and a detour when one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal

import numpy as np
from psycopg import errors, sql

from ingest import storage
from ingest.rows import HEADER, TRAILER, Block, binary, row_bytes
from kit.database import Conn

_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, storage.COLUMNS))
_INTO = sql.SQL("copy {} ({}) from stdin (format binary)")
_STAGE = sql.Identifier("telemetry_stage")
INTO_TELEMETRY = _INTO.format(sql.Identifier("ingest", "telemetry"), _COLUMNS)


# What was set before the rows come: at the beginning of the write, or after it has written something else.
Point = Literal["meantime_write", "meantime_copy"]
# Rows of about so many bytes go to PostgreSQL at once: it stores them while the next are laid out.
PIECE_BYTES = 100_000
AT_ONCE = 2  # pieces, before anything else is done


def packed(blocks: Sequence[Block], batch_id: int) -> Iterator[bytes]:
    """The rows as one binary COPY, piece by piece."""
    head = HEADER
    for block in blocks:
        rows = max(1, PIECE_BYTES // row_bytes(block))
        for first in range(0, len(block), rows):
            yield head + binary(block.take(slice(first, first + rows)), batch_id)
            head = b""
    yield head + TRAILER


def insert(
    conn: Conn,
    blocks: Sequence[Block],
    batch_id: int,
    point: Point,
    meanwhile: Callable[[], None] | None = None,
) -> list[Block]:
    """Store the rows that are not stored yet; returns those.

    All writers insert in the order of (shape, device, ts, seq), so that two with the same rows wait for each other
    instead of locking each other out: blocks come sorted by shape.

    Args:
        point: the savepoint after which nothing has been written.
        meanwhile: called once, when PostgreSQL has rows to store.
    """
    try:
        _copy(conn, INTO_TELEMETRY, packed(blocks, batch_id), meanwhile)
        return list(blocks)
    except errors.UniqueViolation:
        conn.execute(f"rollback to savepoint {point}")
        return _by_stage(conn, blocks, batch_id)


def _copy(
    conn: Conn, into: sql.Composed, pieces: Iterator[bytes], meanwhile: Callable[[], None] | None = None
) -> None:
    with conn.cursor().copy(into) as copy:
        for piece in islice(pieces, AT_ONCE):
            copy.write(piece)
        if meanwhile is not None:
            meanwhile()
        for piece in pieces:
            copy.write(piece)


def _by_stage(conn: Conn, blocks: Sequence[Block], batch_id: int) -> list[Block]:
    conn.execute(
        sql.SQL(
            "create temporary table if not exists {} (like ingest.telemetry) on commit delete rows"
        ).format(_STAGE)
    )
    conn.execute(sql.SQL("truncate {}").format(_STAGE))  # of an earlier write in this transaction
    _copy(conn, _INTO.format(_STAGE, _COLUMNS), packed(blocks, batch_id))
    new = conn.execute(
        sql.SQL(
            """insert into ingest.telemetry ({columns})
               select {columns} from {stage} order by shape_id, device_id, ts, seq on conflict do nothing
               returning device_id::bigint, (extract(epoch from ts) * 1000000)::bigint, seq"""
        ).format(columns=_COLUMNS, stage=_STAGE)
    ).fetchall()
    stored = set(new)
    kept = []
    for block in blocks:
        # A set: rows of two shapes with one key are one row, whichever came first.
        keys = list(zip(block.device.tolist(), block.ts.tolist(), block.seq.tolist(), strict=True))
        mask = np.array([key in stored for key in keys], np.bool_)
        stored.difference_update(keys)
        kept.append(block.take(mask))
    return [block for block in kept if len(block)]
