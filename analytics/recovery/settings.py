"""How soon the signal of a failure mode must recover: the `[[recovery]]` tables of a device type's file.

[[recovery]]
failure_mode = "bearing_wear"
hours = 24                 # operating hours after the repair; without a table: 48

[[recovery]]
failure_mode = "bearing_wear"
rule = "limit"             # where the alarm before the repair was of this rule: other hours
hours = 4
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics.detectors import discover
from kit.database import Conn
from kit.errors import Invalid

LONGEST = 10_000.0
RULES = (*(detector.rule for detector in discover()), "prediction", "recovery")


def load(conn: Conn, data: Mapping[str, Any]) -> int:
    """Replace those of a model by those of its device-type file, in the caller's transaction; after
    `ingest.device_types.load`. Returns how many there are.

    Raises:
        Invalid: one is wrong; the message names it and what would be right.
    """
    model = data["model"]["code"]
    found = conn.execute("select code from ingest.failure_mode where model = %s order by 1", (model,))
    hours = check(model, [code for (code,) in found], data.get("recovery", []))
    conn.execute("delete from analytics.recovery_rule where model = %s", (model,))
    for (mode, rule), limit in hours.items():
        conn.execute(
            "insert into analytics.recovery_rule values (%s, %s, %s, %s)", (model, mode, rule, limit)
        )
    return len(hours)


def check(model: str, modes: list[str], entries: list[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Hours by failure mode and rule ('': any). Pure.

    Raises:
        Invalid: as for `load`.
    """
    found: dict[tuple[str, str], float] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{model}, [[recovery]] {number}"
        if unknown := sorted(set(entry) - {"failure_mode", "rule", "hours"}):
            raise Invalid(f"{where}: {unknown[0]!r} is unknown; it has failure_mode, rule and hours.")
        mode, rule, hours = entry.get("failure_mode"), entry.get("rule", ""), entry.get("hours")
        if "rule" in entry and rule not in RULES:
            raise Invalid(f"{where}: rule must be one of {', '.join(RULES)}, or left out, not {rule!r}.")
        if mode not in modes or (mode, rule) in found:
            raise Invalid(
                f"{where}: failure_mode must be one of {', '.join(modes)}, each at most once for a rule."
            )
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= LONGEST:
            raise Invalid(f"{where}: hours must be a number above 0, at most {LONGEST:g}, not {hours!r}.")
        found[mode, rule] = float(hours)
    return found
