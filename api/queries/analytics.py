"""What the analytics pages and routes show: rules with their settings, costs, honesty, versions, explanations."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from analytics import costs, rules_text, tuning, versions
from analytics.honesty import report
from analytics.rules import BASELINE, catalogue, plain
from analytics.setting import UNITS, Setting
from analytics.whatif import store as backtests
from api.text import LANGUAGES, words
from kit.database import Conn, rows


def rules(conn: Conn, changed: dict[str, Any] | None = None) -> dict[str, Any]:
    """The rules in force, or those that `changed` describes, with all that may be set."""
    changes = tuning.history(conn, limit=30)
    differing = changed if changed is not None else (changes[0].rules if changes else {})
    values = plain(differing)
    return {
        "version": changes[0].id if changes else 0,
        "rules": [
            {
                "rule": one.rule,
                "off": None if one.rule == BASELINE else values[one.rule]["off"],
                "on_by_default": one.on,
                "settings": [_setting(one.rule, s, values[one.rule][s.name]) for s in one.settings.values()],
            }
            for one in catalogue()
        ],
        "differing": differing,
        "toml": rules_text.write(differing),
        "taken_up": tuning.in_use(conn),
        "changes": [asdict(change) for change in changes],
    }  # fmt: skip


def _setting(rule: str, one: Setting, value: Any) -> dict[str, Any]:
    """One number of a rule, with its name, unit, range and meaning in both languages."""
    unit_en, unit_zh = UNITS[one.unit]
    names = {f"name_{language}": words(language).named("setting", rule, one.name) for language in LANGUAGES}
    return {
        "name": one.name, "kind": one.kind.__name__, "value": value, "default": one.default, "low": one.low,
        "high": one.high, "unit_en": unit_en, "unit_zh": unit_zh, "text_en": one.text_en, "text_zh": one.text_zh,
    } | names  # fmt: skip


def prices(conn: Conn) -> list[dict[str, Any]]:
    """The costs in force of every device type, with the newest change of each."""
    newest = {one.model: one for one in reversed(costs.history(conn, limit=1000))}
    found = []
    for row in rows(conn, "select code as model, name_en, name_zh from ingest.model order by code"):
        price, change = costs.for_model(conn, row["model"]), newest.get(row["model"])
        said = (
            {"changed_by": change.changed_by, "changed_at": change.changed_at, "note": change.note}
            if change
            else {}
        )
        found.append(
            row
            | asdict(price)
            | {"level": price.level, "changed_by": None, "changed_at": None, "note": None}
            | said
        )
    return found


def honesty(conn: Conn, start: datetime, end: datetime, model: str | None) -> dict[str, Any]:
    """How far the alarms of a period can be trusted."""
    found = report.report(conn, start, end, model)
    ids = [actor.device_id for actor in found.load.bad_actors]
    known = rows(conn, "select id, uid, model from ingest.device where id = any(%s)", (ids,))
    devices = {row["id"]: row for row in known}
    told = asdict(found)
    for actor in told["load"]["bad_actors"]:
        device = devices[actor["device_id"]]
        actor |= {"device_uid": device["uid"], "model": device["model"]}
    in_force = tuning.in_force(conn)
    for proposal in told["proposals"]:  # with all else that is in force, as it would be tried
        own = {rule: in_force.get(rule, {}) | table for rule, table in proposal["rules"].items()}
        proposal["try_rules"] = in_force | own
    return told | {"daily": [{"day": day, "raises": count} for day, count in found.daily]}


def backtest(conn: Conn, backtest_id: int) -> dict[str, Any]:
    """One with its result."""
    found = asdict(backtests.get(conn, backtest_id))
    result = backtests.result(conn, backtest_id)
    counts = {"counts": result["counts"], "cost_difference": result["cost_difference"]} if result else {}
    return found | counts | {"result": result}


def models(conn: Conn, model: str | None = None) -> list[dict[str, Any]]:
    """All versions; those in force with their drift."""
    return [version(conn, row) for row in versions.listing(conn, model)]


def version(conn: Conn, row: dict[str, Any]) -> dict[str, Any]:
    """A version's row with its drift, where it is in force and predicts failures."""
    watched = row["status"] == "in_force" and row["kind"] == "failure"
    return row | {"drift": versions.drift(conn, row["id"]) if watched else None}


def explanation(conn: Conn, order_id: int) -> dict[str, Any]:
    """Every detection behind an order worked out again; one without any follows from nothing: `ok` is false."""
    from analytics.explain import explain  # here: it brings scikit-learn along, which few need

    signals = rows(
        conn,
        """select detection_id, outcome from fsm.episode_signal
           where order_id = %s and outcome in ('opened', 'reopened', 'attached') order by detection_id""",
        (order_id,),
    )
    found = []
    for signal in signals:
        one = explain(conn, signal["detection_id"])
        found.append(signal | {
            "ok": one.ok, "text_en": one.text_en, "text_zh": one.text_zh, "telemetry_hash": one.telemetry_hash,
            "detection": {name: one.detection[name] for name in _SHOWN},
            "recomputed": one.recomputed,
        })  # fmt: skip
    return {
        "order_id": order_id, "ok": bool(found) and all(one["ok"] for one in found), "detections": found,
    }  # fmt: skip


def types(conn: Conn) -> dict[str, dict[str, Any]]:
    """The device types by code, with their names."""
    found = rows(conn, "select code as model, name_en, name_zh from ingest.model order by code")
    return {row["model"]: row for row in found}


def names(conn: Conn) -> dict[tuple[str, str], dict[str, Any]]:
    """Failure modes and metrics by model and code, for people."""
    found = conn.execute(
        """select model, code, name_en, name_zh from ingest.failure_mode
           union all select model, name, name_en, name_zh from ingest.metric"""
    ).fetchall()
    return {
        (model, code): {"name_en": english, "name_zh": chinese} for model, code, english, chinese in found
    }


_SHOWN = ("ts", "kind", "rule", "rule_version", "failure_mode", "severity", "score", "evidence", "telemetry_from",
          "telemetry_to", "telemetry_hash", "tuning_id", "model", "uid")  # fmt: skip
