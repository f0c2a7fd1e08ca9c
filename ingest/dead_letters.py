"""Messages that could not be used: list them, replay them after a fix, purge them; and the quarantine of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from ingest.message import Arrival
from ingest.reasons import REASONS
from ingest.store import Store, Written
from kit.database import Conn, one, rows
from kit.errors import NotFound

_KEPT = (
    ("dead_letter", "received_at"), ("quarantine", "received_at"), ("unknown_device", "last_seen")
)  # fmt: skip


@dataclass(frozen=True)
class Replayed:
    """How a replay went: letters stored now, and those refused again by id with the reason; `last` is the greatest id
    that was looked at, None when there was nothing left."""

    stored: list[int]
    refused: dict[int, str]
    last: int | None = None


def listing(
    conn: Conn,
    *,
    reason: str | None = None,
    uid: str | None = None,
    replayed: bool | None = False,
    before: int | None = None,
    limit: int = 200,
) -> list[dict[str, Any]]:
    """Dead letters, the latest first, with the reason in words; `before` is the last id of the page before,
    `replayed` None gives both those waiting and those done."""
    found = rows(
        conn,
        """select * from ingest.dead_letter
           where (%(reason)s::text is null or reason = %(reason)s) and (%(uid)s::text is null or device_uid = %(uid)s)
             and (%(replayed)s::bool is null or (replayed_at is not null) = %(replayed)s)
             and (%(before)s::bigint is null or id < %(before)s)
           order by id desc limit %(limit)s""",
        {"reason": reason, "uid": uid, "replayed": replayed, "before": before, "limit": limit},
    )
    return [_in_words(row) for row in found]


def letter(conn: Conn, number: int) -> dict[str, Any]:
    """One dead letter with its payload.

    Raises:
        NotFound: there is none with that id.
    """
    found = one(conn, "select * from ingest.dead_letter where id = %s", (number,))
    if found is None:
        raise NotFound(f"There is no dead letter {number}; `dead-letters list` shows those that wait.")
    return _in_words(found)


def quarantine(
    conn: Conn,
    *,
    reason: str | None = None,
    uid: str | None = None,
    before: int | None = None,
    limit: int = 200,
) -> list[dict[str, Any]]:
    """Refused values, the latest first, with the reason in words."""
    found = rows(
        conn,
        """select q.*, d.uid, d.model from ingest.quarantine q join ingest.device d on d.id = q.device_id
           where (%(reason)s::text is null or q.reason = %(reason)s) and (%(uid)s::text is null or d.uid = %(uid)s)
             and (%(before)s::bigint is null or q.id < %(before)s)
           order by q.id desc limit %(limit)s""",
        {"reason": reason, "uid": uid, "before": before, "limit": limit},
    )
    return [_in_words(row) for row in found]


def replay(
    conn: Conn, which: Sequence[int] | str, store: Store, *, limit: int = 1000, after: int = 0
) -> Replayed:
    """Take letters in again, by id or by reason (oldest first); in the caller's transaction. What is refused again
    stays as it is; what is stored is marked, not deleted. A payload that was cut when it was kept is refused.

    Args:
        limit: most letters at once.
        after: the `last` of the call before: so that letters that are refused again do not hide those behind them.
    """
    letters = rows(
        conn,
        """select * from ingest.dead_letter
           where replayed_at is null and id > %(after)s and (id = any(%(ids)s::bigint[]) or reason = %(reason)s)
           order by id limit %(limit)s for update""",
        {
            "ids": [] if isinstance(which, str) else list(which),
            "reason": which if isinstance(which, str) else None,
            "limit": limit,
            "after": after,
        },
    )
    done = Replayed([], {}, letters[-1]["id"] if letters else None)
    whole = []
    for letter in letters:
        if letter["size"] > len(letter["payload"]):
            done.refused[letter["id"]] = "oversized"
        else:
            whole.append(letter)
    _take(conn, store, whole, done)
    conn.execute("update ingest.dead_letter set replayed_at = kit.now() where id = any(%s)", (done.stored,))
    return done


def _take(conn: Conn, store: Store, letters: list[dict[str, Any]], done: Replayed) -> None:
    """All at once when they are all fine, else halves, down to the single ones."""
    if not letters:
        return
    with conn.transaction() as attempt:
        written = store.write(conn, [_arrival(letter) for letter in letters])
        reason = _whole(written)
        if reason is None:
            done.stored.extend(letter["id"] for letter in letters)
            return
        store.rolled_back()
        if len(letters) == 1:
            done.refused[letters[0]["id"]] = reason
        attempt.force_rollback = True
    if len(letters) > 1:
        middle = len(letters) // 2
        _take(conn, store, letters[:middle], done)
        _take(conn, store, letters[middle:], done)


def _arrival(letter: dict[str, Any]) -> Arrival:
    return Arrival(
        letter["topic"], letter["payload"], letter["device_uid"], letter["client_id"], letter["received_at"]
    )


def _whole(written: Written) -> str | None:
    """A reason for which a whole message was refused, or None."""
    return next((code for code in written.refused if REASONS[code].scope == "message"), None)


def purge(
    conn: Conn, *, before: datetime | None = None, reason: str | None = None, ids: Sequence[int] = ()
) -> int:
    """Delete letters received before a time and of a reason (both optional), or by id; returns how many."""
    by_rule = before is not None or reason is not None
    return conn.execute(
        """delete from ingest.dead_letter
           where id = any(%(ids)s::bigint[]) or (%(by_rule)s
                 and (%(before)s::timestamptz is null or received_at < %(before)s)
                 and (%(reason)s::text is null or reason = %(reason)s))""",
        {"ids": list(ids), "by_rule": by_rule, "before": before, "reason": reason},
    ).rowcount


def prune(conn: Conn, keep: timedelta, most: int = 10_000) -> int:
    """Forget dead letters, quarantined values and unknown devices of longer ago than `keep`, at most so many of each;
    returns how many went. A device that sends rubbish for years must not fill the disk."""
    return sum(
        conn.execute(
            sql.SQL(
                """delete from ingest.{table} where ctid = any(array(
                       select ctid from ingest.{table} where {time} < kit.now() - %s limit %s))"""
            ).format(table=sql.Identifier(table), time=sql.Identifier(time)),
            (keep, most),
        ).rowcount
        for table, time in _KEPT
    )


def _in_words(row: dict[str, Any]) -> dict[str, Any]:
    reason = REASONS.get(row["reason"])
    texts = (reason.text_en, reason.text_zh) if reason else (row["reason"], row["reason"])
    return row | dict(zip(("reason_en", "reason_zh"), texts, strict=True))
