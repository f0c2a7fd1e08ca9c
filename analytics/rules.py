"""Tuning of baselines and detectors: defaults in the code, changes from a TOML file or the database. Pure.

A file has one table per rule, for example `[shift]` with `limit = 6.5`, and `[baseline]`; what it does not name
keeps its default. `off = true` in a rule's table switches the rule off; a rule that is off by default is switched on
by having a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from analytics import features
from analytics.detectors import discover
from kit.errors import Invalid


@dataclass(frozen=True)
class Rules:
    """What the engine is built with; `detectors` has the tuning of each rule that is on."""

    baseline: features.Tuning = field(default_factory=features.Tuning)
    detectors: Mapping[str, Any] = field(
        default_factory=lambda: {cls.rule: cls.Tuning() for cls in discover() if cls.on}
    )

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> Rules:
        """From a parsed TOML file; None is the defaults.

        Raises:
            Invalid: a rule or a setting is unknown, or a value is not of its kind.
        """
        known = {detector.rule: detector.Tuning for detector in discover()}
        optional = {detector.rule for detector in discover() if not detector.on}
        for name in data or {}:
            if name != "baseline" and name not in known:
                raise Invalid(f"There is no rule {name!r}; the rules are baseline, {', '.join(known)}.")
        chosen = data or {}
        return cls(
            _build("baseline", features.Tuning, chosen.get("baseline", {})),
            {
                rule: _build(rule, tuning, chosen.get(rule, {}))
                for rule, tuning in known.items()
                if not _table(rule, chosen.get(rule, {})).get("off", rule in optional and rule not in chosen)
            },
        )


def _table(rule: str, data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise Invalid(f"{rule} must be a table ([{rule}] and settings below it), not {data!r}.")
    return data


def _build(rule: str, tuning: type[Any], data: Any) -> Any:
    kinds: dict[str, type[int] | type[float]] = {
        f.name: int if isinstance(f.default, int) else float for f in fields(tuning)
    }
    values: dict[str, Any] = {}
    for name, value in _table(rule, data).items():
        if name == "off" and rule != "baseline":
            continue
        if name not in kinds:
            raise Invalid(f"{rule} has no setting {name!r}; it has {', '.join(kinds)}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 0:
            raise Invalid(f"{rule}.{name} must be a number of 0 or more, not {value!r}.")
        if kinds[name] is int and value != int(value):
            raise Invalid(f"{rule}.{name} must be a whole number, not {value!r}.")
        values[name] = kinds[name](value)
    return tuning(**values)
