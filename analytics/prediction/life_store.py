"""SQL of remaining lives. Never commits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from analytics.prediction.store import Version
from kit.database import Conn, scalar


def save_life(
    conn: Conn, version: Version, device: int, ts: datetime, quantiles: tuple[float, float, float], most: float,
    hours_a_day: float,
) -> None:  # fmt: skip
    """Keep what is left of a life; said again for the same time, it is marked as revised where it differs."""
    conn.execute(
        """insert into analytics.remaining_life as l
               (version_id, device_id, component, ts, low, median, high, most, hours_a_day)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (version_id, device_id, ts) do update set low = excluded.low, median = excluded.median,
               high = excluded.high, hours_a_day = excluded.hours_a_day, revised_at = kit.now()
           where (l.low, l.median, l.high) is distinct from (excluded.low, excluded.median, excluded.high)""",
        (version.id, device, version.component, ts, *quantiles, most, hours_a_day),
    )


def lives_at(conn: Conn, version_id: int, ts: datetime) -> bool:
    """Whether a version of remaining life has been asked at a time."""
    query = "select exists (select from analytics.remaining_life where version_id = %s and ts >= %s)"
    return bool(scalar(conn, query, (version_id, ts)))


def lives_since(conn: Conn, version_id: int, stale: Mapping[int, datetime]) -> list[tuple[int, datetime]]:
    """(device, ts) of what a version said of devices after a time of each."""
    return conn.execute(
        """select l.device_id, l.ts from unnest(%s::int[], %s::timestamptz[]) as u(device, since)
           join analytics.remaining_life l on l.device_id = u.device and l.ts > u.since and l.version_id = %s""",
        (list(stale), list(stale.values()), version_id),
    ).fetchall()
