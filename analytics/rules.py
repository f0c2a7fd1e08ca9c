"""Tuning of baselines and detectors: defaults in the code, changes from a TOML file or the database. Pure.

A file has one table per rule, for example `[shift]` with `limit = 6.5`, and `[baseline]`; what it does not name
keeps its default. `off = true` in a rule's table switches the rule off; a rule that is off by default is switched on
by having a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics import baseline_tuning
from analytics.detectors import discover
from analytics.setting import Setting, settings_of
from kit.errors import Invalid

BASELINE = "baseline"


@dataclass(frozen=True)
class Rules:
    """What the engine is built with; `detectors` has the tuning of each rule that is on."""

    baseline: baseline_tuning.Tuning = field(default_factory=baseline_tuning.Tuning)
    detectors: Mapping[str, Any] = field(
        default_factory=lambda: {cls.rule: cls.Tuning() for cls in discover() if cls.on}
    )

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> Rules:
        """From a parsed TOML file; None is the defaults.

        Raises:
            Invalid: a rule or a setting is unknown, or a value is not of its kind or outside its range; `details` has
                the key and, for a value, the range.
        """
        known = {detector.rule: detector.Tuning for detector in discover()}
        optional = {detector.rule for detector in discover() if not detector.on}
        for name in data or {}:
            if name != BASELINE and name not in known:
                names = ", ".join([BASELINE, *known])
                raise Invalid(f"There is no rule {name!r}; the rules are {names}.", key=name)
        chosen = data or {}
        built = {rule: _build(rule, tuning, chosen.get(rule, {})) for rule, tuning in known.items()}
        off = {
            rule for rule in known if chosen.get(rule, {}).get("off", rule in optional and rule not in chosen)
        }
        return cls(
            _build(BASELINE, baseline_tuning.Tuning, chosen.get(BASELINE, {})),
            {rule: tuning for rule, tuning in built.items() if rule not in off},
        )


def _table(rule: str, data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise Invalid(f"{rule} must be a table ([{rule}] and settings below it), not {data!r}.")
    return data


def _build(rule: str, tuning: type[Any], data: Any) -> Any:
    known = settings_of(tuning)
    values: dict[str, Any] = {}
    for name, value in _table(rule, data).items():
        if name == "off" and rule != BASELINE:
            if not isinstance(value, bool):
                raise Invalid(f"{rule}.off must be true or false, not {value!r}.", key=f"{rule}.off")
            continue
        if name not in known:
            raise Invalid(f"{rule} has no setting {name!r}; it has {', '.join(known)}.", key=f"{rule}.{name}")
        values[name] = known[name].checked(rule, value)
    return tuning(**values)


@dataclass(frozen=True)
class RuleSettings:
    """What may be set of a rule; `on` says whether it runs by default."""

    rule: str
    on: bool
    settings: Mapping[str, Setting]


def catalogue() -> list[RuleSettings]:
    """Everything that may be set, the detectors first."""
    rules = [RuleSettings(d.rule, d.on, settings_of(d.Tuning)) for d in discover()]
    return [*rules, RuleSettings(BASELINE, True, settings_of(baseline_tuning.Tuning))]


def plain(data: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """All values that hold under `data` (as for `Rules.of`): {rule: {"off": …, setting: value, …}}.

    Raises:
        Invalid: see `Rules.of`.
    """
    Rules.of(data)
    values: dict[str, dict[str, Any]] = {}
    for one in catalogue():
        table = (data or {}).get(one.rule, {})
        off = bool(table.get("off", not one.on and one.rule not in (data or {})))
        settings = {name: s.kind(table.get(name, s.default)) for name, s in one.settings.items()}
        values[one.rule] = ({} if one.rule == BASELINE else {"off": off}) | settings
    return values


def differing(data: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The least table that says the same: only what differs from the defaults.

    Raises:
        Invalid: see `Rules.of`.
    """
    wanted, usual = plain(data), plain(None)
    changed: dict[str, dict[str, Any]] = {}
    for rule, table in wanted.items():
        if kept := {name: value for name, value in table.items() if value != usual[rule][name]}:
            # A rule that is off by default is on by having a table: one that stays off must say so.
            changed[rule] = ({"off": table["off"]} if usual[rule].get("off") else {}) | kept
    return changed
