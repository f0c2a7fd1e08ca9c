"""The stored rows of a period in the order in which they were committed, a piece at a time, so that memory is bounded
whatever the period and the fleet. SQL; never commits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import numpy as np

from analytics import store
from analytics.block import Block, Event, Reset
from analytics.reader import Reader
from analytics.store import Position, microseconds
from kit.database import EPOCH, Conn, one, rows

MOST_ROWS = 50_000  # rows in memory at once, as far as one batch has no more
MOST_FACTS = 5_000  # batches in memory at once
Fact = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """Some consecutive batches; `resets` became known before them, `learn`: a day of event time begins after them."""

    blocks: dict[str, Block]
    events: dict[str, list[Event]]
    resets: list[Reset]
    learn: bool
    done: float  # share of the rows that have been read

    def __len__(self) -> int:
        return sum(len(block) for block in self.blocks.values())


def pieces(conn: Conn, first: datetime, last: datetime, reader: Reader) -> Iterator[Piece]:
    """The rows and fault events of a period in the order in which they were committed; late ones are late again."""
    total, read = _total(conn, first, last), 0
    known = deque(store.known_resets(conn, Position(0, 0)))
    bounds = [at for at, _ in known]
    begin, end = microseconds(first), microseconds(last)
    for group, learn in _groups(_facts(conn, first, last), bounds):
        here = Position(group[0]["xid"], group[0]["id"])
        resets = []
        while known and known[0][0] < here:
            resets.append(known.popleft()[1])
        blocks, events = reader.batches(conn, group, 0, 1)
        read += sum(fact["rows"] for fact in group)
        yield Piece(
            {model: _within(block, begin, end) for model, block in blocks.items()},
            {model: [one for one in its if begin <= one.ts <= end] for model, its in events.items()},
            resets, learn, min(read / total, 1.0) if total else 1.0,
        )  # fmt: skip


_OF_PERIOD: Final[LiteralString] = """
    ((b.last_ts >= %(first)s and b.first_ts <= %(last)s)
     or exists (select from ingest.fault_event f where f.batch_id = b.id and f.ts between %(first)s and %(last)s))"""


def _total(conn: Conn, first: datetime, last: datetime) -> int:
    """Rows in the batches of a period."""
    found = one(
        conn,
        "select coalesce(sum(rows), 0)::bigint as n from ingest.batch where last_ts >= %s and first_ts <= %s",
        (first, last),
    )
    return int(found["n"]) if found else 0


def _facts(conn: Conn, first: datetime, last: datetime) -> Iterator[Fact]:
    """The batches that hold something of a period, a page at a time: no statement lasts long, nothing is held open."""
    params: dict[str, Any] = {"first": first, "last": last, "xid": "0", "id": 0, "most": MOST_FACTS}
    while True:
        page = rows(
            conn,
            f"""select id, xid::text::bigint as xid, rows, first_ts, last_ts from ingest.batch b
                where (b.xid, b.id) > (%(xid)s::text::xid8, %(id)s) and {_OF_PERIOD}
                order by b.xid, b.id limit %(most)s""",
            params,
        )
        yield from page
        if len(page) < MOST_FACTS:
            return
        params |= {"xid": str(page[-1]["xid"]), "id": page[-1]["id"]}


def _groups(facts: Iterable[Fact], bounds: Sequence[Position]) -> Iterator[tuple[list[Fact], bool]]:
    """Cut after the first batch of a day of event time (True: the fleet learns there, as live does), where a reset
    becomes known (`bounds`, ascending), and where there is enough for once."""
    some: list[Fact] = []
    count = day = passed = 0
    for fact in facts:
        at, before = Position(fact["xid"], fact["id"]), passed
        while passed < len(bounds) and bounds[passed] < at:
            passed += 1
        if some and (passed > before or count + fact["rows"] > MOST_ROWS or len(some) >= MOST_FACTS):
            yield some, False
            some, count = [], 0
        some.append(fact)
        count += fact["rows"]
        its = (fact["last_ts"] - EPOCH) // timedelta(days=1) if fact["last_ts"] is not None else 0
        if its > day:
            day = its
            yield some, True
            some, count = [], 0
    if some:
        yield some, False


def _within(block: Block, first: int, last: int) -> Block:
    inside = (block.ts >= first) & (block.ts <= last)
    return block if inside.all() else block.take(np.flatnonzero(inside))
