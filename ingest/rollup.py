"""Hourly rollups, counted again from the stored rows for every hour that a write has marked.

Marks are runs of hours within a day, append-only, and each is deleted before its hours are read, in two statements
of one READ COMMITTED transaction: a write that commits in between leaves its own mark. Counting an hour twice gives
the same row.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kit.database import Conn

Run = tuple[int, datetime, datetime]  # device, first hour, last hour

_LOCK = 0x4D54_524C  # one rollup at a time: an older count must not overwrite a newer one


def step(conn: Conn, limit: int = 5_000) -> int:
    """Count again the hours of up to `limit` marks, in the caller's transaction (READ COMMITTED); returns how many
    were taken, 0 when nothing is left."""
    conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    taken = conn.execute(
        """delete from ingest.rollup_dirty where ctid = any(array(select ctid from ingest.rollup_dirty limit %s))
           returning device_id, first, last""",
        (limit,),
    ).fetchall()
    if taken:
        _count(conn, merged(taken))
    return len(taken)


def merged(runs: Iterable[Run]) -> list[Run]:
    """Runs of hours (device, first, last) without overlap: an hour must not be counted twice in one statement."""
    found: list[Run] = []
    for device, first, last in sorted(runs):
        if found and found[-1][0] == device and first <= found[-1][2]:
            found[-1] = device, found[-1][1], max(last, found[-1][2])
        else:
            found.append((device, first, last))
    return found


def _count(conn: Conn, runs: list[Run]) -> None:
    """Rows never get fewer except by retention: an hour whose raw rows are gone keeps its rollup."""
    conn.execute(
        """insert into ingest.reading_hour as h (device_id, metric, bucket, n, mean, low, high, first, last)
           select u.device, v.name, t.bucket, count(*), avg(v.value), min(v.value), max(v.value),
                  (array_agg(v.value order by t.ts, t.seq))[1], (array_agg(v.value order by t.ts desc, t.seq desc))[1]
           from unnest(%b::int[], %b::timestamptz[], %b::timestamptz[]) as u(device, first, last)
           cross join lateral (
               select date_bin('1 hour', ts, timestamptz '1970-01-01 00:00+00') as bucket, ts, seq, shape_id, "values"
               from ingest.telemetry
               where device_id = u.device and ts >= u.first and ts < u.last + interval '1 hour' offset 0) t
           join ingest.shape s on s.id = t.shape_id
           cross join lateral unnest(s.metrics, t."values") as v(name, value)
           where v.value <> 'NaN'
           group by u.device, v.name, t.bucket
           order by u.device, v.name, t.bucket
           on conflict (device_id, metric, bucket) do update set n = excluded.n, mean = excluded.mean,
               low = excluded.low, high = excluded.high, first = excluded.first, last = excluded.last
           where excluded.n >= h.n""",
        [list(column) for column in zip(*runs, strict=True)],
    )
