"""What a model scored in its trial: each figure with its name, its unit, and what would be good. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from api.console import format as shown
from api.text import Words

_HOURS: Final = frozenset({"pinball", "naive", "width", "leads", "held_out_rmse"})
_SHARES: Final = frozenset({"coverage", "held_out_coverage_before"})
_ORDER: Final = (
    "failures", "warned", "orders", "false", "leads", "cost_without", "pinball", "naive", "coverage", "width",
    "lives", "moments",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One figure of a trial."""

    name: str
    value: str
    good: str


def lines(t: Words, scores: Mapping[str, Any], zone: str) -> list[Line]:
    """The figures in the order in which they are read; those of later versions come last, by their key."""
    if isinstance(apart := scores.get("held_out"), Mapping):
        rest = {f"held_out_{name}": value for name, value in apart.items()}
        if "held_out_rmse" in rest:  # in cycles, as the model counts
            rest["held_out_rmse"] *= scores.get("cycle_hours", 1)
        scores = {name: value for name, value in scores.items() if name != "held_out"} | rest
    known = {name: scores[name] for name in _ORDER if name in scores}
    if isinstance(leads := scores.get("leads"), Sequence) and not isinstance(leads, str):
        known = {"failures": scores.get("failures"), "warned": len(leads)} | known | {"leads": _tenths(leads)}
    found = []
    for name, value in (known | {key: value for key, value in scores.items() if key not in known}).items():
        if value is not None and (text := _value(t, name, value, zone)):
            good = t.or_none("score", f"{name}_good") or t("score.other_good")
            found.append(Line(t.or_raw("score", name), text, good))
    return found


def _tenths(values: Sequence[float]) -> list[float]:
    """The 10th, 50th and 90th percentile, the nearest of the values."""
    ranked = sorted(values)
    return [ranked[round(share * (len(ranked) - 1))] for share in (0.1, 0.5, 0.9)] if ranked else []


def _value(t: Words, name: str, value: Any, zone: str) -> str:
    unit = " h" if name in _HOURS or name.endswith("_hours") else ""
    if name in _SHARES:
        return f"{shown.number(100 * value, 0)} %"
    if isinstance(value, bool):
        return t("app.yes" if value else "app.no")
    if isinstance(value, int | float):
        return shown.number(value) + unit
    if isinstance(value, list) and value and all(isinstance(one, int | float) for one in value):
        return " · ".join(shown.number(one, 0) for one in value) + unit
    if isinstance(value, str):
        return _moment(t, value, zone)
    return ""


def _moment(t: Words, text: str, zone: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return shown.day(at.astimezone(ZoneInfo(zone)), t.language)
