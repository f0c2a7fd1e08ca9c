"""What is left of the lives of a device's components, by the models in force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from analytics.prediction import schedule
from kit import clock
from kit.database import Conn, rows


def of_device(conn: Conn, device_id: int) -> list[dict[str, Any]]:
    """A row per component of the device's model: the newest prediction since its last repair, or why there is none and
    when learning is due.

    Days are operating hours at the device's usage of the last two weeks; None when it does not run.
    """
    found = _components(conn, device_id)
    unlearned = [row for row in found if row["state"] in UNLEARNED]
    models = {row.pop("model") for row in found}
    if unlearned:
        now = clock.now(conn)
        next_one = schedule.outlook(conn, models.pop(), now)
        for row in unlearned:
            row |= _told(row["state"], next_one, now)
    return found


UNLEARNED = ("not_learned", "not_tried")
LEAST = 0.5  # operating hours: less than that, *or more*, says nothing; it would be shown as 0


def _told(state: str, next_one: schedule.Outlook, now: datetime) -> dict[str, Any]:
    """Why there is no model: what came of the last try stands, else what the first one waits for."""
    if state == "not_tried":
        state = "waiting" if next_one.state == "due" else next_one.state
    at = None if next_one.at is None else max(next_one.at, now)
    return {"state": state, "failures": next_one.failures, "enough": schedule.ENOUGH, "learn_at": at}


def _components(conn: Conn, device_id: int) -> list[dict[str, Any]]:
    return rows(
        conn,
        """with component as (
               select distinct d.id as device_id, d.model, m.component from ingest.device d
               join ingest.failure_mode m on m.model = d.model where d.id = %(device)s)
           select c.component, l.ts, l.low, l.median, l.high, l.most, l.high >= l.most as or_more,
                  l.low / use.hours as low_days, l.median / use.hours as median_days, l.high / use.hours as high_days,
                  l.version_id, v.data_from, v.data_to, v.scores, t.verdict, t.reason, t.tried_at,
                  case when l.low < %(least)s and l.high >= l.most then 'wide' when l.ts is not null then 'known'
                       when v.id is not null then 'young'
                       when t.verdict is not null then 'not_learned' else 'not_tried' end as state,
                  c.model, null::int as failures, null::int as enough, null::timestamptz as learn_at
           from component c
           left join analytics.model_version v on v.kind = 'remaining_life' and v.model = c.model
               and v.component = c.component and v.promoted_at is not null and v.retired_at is null
           left join analytics.learning t on t.kind = 'remaining_life' and t.model = c.model
               and t.component = c.component
           left join lateral (
               select * from analytics.remaining_life r where r.version_id = v.id and r.device_id = c.device_id
               and r.ts > coalesce((select max(x.ts) from analytics.reset x where x.device_id = c.device_id
                                    and x.component in (c.component, '*')), '-infinity')
               order by r.ts desc limit 1) l on true
           left join lateral (select nullif(l.hours_a_day, 0) as hours) use on true
           order by c.component""",
        {"device": device_id, "least": LEAST},
    )
