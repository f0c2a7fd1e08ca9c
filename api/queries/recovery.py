"""Whether the signal came back to normal after an order's repair."""

from __future__ import annotations

from typing import Any

from api.queries.evidence import metric_names
from kit.database import Conn, rows


def of_order(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """What was checked after the order's repair: one row per repair and failure mode, oldest first."""
    found = rows(
        conn,
        """select d.model, w.failure_mode, m.name_en as failure_en, m.name_zh as failure_zh, w.state, w.repaired_at,
                  w.hours as within_hours, w.run_hours, w.decided_ts as decided_at,
                  coalesce(w.figures, '{}') as figures, again.id as repeat_id, again.number as repeat_number
           from fsm.work_order o
           join analytics.reset r on r.device_id = o.device_id and split_part(r.reason, ' ', 1) = o.number
           join analytics.recovery w on w.reset_id = r.id
           join ingest.device d on d.id = w.device_id
           left join ingest.failure_mode m on m.model = d.model and m.code = w.failure_mode
           left join lateral (
               select a.id, a.number from fsm.work_order a
               where a.repeat_of = o.id and a.failure_mode = w.failure_mode order by a.id limit 1) again on true
           where o.id = %s order by w.repaired_at, w.failure_mode""",
        (order_id,),
    )
    names = metric_names(conn, {row["model"] for row in found})
    for row in found:
        known = names.get(row["model"], {})
        row["figures"] = {
            metric: figure | {key: known.get(metric, {}).get(key) for key in ("name_en", "name_zh", "unit")}
            for metric, figure in row["figures"].items()
        }
    return found
