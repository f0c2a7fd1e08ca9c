"""What the honesty of alarms is worked out from. SQL over the schema `reports`; never commits."""

from __future__ import annotations

from datetime import datetime

from analytics.honesty.scores import Failure, Raise
from kit.database import Conn, rows, scalar


def raises(conn: Conn, start: datetime, end: datetime) -> list[Raise]:
    """The raises of a period (reports.alarm_honesty)."""
    found = rows(
        conn,
        """select device_id, model, rule, failure_mode, score, raised_at, cleared_at, order_id, verdict,
                  lead_hours::float8 as lead_hours
           from reports.alarm_honesty where raised_at >= %s and raised_at < %s order by raised_at, detection_id""",
        (start, end),
    )
    return [Raise(**row) for row in found]


def failures(conn: Conn, start: datetime, end: datetime) -> list[Failure]:
    """The faults that engineers found in a period (reports.failure). One that was prevented would have come later: an
    alarm up to its repair has announced it, also by a rule that joined an order of another."""
    found = rows(
        conn,
        """select device_id, model, failure_mode, case kind when 'breakdown' then fault_at else repaired_at end as at,
                  repaired_at
           from reports.failure
           where failure_mode is not null and repaired_at is not null and opened_at >= %s and opened_at < %s
           order by opened_at, order_id""",
        (start, end),
    )
    return [Failure(**row) for row in found]


def devices(conn: Conn, model: str | None = None) -> int:
    """How many devices are watched (of a type)."""
    found: int = scalar(
        conn,
        """select count(*) from reports.device
           where status <> 'revoked' and (%(model)s::text is null or model = %(model)s)""",
        {"model": model},
    )
    return found


def daily(conn: Conn, start: datetime, end: datetime, model: str | None = None) -> list[tuple[datetime, int]]:
    """(day of UTC, raises that call for somebody) of every day of a period."""
    return conn.execute(
        """select d.day, count(h.detection_id)
           from generate_series(date_trunc('day', %(start)s::timestamptz), %(end)s, interval '1 day') d(day)
           left join reports.alarm_honesty h on h.raised_at >= d.day and h.raised_at < d.day + interval '1 day'
                and h.raised_at >= %(start)s and h.raised_at < %(end)s and h.verdict <> 'information'
                and (%(model)s::text is null or h.model = %(model)s)
           group by 1 order by 1""",
        {"start": start, "end": end, "model": model},
    ).fetchall()  # fmt: skip
