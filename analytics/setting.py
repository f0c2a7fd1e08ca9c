"""One number that people may tune: its default with what it means, its unit and the range it may have. Pure.

A dataclass `Tuning` declares its settings with `setting(…)`; forms, refusals and the documentation read them from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from kit.errors import Invalid

UNITS: Mapping[str, tuple[str, str]] = {
    "": ("", ""),
    "h": ("h", "小时"),
    "d": ("d", "天"),
    "z": ("spreads", "倍离散度"),
    "rows": ("rows", "行"),
    "times": ("times", "次"),
    "×": ("×", "倍"),
    "share": ("share", "比例"),
    "severity": ("severity", "严重级别"),
}
"""Unit → what is shown in English and in Chinese."""


@dataclass(frozen=True)
class Setting:
    """What is known of one setting; `kind` is int or float, `low` … `high` the range it may have."""

    name: str
    kind: type[int] | type[float]
    default: float
    unit: str
    low: float
    high: float
    text_en: str
    text_zh: str

    def checked(self, rule: str, value: Any) -> float:
        """The value as this setting's kind.

        Raises:
            Invalid: it is no number, not whole where it must be, or outside the range; the key and range are named.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
        if not number or (self.kind is int and value != int(value)) or not self.low <= value <= self.high:
            kind = "a whole number" if self.kind is int else "a number"
            raise Invalid(
                f"{rule}.{self.name} must be {kind} from {self.low:g} to {self.high:g}, not {value!r}.",
                key=f"{rule}.{self.name}", low=self.low, high=self.high,
            )  # fmt: skip
        return self.kind(value)


def setting(default: Any, unit: str, low: float, high: float, en: str, zh: str) -> Any:
    """Declare a field of a `Tuning`."""
    return field(default=default, metadata={"unit": unit, "low": low, "high": high, "en": en, "zh": zh})


def settings_of(tuning: type[Any]) -> dict[str, Setting]:
    """All settings of a `Tuning`, by name. A field declared without `setting` may be any number of 0 or more."""
    found = {}
    for f in fields(tuning):
        m, default = f.metadata, cast(float, f.default)
        found[f.name] = Setting(
            f.name, int if isinstance(default, int) else float, default, m.get("unit", ""), m.get("low", 0.0),
            m.get("high", 1e9), m.get("en", ""), m.get("zh", ""),
        )  # fmt: skip
    return found
