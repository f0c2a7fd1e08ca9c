"""What commands print: JSON with --json, short text without."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
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
    width = max((len(key) for key in value), default=0)
    for key, item in value.items():
        print(f"{key:<{width}}  {_text(item)}")


def table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Many things, one a line."""
    if _json:
        for row in rows:
            line(row)
        return
    names = list(columns or (rows[0] if rows else ()))
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)]
    for texts in [names, *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip())


def say(text: str) -> None:
    """A remark for people, on stderr, so that stdout stays clean for programs."""
    print(text, file=sys.stderr, flush=True)


def error(problem: MeantimeError) -> None:
    """A known error: one sentence on stderr, and JSON on stdout where that is wanted."""
    if _json:
        line({"error": problem.code, "message": problem.message, "details": problem.details})
    say(f"meantime: {problem.message}")


def _text(value: Any) -> str:
    value = plain(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
