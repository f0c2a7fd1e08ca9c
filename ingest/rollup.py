"""Hourly rollups, counted again from the stored rows for every hour that a write has marked.

Marks are append-only and each is deleted before its hour is read, in two statements of one READ COMMITTED
transaction: a write that commits in between leaves its own mark. Counting an hour twice gives the same row.
"""

from __future__ import annotations

from kit.database import Conn

_LOCK = 0x4D54_524C  # one rollup at a time: an older count must not overwrite a newer one


def step(conn: Conn, limit: int = 20_000) -> int:
    """Count again up to `limit` marked hours, in the caller's transaction (READ COMMITTED); returns how many marks
    were taken, 0 when nothing is left."""
    conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    taken = conn.execute(
        """delete from ingest.rollup_dirty where ctid = any(array(select ctid from ingest.rollup_dirty limit %s))
           returning device_id, bucket""",
        (limit,),
    ).fetchall()
    if taken:
        hours = sorted(set(taken))
        _count(conn, [device for device, _ in hours], [bucket for _, bucket in hours])
    return len(taken)


def _count(conn: Conn, devices: list[int], buckets: list[object]) -> None:
    """Rows never get fewer except by retention: an hour whose raw rows are gone keeps its rollup."""
    conn.execute(
        """insert into ingest.reading_hour as h (device_id, metric, bucket, n, mean, low, high, first, last)
           select u.device, v.name, u.bucket, count(*), avg(v.value), min(v.value), max(v.value),
                  (array_agg(v.value order by t.ts, t.seq))[1], (array_agg(v.value order by t.ts desc, t.seq desc))[1]
           from unnest(%b::int[], %b::timestamptz[]) as u(device, bucket)
           cross join lateral (
               select ts, seq, shape_id, "values" from ingest.telemetry
               where device_id = u.device and ts >= u.bucket and ts < u.bucket + interval '1 hour' offset 0) t
           join ingest.shape s on s.id = t.shape_id
           cross join lateral unnest(s.metrics, t."values") as v(name, value)
           where v.value <> 'NaN'
           group by u.device, v.name, u.bucket
           order by u.device, v.name, u.bucket
           on conflict (device_id, metric, bucket) do update set n = excluded.n, mean = excluded.mean,
               low = excluded.low, high = excluded.high, first = excluded.first, last = excluded.last
           where excluded.n >= h.n""",
        (devices, buckets),
    )
