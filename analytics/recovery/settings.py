"""How soon the signal of a failure mode must recover: the `[[recovery]]` tables of a device type's file.

[[recovery]]
failure_mode = "bearing_wear"
hours = 24                 # operating hours after the repair; without a table: 48
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.database import Conn
from kit.errors import Invalid

LONGEST = 10_000.0


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
    for mode, limit in hours.items():
        conn.execute("insert into analytics.recovery_rule values (%s, %s, %s)", (model, mode, limit))
    return len(hours)


def check(model: str, modes: list[str], entries: list[Mapping[str, Any]]) -> dict[str, float]:
    """Hours by failure mode. Pure.

    Raises:
        Invalid: as for `load`.
    """
    found: dict[str, float] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{model}, [[recovery]] {number}"
        if unknown := sorted(set(entry) - {"failure_mode", "hours"}):
            raise Invalid(f"{where}: {unknown[0]!r} is unknown; it has failure_mode and hours.")
        mode, hours = entry.get("failure_mode"), entry.get("hours")
        if mode not in modes or mode in found:
            raise Invalid(f"{where}: failure_mode must be one of {', '.join(modes)}, each at most once.")
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= LONGEST:
            raise Invalid(f"{where}: hours must be a number above 0, at most {LONGEST:g}, not {hours!r}.")
        found[mode] = float(hours)
    return found
