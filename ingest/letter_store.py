"""How much the dead letters take, and the bound of it: beyond it the oldest are forgotten.

Bytes are those of the rows with their index entries, payloads as compressed as they are stored. The table's files hold
more for a while: PostgreSQL gives the room of deleted rows to new ones, not back to the disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.database import Conn, one, scalar

# Nothing here reads a payload that lies beside its row: its size is known from the row. 130: header, numbers, times,
# door and reason, and the entries in two indexes.
_BYTES = "pg_column_size(payload) + octet_length(topic) + octet_length(detail) + 130"
FORGOTTEN = "forgotten_dead_letters"


@dataclass(frozen=True, slots=True)
class Stored:
    """Dead letters and their bytes."""

    letters: int
    bytes: int


def measure(conn: Conn) -> Stored:
    """All that are kept, replayed or not; reads every row, a second or so for a gigabyte."""
    found = conn.execute(f"select count(*), coalesce(sum({_BYTES}), 0)::bigint from ingest.dead_letter")
    letters, taken = found.fetchall()[0]
    return Stored(letters, taken)


def forget(conn: Conn, excess: int, most: int = 10_000) -> Stored:
    """Delete the oldest letters until `excess` bytes have gone, at most so many letters, and count them in the totals;
    returns what went. Those that somebody replays or deletes at the moment are left alone."""
    found = conn.execute(
        f"""with oldest as (
                select id, bytes, sum(bytes) over (order by id) - bytes as before
                from (select id, {_BYTES} as bytes from ingest.dead_letter order by id
                      limit %(most)s for update skip locked) first
            ), gone as (
                delete from ingest.dead_letter d using oldest o
                where d.id = o.id and o.before < %(excess)s returning o.bytes
            ) select count(*), coalesce(sum(bytes), 0)::bigint from gone""",
        {"excess": excess, "most": most},
    )
    letters, taken = found.fetchall()[0]
    if letters:
        conn.execute(
            """insert into ingest.total as t (door, name, value) values ('storage', %s, %s)
               on conflict (door, name) do update set value = t.value + excluded.value""",
            (FORGOTTEN, letters),
        )
    return Stored(letters, taken)


def note(conn: Conn, stored: Stored, most: int) -> None:
    """Write down what is kept now, and the most bytes that may be, for those who watch."""
    conn.execute(
        """insert into ingest.dead_letter_store (letters, bytes, most) values (%s, %s, %s)
           on conflict (one) do update set letters = excluded.letters, bytes = excluded.bytes, most = excluded.most,
               measured_at = excluded.measured_at""",
        (stored.letters, stored.bytes, most),
    )


def status(conn: Conn) -> dict[str, int | None]:
    """Letters and bytes now, the bound as the storage worker has it (None: it has never run), and how many were ever
    forgotten for it."""
    now = measure(conn)
    bound = one(conn, "select most from ingest.dead_letter_store")
    return {
        "dead_letters": now.letters,
        "dead_letter_bytes": now.bytes,
        "dead_letter_bytes_most": bound["most"] if bound is not None else None,
        "dead_letters_forgotten": scalar(
            conn,
            "select coalesce((select value from ingest.total where door = 'storage' and name = %s), 0)",
            (FORGOTTEN,),
        ),
    }
