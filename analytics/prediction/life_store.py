"""SQL of remaining lives. Never commits."""

from __future__ import annotations

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


def life_times(conn: Conn, version_id: int, device: int, since: datetime) -> list[datetime]:
    """When something was said of a device after a time, oldest first."""
    found = conn.execute(
        "select ts from analytics.remaining_life where version_id = %s and device_id = %s and ts > %s order by ts",
        (version_id, device, since),
    )
    return [ts for (ts,) in found]
