"""Anomalies in single metrics (NAB) found by the streaming metric scorer.

    python -m benchmarks.nab --data DIR --out DIR2 [--folds]

DIR has `data/<kind>/<name>.csv` (or .csv.gz) with timestamp and value, and `combined_windows.json`, as NAB has.
Every file is read once, row by row, with one setting and one limit for all, both fixed in the code. Writes
DIR2/meantime/<kind>/meantime_<name>.csv with timestamp, value, anomaly_score and label, as NAB's results are
laid out, and prints one JSON line with the standard-profile score. `--folds` adds, for each kind held out, the
score at the limit that the other kinds would have chosen.

A file that `combined_windows.json` does not name gets its detections too, but no part in the score (null where no file
has windows), nor has a window without a row; both are said on standard error. An empty list is a label: no anomaly.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analytics.definitions import Floats, Ints
from analytics.streams.scorer import LIMIT, MetricScorer
from benchmarks._files import Refused, emit, note, number, read_rows, seconds, series
from benchmarks._nab_scoring import Labelled, best_limit, evaluate

DETECTOR = "meantime"
LIMITS = tuple(round(0.40 + 0.01 * n, 2) for n in range(31))


@dataclass(frozen=True)
class Series:
    """One file: stamps as written, ts [n] in seconds, values [n] (NaN where there is none), windows as rows (None:
    nobody labelled it)."""

    name: str
    stamps: list[str]
    ts: Ints
    values: Floats
    windows: tuple[tuple[int, int], ...] | None


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with data/ and combined_windows.json"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the detection scores")
    parser.add_argument("--folds", action="store_true", help="also by kind, limit chosen on the others")
    given = parser.parse_args(argv)
    try:
        files = read(given.data)
    except Refused as refusal:
        raise SystemExit(str(refusal)) from None
    scored = {}
    for file in files:
        scores = score(file)
        write(given.out, file, scores)
        if file.windows is not None:
            scored[file.name] = Labelled(len(scores), file.windows, scores)
    result = evaluate(list(scored.values()), LIMIT)
    context = {
        "files": len(files), "labelled": len(scored), "windows": result.windows, "windows_found": result.found,
        "false_detections": result.false_detections, "limit": LIMIT,
    }  # fmt: skip
    emit("nab.standard", result.score, "points", context)
    if given.folds and scored:
        _folds(scored)


def read(folder: Path) -> list[Series]:
    """All series of a NAB folder.

    Raises:
        Refused: no series, or one that cannot be read, or windows that cannot.
    """
    windows, path = _windows(folder)
    found = [_series(name, file, windows, path) for name, file in series(folder / "data")]
    if not found:
        raise Refused(f"{folder} has no data/<kind>/*.csv or *.csv.gz.")
    return found


def _windows(folder: Path) -> tuple[dict[str, list[tuple[str, str]]], Path]:
    """[start, end] of each file's windows, and where that is written; nothing where it is not there."""
    places = (folder / "combined_windows.json", folder / "labels/combined_windows.json")
    path = next((place for place in places if place.is_file()), places[0])
    if not path.is_file():
        note(
            f"{folder} has no combined_windows.json: detections are written, but nothing says what is right."
        )
        return {}, path
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: [(start, end) for start, end in pairs] for name, pairs in found.items()}, path
    except ValueError as error:
        raise Refused(f"{path} is not JSON like {{file: [[start, end], …]}}: {error}") from error
    except (AttributeError, TypeError):
        raise Refused(f"{path} must be like {{file: [[start, end], …]}}.") from None


def _series(name: str, path: Path, windows: dict[str, list[tuple[str, str]]], labels: Path) -> Series:
    rows = read_rows(path, ("timestamp", "value"))
    if not rows:
        raise Refused(f"{path} has no rows.")
    ts = np.array([seconds(row["timestamp"], path) for row in rows], np.int64)
    values = np.array([number(row["value"]) for row in rows])
    stamps = [row["timestamp"] for row in rows]
    if windows and name not in windows:
        note(f"{labels} says nothing about {name}: it has no part in the score.")
    if name not in windows:
        return Series(name, stamps, ts, values, None)
    return Series(name, stamps, ts, values, tuple(_placed(name, ts, windows[name], labels)))


def _placed(name: str, ts: Ints, windows: list[tuple[str, str]], labels: Path) -> Iterator[tuple[int, int]]:
    """First and last row of each window."""
    for start, end in windows:
        inside = np.flatnonzero((ts >= seconds(start, labels)) & (ts <= seconds(end, labels)))
        if len(inside):
            yield int(inside[0]), int(inside[-1])
        else:
            note(f"{labels}: the window {start} to {end} holds no row of {name}; it is left out.")


def score(file: Series) -> Floats:
    """[n] score of each row, from that row and those before it."""
    return np.array(MetricScorer().run(file.ts.tolist(), file.values.tolist()))


def write(out: Path, file: Series, scores: Floats) -> Path:
    """One file of scores in NAB's layout; label is 1 inside a window."""
    label = np.zeros(len(scores), np.int64)
    for first, last in file.windows or ():
        label[first : last + 1] = 1
    kind, name = file.name.split("/")
    path = out / DETECTOR / kind / f"{DETECTOR}_{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("timestamp", "value", "anomaly_score", "label"))
        for stamp, value, given, mark in zip(file.stamps, file.values, scores, label, strict=True):
            writer.writerow((stamp, "" if np.isnan(value) else repr(float(value)), f"{given:.6f}", mark))
    return path


def _folds(scored: dict[str, Labelled]) -> None:
    """Leave one kind out; the pooled figure weighs every window alike, as NAB does."""
    pooled: list[Labelled] = []
    for kind in sorted({name.split("/")[0] for name in scored}):
        inside = [file for name, file in scored.items() if name.startswith(f"{kind}/")]
        others = [file for name, file in scored.items() if not name.startswith(f"{kind}/")]
        limit = best_limit(others, LIMITS) if others else LIMIT
        result = evaluate(inside, limit)
        context = {
            "held_out": kind,
            "limit": limit,
            "windows": result.windows,
            "false_detections": result.false_detections,
        }
        emit("nab.standard.held_out", result.score, "points", context)
        # Detections at this fold's limit become 1, so that all folds can be scored together.
        pooled += [Labelled(f.rows, f.windows, (f.scores >= limit).astype(float)) for f in inside]
    emit(
        "nab.standard.held_out",
        evaluate(pooled, 1.0).score,
        "points",
        {"held_out": "each kind in turn, pooled"},
    )


if __name__ == "__main__":
    main()
