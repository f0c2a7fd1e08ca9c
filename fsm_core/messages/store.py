"""The outbox and the alarms in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fsm_core.messages.rules import render
from kit.database import Conn, rows, scalar


def enqueue(
    conn: Conn,
    *,
    key: str,
    channel: str,
    recipient: str,
    language: str,
    template: str,
    values: Mapping[str, object],
    at: datetime,
    order_id: int | None = None,
) -> bool:
    """Put one message into the outbox; False when this news (`key`) was told before."""
    subject, body = render(template, language, values)
    return bool(
        scalar(
            conn,
            """insert into fsm.message (key, channel, recipient, language, template, subject, body, order_id,
                   created_at, next_try_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
               on conflict (key) do nothing returning id""",
            (key, channel, recipient, language, template, subject, body, order_id, at, at),
        )
    )


def due(conn: Conn, now: datetime, limit: int) -> list[dict[str, Any]]:
    """Messages to deliver now, locked; another worker's are skipped."""
    return rows(
        conn,
        """select id, channel, recipient, language, template, subject, body, attempts from fsm.message
           where state = 'queued' and next_try_at <= %s order by id limit %s for update skip locked""",
        (now, limit),
    )


def settle(
    conn: Conn, message_id: int, *, sent_at: datetime | None, error: str | None, next_try_at: datetime | None
) -> None:
    """What became of an attempt: sent, to be tried again, or given up."""
    state = "sent" if sent_at is not None else "failed" if next_try_at is None else "queued"
    conn.execute(
        """update fsm.message set state = %s, attempts = attempts + 1, sent_at = %s, error = %s,
               next_try_at = coalesce(%s, next_try_at) where id = %s""",
        (state, sent_at, error, next_try_at, message_id),
    )


def listing(
    conn: Conn, *, order_id: int | None = None, recipient: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Messages, newest first."""
    return rows(
        conn,
        """select id, channel, recipient, language, template, subject, body, order_id, state, attempts, error,
               created_at, sent_at from fsm.message
           where (%(order)s::bigint is null or order_id = %(order)s)
             and (%(recipient)s::text is null or recipient = %(recipient)s)
           order by id desc limit %(limit)s""",
        {"order": order_id, "recipient": recipient, "limit": limit},
    )


def add_alarm(
    conn: Conn,
    *,
    key: str,
    kind: str,
    severity: int,
    texts: tuple[str, str],
    at: datetime,
    order_id: int | None = None,
) -> int | None:
    """Raise an alarm once per `key`; its id, or None when it had been raised before."""
    found: int | None = scalar(
        conn,
        """insert into fsm.alarm (key, kind, order_id, severity, text_en, text_zh, raised_at)
           values (%s, %s, %s, %s, %s, %s, %s) on conflict (key) do nothing returning id""",
        (key, kind, order_id, severity, *texts, at),
    )
    return found


def alarms(conn: Conn, *, unacknowledged: bool = True, limit: int = 100) -> list[dict[str, Any]]:
    """Alarms, newest first."""
    return rows(
        conn,
        """select id, kind, order_id, severity, text_en, text_zh, raised_at, acknowledged_at, acknowledged_by
           from fsm.alarm where acknowledged_at is null or not %s order by raised_at desc, id desc limit %s""",
        (unacknowledged, limit),
    )
