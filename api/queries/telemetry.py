"""Readings of one metric over a period: raw while they are few, else hourly, for weeks from the raw rows (which are
always complete), for longer from the rollup and what it does not hold yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from kit.database import Conn, rows
from kit.errors import Invalid

RAW_UP_TO: Final = timedelta(hours=25)
HOURS_FROM_RAW_UP_TO: Final = timedelta(days=31)
MOST_RAW: Final = 20_000


def series(
    conn: Conn, device_id: int, metric: str, start: datetime, end: datetime, *, level: str = "auto"
) -> dict[str, Any]:
    """`{"metric", "level", "points": [{"ts", "value", "low", "high", "n"}]}`, oldest first.

    An hour's point stands at its middle.

    Raises:
        Invalid: the period is empty.
    """
    if end <= start:
        raise Invalid("`to` must be later than `from`")
    chosen = ("raw" if end - start <= RAW_UP_TO else "hour") if level == "auto" else level
    points = (
        _raw(conn, device_id, metric, start, end)
        if chosen == "raw"
        else _hours(conn, device_id, metric, start, end)
    )
    return {"metric": metric, "level": chosen, "points": points}


def _raw(conn: Conn, device_id: int, metric: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    return rows(
        conn,
        """select ts, value, value as low, value as high, 1 as n from (
               select t.ts, t.seq, t."values"[array_position(s.metrics, %(metric)s)] as value
               from ingest.telemetry t join ingest.shape s on s.id = t.shape_id
               where t.device_id = %(device)s and t.ts >= %(start)s and t.ts < %(end)s
                 and %(metric)s = any(s.metrics)) found
           where value is not null and value <> 'NaN' order by ts, seq limit %(most)s""",
        {"device": device_id, "metric": metric, "start": start, "end": end, "most": MOST_RAW},
    )


def _hours(conn: Conn, device_id: int, metric: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    return rows(
        conn,
        """with rolled as (
               select bucket, n, mean, low, high from ingest.reading_hour
               where %(rolled)s and device_id = %(device)s and metric = %(metric)s
                 and bucket >= %(start)s and bucket < %(end)s
           ), tail as (  -- what came after the newest rollup
               select date_bin('1 hour', t.ts, 'epoch') as bucket, count(*)::int as n, avg(value) as mean,
                      min(value) as low, max(value) as high
               from ingest.telemetry t join ingest.shape s on s.id = t.shape_id
               cross join lateral (select t."values"[array_position(s.metrics, %(metric)s)] as value) picked
               where t.device_id = %(device)s and t.ts < %(end)s and value is not null and value <> 'NaN'
                 and t.ts >= coalesce((select max(bucket) + interval '1 hour' from rolled), %(start)s)
               group by 1
           )
           select bucket + interval '30 minutes' as ts, mean as value, low, high, n
           from (select * from rolled union all select * from tail) both_of_them order by bucket""",
        {"device": device_id, "metric": metric, "start": start, "end": end,
         "rolled": end - start > HOURS_FROM_RAW_UP_TO},
    )  # fmt: skip


def detections(
    conn: Conn, device_id: int, metric: str, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Findings in the period that this metric drove: when, and its baseline and limit then."""
    return rows(
        conn,
        """select n.id, n.ts, n.kind, n.rule, n.failure_mode, n.severity, (d.item ->> 'value')::float8 as value,
                  (d.item ->> 'baseline')::float8 as baseline, (d.item ->> 'limit')::float8 as limit
           from analytics.detection n
           cross join lateral jsonb_array_elements(coalesce(n.evidence -> 'drivers', '[]')) as d(item)
           where n.device_id = %s and n.ts >= %s and n.ts < %s and d.item ->> 'metric' = %s and n.kind = 'raise'
           order by n.ts""",
        (device_id, start, end, metric),
    )
