"""How far each partition of the log is stored. First argument the connection; never commits."""

from __future__ import annotations

from collections.abc import Sequence

from kit.database import Conn

# Channel by which storage workers reach the doors: "<topic> <payload, base64>", to be published to an edge node.
COMMANDS = "ingest.command"


def load(conn: Conn, log: str) -> dict[int, int]:
    """partition → offset of the last record whose rows are committed."""
    found = conn.execute('select partition, "offset" from ingest.log_offset where log = %s', (log,))
    return dict(found.fetchall())


def move(conn: Conn, moves: Sequence[tuple[str, int, int]]) -> None:
    """(log, partition, offset): these records are stored with this transaction. Never backwards."""
    last = {(log, partition): offset for log, partition, offset in moves}
    conn.execute(
        """insert into ingest.log_offset as o (log, partition, "offset")
           select * from unnest(%s::text[], %s::int[], %s::bigint[])
           on conflict (log, partition) do update set moved_at = clock_timestamp(),
               "offset" = greatest(o."offset", excluded."offset")""",
        ([log for log, _ in last], [partition for _, partition in last], list(last.values())),
    )
