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
    """The faults that engineers found in a period (reports.failure). One that was prevented counts from when its
    order was opened."""
    found = rows(
        conn,
        """select device_id, model, failure_mode, case kind when 'breakdown' then fault_at else opened_at end as at,
                  repaired_at
           from reports.failure
           where failure_mode is not null and repaired_at is not null and opened_at >= %s and opened_at < %s
           order by opened_at, order_id""",
        (start, end),
    )
    return [Failure(**row) for row in found]


def devices(conn: Conn) -> int:
    """How many devices are watched."""
    found: int = scalar(conn, "select count(*) from reports.device where status <> 'revoked'")
    return found
