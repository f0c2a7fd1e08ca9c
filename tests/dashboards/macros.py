"""Grafana's PostgreSQL macros, as its server expands them: arguments end at the first closing parenthesis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

_MACRO = re.compile(r"\$__(\w+)\(([^)]*)\)")
_SPAN = {"m": 60, "h": 3600, "d": 86400}


def _stamp(at: datetime) -> str:
    return f"'{at.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}'"


def expand(
    sql: str,
    start: datetime,
    end: datetime,
    variables: Mapping[str, Sequence[str]],
    *,
    timescale: bool = False,
) -> str:
    """The SQL that Grafana would send for a time range and chosen variables.

    Raises:
        KeyError: a macro or variable that is not known.
    """

    def macro(found: re.Match[str]) -> str:
        name, arguments = found[1], [part.strip() for part in found[2].split(",")]
        if name == "timeFilter":
            return f"{arguments[0]} BETWEEN {_stamp(start)} AND {_stamp(end)}"
        if name == "timeGroup":
            width = arguments[1].strip("'")
            if timescale:
                return f"time_bucket('{width}', {arguments[0]})"
            seconds = int(width[:-1]) * _SPAN[width[-1]]
            return f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}"
        return {"timeFrom": _stamp(start), "timeTo": _stamp(end)}[name]

    def variable(found: re.Match[str]) -> str:
        chosen = variables[found[1]]
        quoted = ["'" + value.replace("'", "''") + "'" for value in chosen]
        return chosen[0] if found.string[found.start() - 1] == "'" else ",".join(quoted)

    return re.sub(r"\$([a-z]+)", variable, _MACRO.sub(macro, sql))
