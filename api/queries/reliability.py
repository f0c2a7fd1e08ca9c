"""Figures of the `reports` schema, which defines MTBF once for the console and Grafana."""

from __future__ import annotations

from typing import Any

from kit.database import Conn, rows


def mtbf(conn: Conn) -> dict[str, list[dict[str, Any]]]:
    """`{"model": …, "component": …, "failure_mode": …}`, the most failures first; no MTBF where none."""
    found = rows(
        conn,
        """select m."by", m.model, m.key, m.name_en, m.name_zh, m.devices, m.hours, m.failures, m.breakdowns, m.mtbf,
                  m.low, m.high, n.name_en as model_en, n.name_zh as model_zh
           from reports.mtbf m left join ingest.model n on n.code = m.model
           where m."by" in ('model', 'component', 'failure_mode') order by m.failures desc, m.key""",
    )
    return {by: [row for row in found if row["by"] == by] for by in ("model", "component", "failure_mode")}


def repairs(conn: Conn) -> list[dict[str, Any]]:
    """How well each rule foresees: signals that became orders, and orders an engineer confirmed."""
    return rows(
        conn,
        """select rule, model, failure_mode, name_en, name_zh, raises, orders, confirmed from reports.detection_quality
           where orders > 0 order by orders desc limit 30""",
    )
