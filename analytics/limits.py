"""Fixed limits of a device type: the `[[limit]]` tables of its file.

[[limit]]
metric = "vibration"
high = 11.0                # or low = …
failure_mode = "bearing_wear"
severity = 1               # 1 stops the machine … 4 is information; default: 2
minutes = 10               # passed for so long; default: 10
band = 0.5                 # clears this far inside the limit; default: 2 % of the metric's possible range
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import store
from analytics.definitions import Definition, Limit
from kit.database import Conn
from kit.errors import Invalid, NotFound

KNOWN = {"metric", "high", "low", "failure_mode", "severity", "minutes", "band"}


def load(conn: Conn, data: Mapping[str, Any]) -> int:
    """Replace the limits of a model by those of its device-type file, in the caller's transaction; after
    `ingest.device_types.load`. Returns how many there are.

    Raises:
        NotFound: the model is not loaded yet.
        Invalid: a limit is wrong; the message names it and what would be right.
    """
    model = data["model"]["code"]
    definition = store.definitions(conn).get(model)
    if definition is None:
        raise NotFound(f"The device type {model!r} is not loaded yet.")
    limits = check(definition, data)
    conn.execute("delete from analytics.limit_rule where model = %s", (model,))
    for limit in limits:
        conn.execute(
            """insert into analytics.limit_rule (model, metric, side, value, failure_mode, severity, hold_minutes, band)
               values (%s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                model,
                limit.metric,
                limit.side,
                limit.value,
                limit.mode,
                limit.severity,
                limit.hold_minutes,
                limit.band,
            ),
        )
    return len(limits)


def check(definition: Definition, data: Mapping[str, Any]) -> list[Limit]:
    """The limits of a device-type file. Pure.

    Raises:
        Invalid: as for `load`.
    """
    return [_limit(definition, number, entry) for number, entry in enumerate(data.get("limit", []), 1)]


def _limit(definition: Definition, number: int, entry: Mapping[str, Any]) -> Limit:
    where = f"{definition.model}, [[limit]] {number}"
    if unknown := set(entry) - KNOWN:
        raise Invalid(f"{where}: {sorted(unknown)[0]!r} is unknown; it may have {', '.join(sorted(KNOWN))}.")
    metric = next((m for m in definition.metrics if m.name == entry.get("metric")), None)
    if metric is None:
        raise Invalid(f"{where}: metric must be one of {', '.join(definition.axis('metric'))}.")
    if entry.get("failure_mode") not in definition.axis("mode"):
        raise Invalid(f"{where}: failure_mode must be one of {', '.join(definition.axis('mode'))}.")
    sides = [side for side in ("high", "low") if side in entry]
    if len(sides) != 1:
        raise Invalid(f"{where}: it must have either high or low.")
    value = _number(where, sides[0], entry[sides[0]], metric.low, metric.high)
    severity = entry.get("severity", 2)
    if severity not in (1, 2, 3, 4):
        raise Invalid(f"{where}: severity must be 1, 2, 3 or 4, not {severity!r}.")
    width = metric.high - metric.low
    minutes = _number(where, "minutes", entry.get("minutes", 10.0), 0.0, 1e6)
    band = _number(where, "band", entry.get("band", 0.02 * width), 1e-9, width)
    return Limit(metric.name, sides[0], value, entry["failure_mode"], severity, minutes, band)


def _number(where: str, name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Invalid(f"{where}: {name} must be a number from {low:g} to {high:g}, not {value!r}.")
    return float(value)
