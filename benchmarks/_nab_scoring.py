"""NAB's scoring: early detections inside anomaly windows earn, those outside cost, one limit for all files. Pure.

After Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark" (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.definitions import Floats

PROBATION_PART, PROBATION_ROWS = 0.15, 750
FAR = 3.0  # window widths after a window beyond which a false detection costs its full weight


@dataclass(frozen=True)
class Profile:
    """What a detection in a window earns, and what a missed window and a detection outside cost."""

    tp: float = 1.0
    fn: float = 1.0
    fp: float = 0.11


STANDARD = Profile()


@dataclass(frozen=True)
class Labelled:
    """One file: its length, its windows as (first row, last row), and the scores given to its rows."""

    rows: int
    windows: tuple[tuple[int, int], ...]
    scores: Floats


@dataclass(frozen=True)
class Result:
    """The normalised score of all files together, and what it consists of; None without any window."""

    score: float | None
    windows: int
    found: int
    false_detections: int


def probation(rows: int) -> int:
    """Rows at the start of a file that are not scored."""
    return min(int(PROBATION_PART * rows), PROBATION_ROWS)


def sigmoid(position: Floats) -> Floats:
    """Worth of a detection at a place relative to its window: -1 at the window's start, 0 at its end."""
    worth: Floats = 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, FAR))) - 1.0
    worth[position > FAR] = -1.0
    return worth


def worth(
    rows: int, windows: Sequence[tuple[int, int]]
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """[rows] what a detection is worth before its weight, and the number of its window (-1 outside)."""
    value, window = np.full(rows, -1.0), np.full(rows, -1, np.int64)
    for first, last in sorted(windows):
        after = np.arange(last + 1, rows)
        # A window of one row has no width to count in: what comes after it is far.
        value[last + 1 :] = sigmoid((after - last) / (last - first)) if last > first else -1.0
    best = float(sigmoid(np.array([-1.0]))[0])
    for number, (first, last) in enumerate(sorted(windows)):
        inside = np.arange(first, last + 1)
        value[first : last + 1] = sigmoid(-(last - inside + 1) / (last - first + 1)) / best
        window[first : last + 1] = number
    return value, window


def evaluate(files: Sequence[Labelled], limit: float, profile: Profile = STANDARD) -> Result:
    """The score at one limit: a row with a score of at least `limit` is a detection."""
    total, windows, found, false = 0.0, 0, 0, 0
    for file in files:
        value, window = worth(file.rows, file.windows)
        detected = file.scores >= limit
        detected[: probation(file.rows)] = False
        outside = detected & (window < 0)
        total += profile.fp * float(value[outside].sum())
        false += int(outside.sum())
        for number in range(len(file.windows)):
            hits = value[detected & (window == number)]
            total += profile.tp * float(hits.max()) if len(hits) else -profile.fn
            found += bool(len(hits))
        windows += len(file.windows)
    return Result(normalise(total, windows, profile), windows, found, false)


def normalise(total: float, windows: int, profile: Profile = STANDARD) -> float | None:
    """100 for every window found at its first row without a false detection, 0 for no detection at all."""
    if not windows:
        return None
    null, perfect = -profile.fn * windows, profile.tp * windows
    return 100.0 * (total - null) / (perfect - null)


def best_limit(files: Sequence[Labelled], limits: Sequence[float], profile: Profile = STANDARD) -> float:
    """The limit among `limits` with the best total (also where there are no windows)."""
    pairs = [(_total(files, limit, profile), limit) for limit in limits]
    return max(pairs)[1]


def _total(files: Sequence[Labelled], limit: float, profile: Profile) -> float:
    result = evaluate(files, limit, profile)
    return -result.false_detections * profile.fp if result.score is None else result.score
