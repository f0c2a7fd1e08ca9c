"""The stored rows of a period in the order in which they were committed, a piece at a time. SQL; never commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from analytics import store
from analytics.block import Block, Event, Reset
from analytics.days import days_of
from analytics.reader import Reader
from analytics.store import Position, microseconds
from kit.database import Conn, rows

MOST_ROWS = 50_000  # rows in memory at once


@dataclass(frozen=True)
class Piece:
    """Some consecutive batches; `resets` became known before them, `learn`: a day of event time begins after them."""

    blocks: dict[str, Block]
    events: dict[str, list[Event]]
    resets: list[Reset]
    learn: bool
    done: float  # share of the batches that have been read


def pieces(conn: Conn, first: datetime, last: datetime, reader: Reader) -> Iterator[Piece]:
    """The rows of a period in the order in which they were committed."""
    facts = rows(
        conn,
        """select id, xid::text::bigint as xid, rows, first_ts, last_ts from ingest.batch b
           where (last_ts >= %s and first_ts <= %s)
              or (first_ts is null and exists (select from ingest.fault_event f where f.batch_id = b.id
                                               and f.ts between %s and %s))
           order by b.xid, b.id""",
        (first, last, first, last),
    )
    known = store.known_resets(conn, Position(0, 0))
    day = read = 0
    for group, new_day in _groups(facts, [at for at, _ in known]):
        here = Position(group[0]["xid"], group[0]["id"])
        resets = [reset for at, reset in known if at < here]
        known = [(at, reset) for at, reset in known if at >= here]
        blocks, events = reader.batches(conn, group, 0, 1)
        blocks = {model: _within(block, first, last) for model, block in blocks.items()}
        read += len(group)
        yield Piece(blocks, events, resets, new_day is not None and new_day > day, read / len(facts))
        day = max(day, new_day or 0)


def _groups(
    facts: Sequence[Mapping[str, Any]], bounds: Sequence[Position]
) -> Iterator[tuple[list[Mapping[str, Any]], int | None]]:
    """Cut where a day begins, where a reset becomes known, and where rows become many."""
    for group, new_day in days_of(facts, 0):
        some: list[Mapping[str, Any]] = []
        for fact in group:
            at = Position(fact["xid"], fact["id"])
            before = Position(some[-1]["xid"], some[-1]["id"]) if some else at
            if some and (sum(f["rows"] for f in some) > MOST_ROWS or any(before <= b < at for b in bounds)):
                yield some, None
                some = []
            some.append(fact)
        yield some, new_day


def _within(block: Block, first: datetime, last: datetime) -> Block:
    return block.take(np.flatnonzero((block.ts >= microseconds(first)) & (block.ts <= microseconds(last))))
