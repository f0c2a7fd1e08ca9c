"""Device types: what a model may say, how it fails, which fault codes it has. Loaded from a TOML dictionary."""

from __future__ import annotations

import re
from typing import Any, LiteralString

from ingest import units
from kit.database import Conn, rows, scalar
from kit.errors import Conflict, Invalid

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ROLES = ("reading", "run_hours", "state")
_DIRECTIONS = ("up", "down", "both")


def load(conn: Conn, data: dict[str, Any]) -> str:
    """Insert or update a model with its metrics, failure modes, symptoms and fault codes; what the file no longer
    has goes, unless telemetry or events refer to it.

    Returns: the model's code.

    Raises:
        Invalid: the file is wrong; the message names the entry and what would be right.
        Conflict: it removes something that is still referred to.
    """
    code = check(data)
    model = data["model"]
    conn.execute(
        """insert into ingest.model (code, name_en, name_zh, kind) values (%(code)s, %(name_en)s, %(name_zh)s, %(kind)s)
           on conflict (code) do update set name_en = excluded.name_en, name_zh = excluded.name_zh,
               kind = excluded.kind""",
        model,
    )
    _metrics(conn, code, data["metric"])
    _failure_modes(conn, code, data.get("failure_mode", []))
    _fault_codes(conn, code, data.get("fault_code", []))
    return code


def check(data: dict[str, Any]) -> str:
    """Validate a device type without a database; returns the model's code.

    Raises:
        Invalid: as for `load`.
    """
    model = _texts("[model]", data.get("model"), "code", "name_en", "name_zh", "kind")
    metrics = data.get("metric") or []
    if not metrics:
        raise Invalid("The device type has no [[metric]]: name at least one.")
    for metric in metrics:
        _check_metric(metric)
    names = _unique("[[metric]]", [metric["name"] for metric in metrics])
    for role in ("run_hours", "state"):
        if len([m for m in metrics if m.get("role") == role]) > 1:
            raise Invalid(f"Two metrics have role {role!r}; a device type may have one.")
    modes = data.get("failure_mode", [])
    for mode in modes:
        _check_mode(mode, names)
    known = _unique("[[failure_mode]]", [mode["code"] for mode in modes])
    faults = data.get("fault_code", [])
    for fault in faults:
        _check_fault(fault, known)
    _unique("[[fault_code]]", [fault["code"] for fault in faults])
    return str(model["code"])


def _texts(where: str, entry: Any, *fields: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise Invalid(f"{where} is missing or not a table.")
    for field in fields:
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise Invalid(f"{where} {entry.get('code') or entry.get('name') or ''}: {field} must be a text.")
    return entry


def _unique(where: str, names: list[str]) -> set[str]:
    if double := [name for name in names if names.count(name) > 1]:
        raise Invalid(f"{where} {double[0]!r} appears twice.")
    return set(names)


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{where} must be a number, not {value!r}.")
    return float(value)


def _check_metric(metric: Any) -> None:
    _texts("[[metric]]", metric, "name", "name_en", "name_zh", "unit")
    where = f"[[metric]] {metric['name']!r}"
    if not _NAME.fullmatch(metric["name"]):
        raise Invalid(
            f"{where}: a name is lower-case letters, digits and _, at most 63, beginning with a letter."
        )
    low, high = (_number(f"{where}: {field}", metric.get(field)) for field in ("low", "high"))
    if not low < high:
        raise Invalid(f"{where}: low {low:g} must be below high {high:g}.")
    role = metric.get("role", "reading")
    if role not in _ROLES:
        raise Invalid(f"{where}: role {role!r} is none of {', '.join(_ROLES)}.")
    if role == "run_hours" and metric["unit"] != "h":
        raise Invalid(f"{where}: run-hours are counted in h, not {metric['unit']!r}.")
    if metric.get("rolls_at") is not None and _number(f"{where}: rolls_at", metric["rolls_at"]) <= 0:
        raise Invalid(f"{where}: rolls_at must be positive.")
    units.check(where, metric["unit"])


def _check_mode(mode: Any, metrics: set[str]) -> None:
    _texts("[[failure_mode]]", mode, "code", "component", "name_en", "name_zh")
    where = f"[[failure_mode]] {mode['code']!r}"
    _level(f"{where}: priority", mode.get("priority"))
    for symptom in mode.get("symptoms", []):
        if symptom.get("metric") not in metrics:
            raise Invalid(f"{where}: symptom {symptom.get('metric')!r} is no metric of this device type.")
        if symptom.get("direction") not in _DIRECTIONS:
            raise Invalid(f"{where}: direction must be one of {', '.join(_DIRECTIONS)}.")
        if _number(f"{where}: weight", symptom.get("weight", 1)) <= 0:
            raise Invalid(f"{where}: weight must be positive.")
    _unique(f"{where}: symptom", [symptom["metric"] for symptom in mode.get("symptoms", [])])


def _check_fault(fault: Any, modes: set[str]) -> None:
    _texts("[[fault_code]]", fault, "code", "text_en", "text_zh")
    where = f"[[fault_code]] {fault['code']!r}"
    _level(f"{where}: severity", fault.get("severity"))
    if fault.get("failure_mode") is not None and fault["failure_mode"] not in modes:
        raise Invalid(f"{where}: {fault['failure_mode']!r} is no failure mode of this device type.")


def _level(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4:
        raise Invalid(f"{where} must be 1 (most urgent) to 4, not {value!r}.")


def _metrics(conn: Conn, model: str, metrics: list[dict[str, Any]]) -> None:
    names = [metric["name"] for metric in metrics]
    conn.execute("delete from ingest.symptom where model = %s", (model,))  # made anew with the failure modes
    conn.execute("delete from ingest.metric where model = %s and name <> all(%s)", (model, names))
    # A role may move from one metric to another: free it first, it is unique.
    conn.execute("update ingest.metric set role = 'reading' where model = %s", (model,))
    for metric in metrics:
        conn.execute(
            """insert into ingest.metric (model, name, name_en, name_zh, unit, low, high, role, rolls_at)
               values (%(model)s, %(name)s, %(name_en)s, %(name_zh)s, %(unit)s, %(low)s, %(high)s, %(role)s,
                       %(rolls_at)s)
               on conflict (model, name) do update set name_en = excluded.name_en, name_zh = excluded.name_zh,
                   unit = excluded.unit, low = excluded.low, high = excluded.high, role = excluded.role,
                   rolls_at = excluded.rolls_at""",
            {"model": model, "role": "reading", "rolls_at": None} | metric,
        )


def _failure_modes(conn: Conn, model: str, modes: list[dict[str, Any]]) -> None:
    gone = "code <> all(%s) and model = %s"
    codes = [mode["code"] for mode in modes]
    _no_longer(
        conn,
        "update ingest.fault_code set failure_mode = null where failure_mode <> all(%s) and model = %s",
        codes,
        model,
    )
    _no_longer(conn, f"delete from ingest.failure_mode where {gone}", codes, model)
    for mode in modes:
        conn.execute(
            """insert into ingest.failure_mode (model, code, component, name_en, name_zh, priority)
               values (%(model)s, %(code)s, %(component)s, %(name_en)s, %(name_zh)s, %(priority)s)
               on conflict (model, code) do update set component = excluded.component, name_en = excluded.name_en,
                   name_zh = excluded.name_zh, priority = excluded.priority""",
            {"model": model} | mode,
        )
        for symptom in mode.get("symptoms", []):
            conn.execute(
                """insert into ingest.symptom (model, failure_mode, metric, direction, weight)
                   values (%(model)s, %(mode)s, %(metric)s, %(direction)s, %(weight)s)""",
                {"model": model, "mode": mode["code"], "weight": 1} | symptom,
            )


def _no_longer(conn: Conn, statement: LiteralString, codes: list[str], model: str) -> None:
    conn.execute(statement, (codes, model))


def _fault_codes(conn: Conn, model: str, faults: list[dict[str, Any]]) -> None:
    codes = [fault["code"] for fault in faults]
    used = scalar(
        conn,
        """select min(e.code) from ingest.fault_event e join ingest.device d on d.id = e.device_id
           where d.model = %s and e.code <> all(%s)""",
        (model, codes),
    )
    if used is not None:
        raise Conflict(f"Fault code {used!r} of {model} has been reported by devices; keep it in the file.")
    conn.execute("delete from ingest.fault_code where model = %s and code <> all(%s)", (model, codes))
    for fault in faults:
        conn.execute(
            """insert into ingest.fault_code (model, code, severity, failure_mode, text_en, text_zh)
               values (%(model)s, %(code)s, %(severity)s, %(failure_mode)s, %(text_en)s, %(text_zh)s)
               on conflict (model, code) do update set severity = excluded.severity,
                   failure_mode = excluded.failure_mode, text_en = excluded.text_en, text_zh = excluded.text_zh""",
            {"model": model, "failure_mode": None} | fault,
        )


def models(conn: Conn) -> list[dict[str, Any]]:
    """All models with how many metrics, failure modes, fault codes and devices they have."""
    return rows(
        conn,
        """select m.*, (select count(*) from ingest.metric x where x.model = m.code) as metrics,
                  (select count(*) from ingest.failure_mode x where x.model = m.code) as failure_modes,
                  (select count(*) from ingest.fault_code x where x.model = m.code) as fault_codes,
                  (select count(*) from ingest.device x where x.model = m.code) as devices
           from ingest.model m order by code""",
    )
