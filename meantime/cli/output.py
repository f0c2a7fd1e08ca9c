"""What commands print: JSON with --json, short text without."""

from __future__ import annotations

import dataclasses
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from kit.errors import MeantimeError

_json = False


def use_json(wanted: bool) -> None:
    """Choose the form for this process."""
    global _json  # one process, one command
    _json = wanted


def is_json() -> bool:
    """Whether programs read what is printed."""
    return _json


def plain(value: Any) -> Any:
    """JSON's types: times as ISO 8601, Decimal as text, dataclasses as objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, (Decimal, bytes)) else value


def line(value: Any) -> None:
    """One JSON line on stdout, at once; for streams that programs read."""
    print(json.dumps(plain(value), ensure_ascii=False), flush=True)


def show(value: Mapping[str, Any]) -> None:
    """One thing with its properties."""
    if _json:
        line(value)
        return
    told = {key.replace("_", " "): _text(item) for key, item in value.items()}
    width = max(map(_width, told), default=0)
    for key, text in told.items():
        print(f"{_padded(key, width)}  {text}")


def table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Many things, one a line."""
    if _json:
        for row in rows:
            line(row)
        return
    names = list(columns or (rows[0] if rows else ()))
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max(map(_width, column)) for column in zip(names, *cells, strict=True)]
    for texts in [names, *cells]:
        print("  ".join(map(_padded, texts, widths)).rstrip())


def say(text: str) -> None:
    """A remark for people, on stderr, so that stdout stays clean for programs."""
    print(text, file=sys.stderr, flush=True)


def error(problem: MeantimeError) -> None:
    """A known error: one sentence on stderr, and JSON on stdout where that is wanted."""
    if _json:
        line({"error": problem.code, "message": problem.message, "details": problem.details})
    say(f"meantime: {problem.message}")


def size(count: float | None) -> str:
    """Bytes as people read them, with the exact number: `1.4 GB (1,503,238,553 B)`."""
    if count is None:
        return ""
    amount, units = float(count), ["B", "KB", "MB", "GB", "TB", "PB"]
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{count:,} B" if units[0] == "B" else f"{amount:,.1f} {units[0]} ({count:,} B)"


def _width(text: str) -> int:
    """Columns of a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _text(value: Any) -> str:
    """For people: nothing of Python or JSON."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = plain(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    return "" if value is None else str(value)
