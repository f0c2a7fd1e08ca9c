"""Why an order was opened: its signals with what drove them, in figures and in plain words."""

from __future__ import annotations

from typing import Any

from kit.database import Conn, rows


def signals(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """Every detection that had to do with the order, oldest first, each with what became of it."""
    found = rows(
        conn,
        """select n.id as detection_id, n.device_id, d.uid as device_uid, d.model, n.ts, n.kind, n.rule, n.rule_version,
                  n.failure_mode, n.severity, n.score, n.evidence, n.telemetry_from, n.telemetry_to, n.telemetry_hash,
                  g.outcome, g.rule as decided_by, g.decided_at, m.name_en as failure_en, m.name_zh as failure_zh
           from fsm.episode_signal g
           join analytics.detection n on n.id = g.detection_id
           join ingest.device d on d.id = n.device_id
           left join ingest.failure_mode m on m.model = d.model and m.code = n.failure_mode
           where g.order_id = %s order by n.ts, n.id""",
        (order_id,),
    )
    names = metric_names(conn, {row["model"] for row in found})
    for row in found:
        row["drivers"] = [
            _driver(item, names.get(row["model"], {})) for item in row["evidence"].get("drivers", [])
        ]
        row["codes"] = row["evidence"].get("codes", [])
    return found


def metric_names(conn: Conn, models: set[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """{model: {metric: its row with name_en, name_zh and unit}}"""
    found = rows(
        conn,
        "select model, name, name_en, name_zh, unit from ingest.metric where model = any(%s)",
        (list(models),),
    )
    names: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found:
        names.setdefault(row["model"], {})[row["name"]] = row
    return names


def _driver(item: dict[str, Any], names: dict[str, dict[str, Any]]) -> dict[str, Any]:
    known = names.get(str(item.get("metric")), {})
    return {
        "metric": item.get("metric"),
        "name_en": known.get("name_en", item.get("metric")),
        "name_zh": known.get("name_zh", item.get("metric")),
        "unit": item.get("unit") or known.get("unit", ""),
        "value": item.get("value"),
        "baseline": item.get("baseline"),
        "limit": item.get("limit"),
        "z": item.get("z"),
        "ts": item.get("ts"),
    }
