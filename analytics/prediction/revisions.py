"""SQL of predictions that late rows have made stale. Never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from analytics.definitions import Floats, Ints
from analytics.store import microseconds, moment
from kit.database import Conn, scalar


def mark_late(conn: Conn, batches: Sequence[int], before: datetime) -> None:
    """Rows and fault events of these batches from before a time make stale what was said of their devices."""
    conn.execute(
        """insert into analytics.stale_prediction as s (device_id, since)
           select device_id, min(ts) from (
               select device_id, ts from ingest.telemetry where batch_id = any(%(b)s) and ts < %(t)s
               union all select device_id, ts from ingest.fault_event where batch_id = any(%(b)s) and ts < %(t)s) late
           group by 1 order by 1
           on conflict (device_id) do update set since = least(s.since, excluded.since)""",
        {"b": list(batches), "t": before},
    )


def take_stale(conn: Conn, model: str) -> list[tuple[int, datetime]]:
    """Devices of a type whose predictions are stale, with since when; they count as done with this transaction."""
    return conn.execute(
        """delete from analytics.stale_prediction s using ingest.device d
           where d.id = s.device_id and d.model = %s
             and not exists (select from ingest.rollup_dirty r where r.device_id = s.device_id)
           returning s.device_id, s.since""",
        (model,),
    ).fetchall()


def said_since(conn: Conn, version_id: int, stale: Mapping[int, datetime]) -> list[tuple[int, int]]:
    """(device, ts in µs) of what a version said of devices after a time of each."""
    found = conn.execute(
        """select a.device_id, a.ts from unnest(%s::int[], %s::timestamptz[]) as u(device, since)
           join analytics.prediction a on a.version_id = %s and a.device_id = u.device and a.ts > u.since""",
        (list(stale), list(stale.values()), version_id),
    )
    return [(device, microseconds(ts)) for device, ts in found]


def revise_predictions(conn: Conn, version_id: int, devices: Ints, ts: Ints, p: Floats) -> int:
    """Put recomputed probabilities, [n] each, in the place of those said; those that differ are marked. Returns how
    many."""
    return conn.execute(
        """update analytics.prediction a set probability = u.p, revised_at = kit.now()
           from unnest(%s::int[], %s::timestamptz[], %s::float8[]) as u(d, t, p)
           where a.version_id = %s and a.device_id = u.d and a.ts = u.t and abs(a.probability - u.p) > 1e-9""",
        (devices.tolist(), [moment(at) for at in ts.tolist()], p.tolist(), version_id),
    ).rowcount


def last_said(conn: Conn) -> datetime | None:
    """The newest step that was scored."""
    found: datetime | None = scalar(
        conn,
        """select max(ts) from (select max(ts) as ts from analytics.prediction
                                union all select max(ts) from analytics.remaining_life) said""",
    )
    return found
