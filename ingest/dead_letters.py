"""Messages that could not be used: list them, replay them after a fix, purge them; and the quarantine of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.message import Arrival
from ingest.reasons import REASONS
from ingest.store import Store, Written
from kit.database import Conn, rows


@dataclass(frozen=True)
class Replayed:
    """How a replay went: letters stored now, and those refused again by id with the reason."""

    stored: list[int]
    refused: dict[int, str]


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


def replay(conn: Conn, which: Sequence[int] | str, store: Store, *, limit: int = 1000) -> Replayed:
    """Take letters in again, by id or by reason (oldest first); in the caller's transaction. What is refused again
    stays as it is; what is stored is marked, not deleted. A payload that was cut when it was kept is refused."""
    letters = rows(
        conn,
        """select * from ingest.dead_letter
           where replayed_at is null and (id = any(%(ids)s::bigint[]) or reason = %(reason)s)
           order by id limit %(limit)s for update""",
        {
            "ids": [] if isinstance(which, str) else list(which),
            "reason": which if isinstance(which, str) else None,
            "limit": limit,
        },
    )
    done = Replayed([], {})
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


def _in_words(row: dict[str, Any]) -> dict[str, Any]:
    reason = REASONS.get(row["reason"])
    texts = (reason.text_en, reason.text_zh) if reason else (row["reason"], row["reason"])
    return row | dict(zip(("reason_en", "reason_zh"), texts, strict=True))
