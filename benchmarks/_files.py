"""Reading the series of a benchmark folder and printing figures."""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path


class Refused(Exception):
    """The data cannot be used: says what is missing, and where."""


def emit(name: str, value: float | None, unit: str, context: Mapping[str, object]) -> None:
    """Print one figure as a JSON line; a value that cannot be said is null, never NaN."""
    if value is not None:
        value = round(value, 4)
    print(json.dumps({"name": name, "value": value, "unit": unit, "context": context}, allow_nan=False))


def note(text: str) -> None:
    """Say on standard error what was left out and why: standard output holds nothing but figures."""
    print(text, file=sys.stderr)


def series(folder: Path) -> Iterator[tuple[str, Path]]:
    """(folder/name.csv, path) of all .csv and .csv.gz files one folder down, by name; of a file that is there both
    packed and unpacked, the unpacked one.

    Raises:
        Refused: the folder is not there.
    """
    if not folder.is_dir():
        raise Refused(f"There is no folder {folder}.")
    found: dict[str, Path] = {}
    for path in (*folder.glob("*/*.csv"), *folder.glob("*/*.csv.gz")):
        found.setdefault(f"{path.parent.name}/{path.name.removesuffix('.gz')}", path)
    yield from sorted(found.items())


def read_rows(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file.

    Raises:
        Refused: the file cannot be read as text, or a column is missing.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise Refused(f"{path} has no column {', '.join(missing)}; it has {reader.fieldnames}.")
            return list(reader)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def number(text: str | None) -> float:
    """A reading; NaN where there is none."""
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def seconds(text: str | None, path: Path) -> int:
    """Seconds since the Unix epoch of a time stamp without a zone, taken as UTC.

    Raises:
        Refused: it is none.
    """
    try:
        return int(datetime.fromisoformat((text or "").strip()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise Refused(f"{path}: {text!r} is no time stamp like 2014-04-01 00:05:00.") from None
