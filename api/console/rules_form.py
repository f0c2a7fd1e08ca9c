"""The form with a field for every setting of every rule: from fields to rules, and a period from dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, Request

from analytics import rules_text
from analytics.prediction.decision import Costs
from analytics.rules import BASELINE, catalogue, differing
from analytics.setting import UNITS
from api.text import Words
from kit.errors import Invalid

Fields = Mapping[str, str]


async def _fields(request: Request) -> Fields:
    form = await request.form()
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


FormFields = Annotated[Fields, Depends(_fields)]


def rules_of(fields: Fields) -> dict[str, dict[str, Any]]:
    """What differs from the defaults: the text where there is some, else `rule.setting` and `on.rule` fields.

    Raises:
        Invalid: a value is none (its key is named), or see `rules_text.read`.
    """
    if text := fields.get("toml", "").strip():
        return rules_text.read(text)
    values: dict[str, dict[str, Any]] = {}
    for one in catalogue():
        table: dict[str, Any] = {}
        for name in one.settings:
            if given := fields.get(f"{one.rule}.{name}", "").strip():
                table[name] = _number(f"{one.rule}.{name}", given)
        if one.rule != BASELINE:
            table["off"] = f"on.{one.rule}" not in fields
        values[one.rule] = table
    return differing(values)


def told(t: Words, differing: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What differs from the defaults, one row a setting, in the reader's words: rule, name, value, unit, usual."""
    known = {one.rule: one for one in catalogue()}
    found = []
    for rule, table in differing.items():
        for name, value in table.items():
            if name == "off":
                text = t("rules.off" if value else "rules.on")
                found.append({"rule": rule, "name": "", "value": text, "unit": "", "usual": None})
                continue
            one = known[rule].settings[name]
            unit = UNITS[one.unit][1 if t.language == "zh" else 0]
            found.append({"rule": rule, "name": t.named("setting", rule, name), "value": f"{value:g}", "unit": unit,
                          "usual": f"{one.default:g}"})  # fmt: skip
    return found


def costs_of(fields: Fields, models: list[str]) -> dict[str, Costs]:
    """Costs by device type where all three fields are filled.

    Raises:
        Invalid: only some are filled, or see `Costs`.
    """
    found = {}
    for model in models:
        given = {
            name: fields.get(f"cost.{model}.{name}", "").strip() for name in ("failure", "visit", "needless")
        }
        if any(given.values()):
            found[model] = Costs(**{name: _number(f"{model}: {name}", text) for name, text in given.items()})
    return found


def _number(key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise Invalid(f"{key} must be a number, not {text!r}.", key=key) from error
    return int(number) if number.is_integer() else number


def period_of(
    first: str, last: str, zone: str, usual: tuple[datetime, datetime]
) -> tuple[datetime, datetime]:
    """From dates of the installation's zone, both inclusive; empty ones as usual.

    Raises:
        Invalid: one is no date.
    """
    start = usual[0] if not first else _midnight(first, zone)
    return start, usual[1] if not last else min(_midnight(last, zone) + timedelta(days=1), usual[1])


def day_of(text: str, zone: str) -> datetime | None:
    """The midnight at which a date begins in the installation's zone; None for an empty one.

    Raises:
        Invalid: it is no date.
    """
    return _midnight(text.strip(), zone) if text.strip() else None


def _midnight(text: str, zone: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=ZoneInfo(zone))
    except ValueError as error:
        raise Invalid(f"{text!r} is no date; write 2026-11-01.") from error
