"""Faults of a water-circulation rig (SKAB) found by the streaming rig scorer.

    python -m benchmarks.skab --data DIR [--folds]

DIR has `data/<folder>/*.csv` (or .csv.gz), as SKAB has: valve1, valve2, other. A recording without the column
`anomaly` (the anomaly-free one), or too short to train on, is left out, which is said on standard error.

The first 400 rows of a file are for training, the rest is judged row by row, with one setting for all files. Prints
one JSON object a line; point figures are pooled over the test rows of all files. `--folds` adds the figures by folder,
and for each folder the limit that the other folders would have chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analytics.definitions import Bools, Floats, Ints
from analytics.streams.rig import RigScorer, RigTuning
from benchmarks._files import Refused, emit, note, number, read_rows, seconds, series

SENSORS = (
    "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure",
    "Temperature", "Thermocouple", "Voltage", "Volume Flow RateRMS",
)  # fmt: skip
CONDITIONS = (SENSORS.index("Temperature"), SENSORS.index("Thermocouple"))
TRAINING_ROWS = 400
LIMITS = tuple(round(3.2 + 0.2 * n, 1) for n in range(15))


@dataclass(frozen=True)
class Recording:
    """One file: ts [n] in seconds, values [n, sensor], anomaly [n]."""

    name: str
    ts: Ints
    values: Floats
    anomaly: Bools


@dataclass(frozen=True)
class Tally:
    """Counts over test rows and episodes; additive over files."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    false_episodes: int = 0
    files_with_anomaly: int = 0
    delays: tuple[float, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        counts = [getattr(self, name) + getattr(other, name) for name in Tally.__dataclass_fields__]
        return Tally(*counts)

    def figures(self) -> dict[str, tuple[float | None, str]]:
        """Name → (value, unit); None where nothing can be said (no anomaly, or no normal hour)."""
        anomalous, normal = self.tp + self.fn, self.fp + self.tn
        hours = normal / 3600  # one row a second
        return {
            "skab.f1": (self.tp / (self.tp + (self.fn + self.fp) / 2) if anomalous else None, "ratio"),
            "skab.far": (100 * self.fp / normal if normal else None, "%"),
            "skab.mar": (100 * self.fn / anomalous if anomalous else None, "%"),
            "skab.false_episodes_per_hour": (self.false_episodes / hours if normal else None, "1/h"),
            "skab.files_found": (len(self.delays), "files"),
            "skab.median_delay_s": (float(np.median(self.delays)) if self.delays else None, "s"),
        }


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with data/<folder>/*.csv")
    parser.add_argument("--folds", action="store_true", help="also by folder, limit chosen on the others")
    given = parser.parse_args(argv)
    try:
        recordings = read(given.data)
    except Refused as refusal:
        raise SystemExit(str(refusal)) from None
    total = sum((tally(recording, judge(recording)) for recording in recordings), Tally())
    context = {
        "files": len(recordings),
        "files_with_anomaly": total.files_with_anomaly,
        "limit": RigTuning().limit,
    }
    for name, (value, unit) in total.figures().items():
        emit(name, value, unit, context)
    if given.folds:
        _folds(recordings)


def read(folder: Path) -> list[Recording]:
    """All labelled recordings of a SKAB folder.

    Raises:
        Refused: there is none, or one lacks a sensor or cannot be read.
    """
    read = [_recording(name, path) for name, path in series(folder / "data")]
    found = [recording for recording in read if recording is not None]
    if not found:
        raise Refused(
            f"{folder} has no data/<folder>/*.csv or *.csv.gz with labels and over {TRAINING_ROWS} rows."
        )
    return found


def _recording(name: str, path: Path) -> Recording | None:
    """None for one that cannot be scored."""
    rows = read_rows(path, ("datetime", *SENSORS), delimiter=";")
    if len(rows) <= TRAINING_ROWS:
        note(
            f"{name} has {len(rows)} rows; {TRAINING_ROWS} are for training and some must be left: left out."
        )
        return None
    if "anomaly" not in rows[0]:
        note(f"{name} has no column anomaly: left out.")
        return None
    return Recording(
        name,
        np.array([seconds(row["datetime"], path) for row in rows], np.int64),
        np.array([[number(row[sensor]) for sensor in SENSORS] for row in rows]),
        np.array([number(row["anomaly"]) > 0 for row in rows]),
    )


def judge(recording: Recording, tuning: RigTuning | None = None) -> Bools:
    """[n - TRAINING_ROWS] alarm or not, row by row."""
    scorer = RigScorer(recording.values[:TRAINING_ROWS], CONDITIONS, tuning)
    return np.array([scorer.step(row).alarm for row in recording.values[TRAINING_ROWS:]], bool)


def tally(recording: Recording, alarm: Bools) -> Tally:
    """Count one file. A false episode is one that no anomalous row falls into."""
    true, ts = recording.anomaly[TRAINING_ROWS:], recording.ts[TRAINING_ROWS:]
    edges = np.flatnonzero(np.diff(np.r_[0, alarm.astype(int), 0])).reshape(-1, 2)
    hits = np.flatnonzero(alarm & true)
    delays = (float(ts[hits[0]] - ts[np.flatnonzero(true)[0]]),) if len(hits) else ()
    return Tally(
        int((alarm & true).sum()),
        int((alarm & ~true).sum()),
        int((~alarm & true).sum()),
        int((~alarm & ~true).sum()),
        sum(not true[start:end].any() for start, end in edges),
        int(true.any()),
        delays,
    )


def _folds(recordings: list[Recording]) -> None:
    """Leave one folder out: its figures at the limit with the best merit on the others."""
    by_limit = {
        limit: {r.name: tally(r, judge(r, replace(RigTuning(), limit=limit))) for r in recordings}
        for limit in LIMITS
    }
    pooled = Tally()
    for folder in sorted({recording.name.split("/")[0] for recording in recordings}):
        inside = [r.name for r in recordings if r.name.split("/")[0] == folder]
        others = [r.name for r in recordings if r.name not in inside]
        limit = max(LIMITS, key=lambda limit: _merit(by_limit[limit], others))
        held = sum((by_limit[limit][name] for name in inside), Tally())
        pooled += held
        _emit_fold(held, {"held_out": folder, "limit": limit, "files": len(inside)})
    _emit_fold(pooled, {"held_out": "each folder in turn, pooled"})


def _merit(tallies: dict[str, Tally], names: list[str]) -> float:
    """F1, less a penalty for what lies above a FAR of 12 % or one false episode an hour."""
    figures = sum((tallies[name] for name in names), Tally()).figures()
    f1, far, episodes = (
        figures[f"skab.{name}"][0] or 0.0 for name in ("f1", "far", "false_episodes_per_hour")
    )
    return f1 - 0.01 * max(0.0, far - 12.0) - 0.02 * max(0.0, episodes - 1.0)


def _emit_fold(held: Tally, context: dict[str, object]) -> None:
    for name, (value, unit) in held.figures().items():
        emit(f"{name}.held_out", value, unit, context)


if __name__ == "__main__":
    main()
