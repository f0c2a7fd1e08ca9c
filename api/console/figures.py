"""What processes say of themselves, in words and with units. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.console import format as shown
from api.text import Words
from ingest.reasons import REASONS


def figures(t: Words, detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value with its unit) of every figure; texts are left out, they are for the log."""
    return [(label, _value(t, name, value)) for label, name, value in _flat(t, detail)]


def _flat(t: Words, detail: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in detail.items():
        label = t.or_raw("figure", name)
        if isinstance(value, Mapping):
            yield from ((f"{label} {part}", str(part), one) for part, one in value.items())
        elif isinstance(value, bool | int | float):
            yield label, name, value


def _value(t: Words, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return t("app.yes" if value else "app.no")
    if not isinstance(value, int | float):
        return str(value)
    if name == "port":
        return str(value)
    if name.endswith("_bytes"):
        return shown.size(value)
    unit = {"ms": " ms", "seconds": " s"}.get(name.rpartition("_")[2], "")
    return shown.number(value) + unit


def total(t: Words, name: str) -> str:
    """What a total counts: `refused:out_of_range` → "Refused: Physically impossible"."""
    kind, _, reason = name.partition(":")
    if reason:
        return t(f"total.{kind}", reason=refusal(t, reason))
    return t.or_raw("total", name)


def refusal(t: Words, reason: str) -> str:
    """A reason of a refusal in words; as it is when this version does not know it."""
    known = REASONS.get(reason)
    if known is None:
        return reason.replace("_", " ")
    return known.text_zh if t.language == "zh" else known.text_en
