"""The repairs on record that orders are held against. SQL reads; never commits."""

from __future__ import annotations

from datetime import datetime, timedelta

from analytics.episodes import HORIZON, Repair
from analytics.store import microseconds
from kit.clock import now
from kit.database import Conn


def repairs(
    conn: Conn, start: datetime, end: datetime, horizon: timedelta = timedelta(microseconds=HORIZON)
) -> tuple[list[Repair], int]:
    """Repairs that orders of the period may have come before, and until when they are known. An order's repair
    counts when its engineer found a fault; another (a replayed recording) when a failure was recorded that it ended,
    or when nobody but engineers records failures of this device type."""
    until = min(now(conn), end + horizon)
    found = conn.execute(
        """with recorder as (
               select distinct d.model from analytics.failure f join ingest.device d on d.id = f.device_id
               where f.reference !~ '^WO-[0-9]+')
           select r.device_id, r.component, r.ts, r.reason from analytics.reset r
           join ingest.device d on d.id = r.device_id
           where r.ts > %s and r.ts <= %s
             and case when r.reason ~ '^WO-[0-9]+ '
                 then exists (select from reports.failure f where f.number = split_part(r.reason, ' ', 1))
                 else d.model not in (select model from recorder) or exists (
                     select from analytics.failure f where f.device_id = r.device_id
                     and (r.component = '*' or f.component = r.component)
                     and f.ts between r.ts - interval '7 days' and r.ts) end
           order by r.ts, r.id""",
        (start, until),
    ).fetchall()
    inside = [Repair(device, component, microseconds(ts), reason) for device, component, ts, reason in found]
    return inside, microseconds(until)
