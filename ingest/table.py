"""New rows into the telemetry table: its chunk is made first, run-hours are asked for before and counted meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from psycopg import errors

from ingest import copying, facts, new_hours, run_hours, storage
from ingest.facts import Told
from ingest.rows import Block
from kit.database import Conn


class New(NamedTuple):
    """What rows that were new say of their devices and of run-hours."""

    told: Told
    hours: run_hours.Counted | None


class Table:
    """The table as one writer knows it: which chunks are there."""

    def __init__(self) -> None:
        self._chunks: set[int] = set()

    def forget(self) -> None:
        """A transaction was undone."""
        self._chunks.clear()

    def insert(
        self,
        conn: Conn,
        blocks: Sequence[Block],
        batch_id: int,
        untouched: bool,
        meanwhile: Callable[[], None],
    ) -> New:
        """Store the rows that are not stored yet; returns what those say.

        Args:
            untouched: nothing has been written since the savepoint `meantime_write`.
            meanwhile: called once, when PostgreSQL has rows to store.
        """
        wanted = {n for block in blocks for n in storage.chunks_of(block.ts)}
        if not wanted <= self._chunks:
            storage.ensure(conn, sorted(wanted - self._chunks))
            untouched = False
        blocks = sorted((block for block in blocks if len(block)), key=lambda block: block.layout.shape_id)
        if not blocks:
            return New(facts.NOTHING, None)
        point, known = _point(conn, blocks, untouched)
        expected: list[New] = []

        def waiting() -> None:
            expected.append(_said(blocks, known))  # usually all of them are new
            meanwhile()

        try:
            new = copying.insert(conn, blocks, batch_id, point, waiting)
        except (
            errors.CheckViolation
        ):  # retention dropped a partition that was there: hold the table, make it again
            conn.execute(f"rollback to savepoint {point}")
            conn.execute("lock table ingest.telemetry in row exclusive mode")
            storage.ensure(conn, sorted(wanted))
            conn.execute("savepoint meantime_copy")
            new = copying.insert(conn, blocks, batch_id, "meantime_copy")
        self._chunks |= wanted
        if expected and sum(map(len, new)) == expected[0].told.rows:
            return expected[0]
        return _said(new, known)


def _said(rows: Sequence[Block], known: run_hours.Known | None) -> New:
    return New(facts.told(rows), new_hours.counted(rows, known))


def _point(
    conn: Conn, blocks: Sequence[Block], untouched: bool
) -> tuple[copying.Point, run_hours.Known | None]:
    """The savepoint to return to when a row turns out to be there already; and what is known of the run-hours, which
    stays locked."""
    if untouched and all(block.layout.hours is None for block in blocks):
        return "meantime_write", None
    with conn.pipeline():
        asked = new_hours.ask(conn, blocks)
        conn.execute("savepoint meantime_copy")
    return "meantime_copy", run_hours.known(asked) if asked is not None else None
