"""What came in, what was refused, and how the doors are."""

from __future__ import annotations

from typing import Any

from kit.database import Conn, one, rows


def dead_letters(
    conn: Conn, *, reason: str = "", replayed: bool | None = None, limit: int = 50, after: int | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """Messages that could not be used, newest first; the payload as text where it is text."""
    found = rows(
        conn,
        """select id, door, topic, client_id, device_uid, size, reason, detail, received_at, replayed_at, payload
           from ingest.dead_letter
           where (%(reason)s = '' or reason = %(reason)s) and (%(after)s::bigint is null or id < %(after)s)
             and (%(replayed)s::boolean is null or (replayed_at is not null) = %(replayed)s)
           order by id desc limit %(limit)s + 1""",
        {"reason": reason, "after": after, "replayed": replayed, "limit": limit},
    )
    for row in found:
        row["payload"] = bytes(row["payload"])[:2000].decode("utf-8", "replace")
    page = found[:limit]
    return page, page[-1]["id"] if len(found) > limit else None


def dead_letter_reasons(conn: Conn) -> list[dict[str, Any]]:
    """How many wait for each reason."""
    return rows(
        conn,
        """select reason, count(*) as count, max(received_at) as newest from ingest.dead_letter
           where replayed_at is null group by reason order by count(*) desc""",
    )


def quarantine(
    conn: Conn, *, limit: int = 50, after: int | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """Single values that were refused while the rest of their message was stored."""
    found = rows(
        conn,
        """select q.id, d.uid as device_uid, q.ts, q.item, q.value, q.reason, q.detail, q.received_at
           from ingest.quarantine q join ingest.device d on d.id = q.device_id
           where %(after)s::bigint is null or q.id < %(after)s order by q.id desc limit %(limit)s + 1""",
        {"after": after, "limit": limit},
    )
    page = found[:limit]
    return page, page[-1]["id"] if len(found) > limit else None


def unknown_devices(conn: Conn) -> list[dict[str, Any]]:
    """Uids that knocked without being provisioned."""
    return rows(
        conn,
        """select uid, door, first_seen, last_seen, messages, last_topic from ingest.unknown_device
           order by last_seen desc limit 500""",
    )


def totals(conn: Conn) -> list[dict[str, Any]]:
    """Counters that survive purges."""
    return rows(conn, "select door, name, value from ingest.total order by door, name")


def batches(conn: Conn) -> dict[str, Any]:
    """The last minute's throughput (wall clock) and the newest commit."""
    found = one(
        conn,
        """select count(*) as batches, coalesce(sum(messages), 0) as messages, coalesce(sum(readings), 0) as readings,
                  coalesce(sum(duplicates), 0) as duplicates, max(committed_at) as newest
           from (select * from ingest.batch order by id desc limit 5000) recent
           where committed_at > clock_timestamp() - interval '1 minute'""",
    )
    assert found is not None
    return found


def processes(conn: Conn) -> list[dict[str, Any]]:
    """The process family: how long ago each beat (seconds of the wall clock), and what it says of itself."""
    return rows(
        conn,
        """select name, pid, started_at, beat_at, detail,
                  extract(epoch from clock_timestamp() - beat_at)::float8 as age_seconds
           from kit.process order by name""",
    )


def followers(conn: Conn) -> list[dict[str, Any]]:
    """How far each follower has come."""
    return rows(conn, "select name, source, xid::text, id, updated_at from kit.follower order by name")
