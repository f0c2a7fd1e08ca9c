"""What came in, what was refused, and how the doors are."""

from __future__ import annotations

from typing import Any

from api.messages import chinese
from ingest.reasons import REASONS
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
        row |= _in_words(row)
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
        """select q.id, d.uid as device_uid, q.ts, q.item, q.value, q.reason, q.detail, q.received_at,
                  m.name_en as item_en, m.name_zh as item_zh
           from ingest.quarantine q join ingest.device d on d.id = q.device_id
           left join ingest.metric m on m.model = d.model and m.name = q.item
           where %(after)s::bigint is null or q.id < %(after)s order by q.id desc limit %(limit)s + 1""",
        {"after": after, "limit": limit},
    )
    page = [row | _in_words(row) for row in found[:limit]]
    return page, page[-1]["id"] if len(found) > limit else None


def _in_words(row: dict[str, Any]) -> dict[str, str]:
    """Reason and detail as people read them; a reason that this version does not know stays a code."""
    known = REASONS.get(row["reason"])
    return {
        "reason_en": known.text_en if known else row["reason"], "reason_zh": known.text_zh if known else row["reason"],
        "detail_en": row["detail"], "detail_zh": chinese(row["detail"]),
    }  # fmt: skip


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
    """The process family: how long ago each beat (seconds of the wall clock), what it says of itself, whether it is
    alive, and if not, whether it is missed (`kit/sql/always/0000_processes.sql`)."""
    return rows(
        conn,
        "select name, pid, started_at, beat_at, detail, age_seconds, alive, missed from kit.process_seen order by name",
    )


def followers(conn: Conn) -> list[dict[str, Any]]:
    """How far each follower has come."""
    return rows(conn, "select name, source, xid::text, id, updated_at from kit.follower order by name")
