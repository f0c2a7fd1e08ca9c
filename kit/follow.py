"""Following an append-only fact table: position and effects commit together, nothing is skipped or done twice.

A fact table has `id bigint generated always as identity` and `xid xid8 not null default pg_current_xact_id()`,
and an index on (xid, id). Following by id alone would skip rows of transactions that took a lower id but committed
later; so facts are read in the order (xid, id), and only below the oldest transaction still running.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from kit import logs
from kit.database import Conn

log = logs.get(__name__)
Handler = Callable[[Conn, list[dict[str, Any]]], None]


@dataclass(frozen=True)
class Follower:
    """One reader of one fact table.

    Attributes:
        name: unique; names the position in `kit.follower`.
        source: `schema.table`.
        handle: called with the connection of the transaction and the next facts, oldest first, as dicts.
        limit: most facts in one transaction.
        where: an extra SQL condition on the facts (they are passed over for good).
    """

    name: str
    source: str
    handle: Handler
    limit: int = 500
    where: LiteralString = "true"


def position(conn: Conn, follower: Follower) -> tuple[str, int]:
    """Take the follower's lock and return its position; waits while another process holds it."""
    conn.execute(
        "insert into kit.follower (name, source) values (%s, %s) on conflict do nothing",
        (follower.name, follower.source),
    )
    found = conn.execute(
        "select xid::text, id from kit.follower where name = %s for update", (follower.name,)
    ).fetchone()
    assert found is not None
    return found[0], found[1]


def pending(conn: Conn, follower: Follower, at: tuple[str, int], limit: int) -> list[dict[str, Any]]:
    """The next facts after a position that no running transaction can still precede."""
    query = sql.SQL(
        """select * from {source}
           where (xid, id) > (%s::xid8, %s) and xid < pg_snapshot_xmin(pg_current_snapshot()) and ({where})
           order by xid, id limit %s"""
    ).format(source=sql.Identifier(*follower.source.split(".")), where=sql.SQL(follower.where))
    return conn.cursor(row_factory=dict_row).execute(query, (*at, limit)).fetchall()


def advance(conn: Conn, follower: Follower, fact: dict[str, Any]) -> None:
    """Record that everything up to and including `fact` is done."""
    conn.execute(
        "update kit.follower set xid = %s::xid8, id = %s, updated_at = clock_timestamp() where name = %s",
        (str(fact["xid"]), fact["id"], follower.name),
    )


def skip_to_end(conn: Conn, follower: Follower) -> None:
    """Leave everything committed so far behind, unhandled."""
    position(conn, follower)
    conn.execute(
        sql.SQL(
            """update kit.follower f set (xid, id) = (
                   select coalesce(max(last.xid), f.xid), coalesce(max(last.id), f.id)
                   from (select xid, id from {} order by xid desc, id desc limit 1) last)
               where f.name = %s"""
        ).format(sql.Identifier(*follower.source.split("."))),
        (follower.name,),
    )


def step(conn: Conn, follower: Follower) -> int:
    """Handle the next facts in one transaction. Returns how many; 0 means caught up.

    When the handler fails on several facts they are tried one by one; a single fact that fails is set aside in
    `kit.failed_fact`, reported, and left behind. A lost connection or a deadlock is raised: nothing has happened.
    """
    try:
        return _step(conn, follower, follower.limit)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a handler raises, the stream goes on
        log.warning("batch failed, trying one by one", follower=follower.name, error=repr(error))
    return _step_singly(conn, follower)


def _step(conn: Conn, follower: Follower, limit: int) -> int:
    with conn.transaction():
        facts = pending(conn, follower, position(conn, follower), limit)
        if facts:
            follower.handle(conn, facts)
            advance(conn, follower, facts[-1])
    return len(facts)


def _step_singly(conn: Conn, follower: Follower) -> int:
    for done in range(follower.limit):
        try:
            if not _step(conn, follower, 1):
                return done
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001
            _set_aside(conn, follower, error)
    return follower.limit


def _set_aside(conn: Conn, follower: Follower, error: Exception) -> None:
    with conn.transaction():
        facts = pending(conn, follower, position(conn, follower), 1)
        if not facts:
            return
        fact = facts[0]
        conn.execute(
            """insert into kit.failed_fact (follower, xid, id, error) values (%s, %s::xid8, %s, %s)
               on conflict (follower, xid, id) do update set error = excluded.error, failed_at = excluded.failed_at""",
            (follower.name, str(fact["xid"]), fact["id"], repr(error)),
        )
        advance(conn, follower, fact)
    log.error("fact set aside", follower=follower.name, id=fact["id"], error=repr(error), exc_info=error)


def catch_up(conn: Conn, followers: list[Follower], *, deadline: float = 60.0) -> int:
    """Step all followers until none has anything left. For seeds, replays and tests.

    Raises:
        TimeoutError: they had not caught up within `deadline` seconds.
    """
    end, total = time.monotonic() + deadline, 0
    while done := sum(step(conn, follower) for follower in followers):
        total += done
        if time.monotonic() > end:
            raise TimeoutError(f"still {done} facts a round after {deadline} s")
    return total
