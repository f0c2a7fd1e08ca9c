"""A rig of sensors read together: does any of them stand away from what commissioning rows taught? Pure.

Each sensor is smoothed and its distance from its baseline is measured in spreads of that smoothed distance; the
farthest sensor decides. Joint statistics (PCA T² and Q) were measured too and were no better here: faults of a
rig move a few sensors by a lot, while the joint ones add the noise of all.

The decision has three memories, so that one fault is one alarm: consecutive rows in and out, a clearing level
that follows the height of the alarm itself (a return from 100 spreads to 3 is a return, though 3 was never seen in
training), and a refractory level after it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from analytics.definitions import Bools, Floats
from kit.errors import Invalid

BLOCK = 50  # rows whose mean tells slow wander from noise
BEGIN = 20  # rows the smoothing starts from
ABSURD = 1e100


@dataclass(frozen=True)
class RigTuning:
    """One setting for all rigs, in rows and in spreads."""

    pace: float = 0.15  # weight of the newest row in the smoothing
    limit: float = 4.4
    rows_in: int = 8
    rows_out: int = 20
    clear: float = 0.8  # part of the limit below which an alarm may clear …
    clear_of_height: float = 0.5  # … or this part of how high the alarm stands, whichever is higher
    height_decay: float = 0.995  # per row
    refractory: float = 0.2  # part of an alarm's greatest height that the next one must exceed …
    refractory_rows: float = 150.0  # … with this half-life
    wander: float = 0.4  # weight of the slow wander seen in training
    learn_below: float = 0.7  # part of the limit up to which the baseline still learns …
    learn_rows: float = 3000.0  # … with this half-life
    least_training_rows: int = 100


@dataclass(frozen=True)
class Judgement:
    """One row.

    Attributes:
        score: distance of the farthest sensor, 1 is the limit; 0 where nothing could be judged.
        alarm: whether the rig is in alarm.
        distance: [sensor] signed, in spreads; NaN where a sensor is missing or does not count.
    """

    score: float
    alarm: bool
    distance: Floats


class RigScorer:
    """Learns commissioning rows, then judges one row after the other.

    Args:
        training: [row, sensor] in each sensor's unit; NaN is missing.
        conditions: columns that describe the circumstances (ambient or fluid temperature): they wander on their
            own and raise no alarm.

    Raises:
        Invalid: too few rows, or no sensor with enough readings.
    """

    def __init__(
        self, training: Floats, conditions: Collection[int] = (), tuning: RigTuning | None = None
    ) -> None:
        self.tuning = tuning or RigTuning()
        rows = _clean(np.array(training, np.float64, ndmin=2))
        if len(rows) < self.tuning.least_training_rows:
            raise Invalid(
                f"{len(rows)} training rows are too few; a rig needs {self.tuning.least_training_rows}."
            )
        enough = np.isfinite(rows).sum(axis=0) >= self.tuning.least_training_rows
        self.judged: Bools = enough & ~np.isin(np.arange(rows.shape[1]), list(conditions))
        if not self.judged.any():
            raise Invalid(
                "No sensor has enough readings to learn from: the training rows are empty, or all are conditions."
            )
        self._alarm, self._count = False, 0
        self._height = self._highest = self._refractory = 0.0
        self._learn = 1.0 - 0.5 ** (1.0 / self.tuning.learn_rows)
        self._train(rows)

    def step(self, row: Floats) -> Judgement:
        """Judge the next row; sensors that are missing in it keep their smoothed value and do not count."""
        values = _clean(np.asarray(row, np.float64))
        known = np.isfinite(values) & self.judged
        self._smooth(values)
        distance = np.where(known, (self._smoothed - self._baseline) / self._spread, np.nan)
        if not known.any():
            return Judgement(0.0, self._alarm, distance)
        score = float(np.nanmax(np.abs(distance))) / self.tuning.limit
        self._decide(score)
        if not self._alarm and score < self.tuning.learn_below:
            self._baseline[known] += self._learn * (self._smoothed - self._baseline)[known]
        return Judgement(score, self._alarm, distance)

    def _train(self, rows: Floats) -> None:
        """Baseline, spread of the smoothed distance, and the smoothing as it stands after the last row."""
        empty: Bools = np.isfinite(rows).sum(axis=0) == 0
        self._baseline = _mean(rows, empty)
        self._smoothed = np.where(np.isfinite(begin := _mean(rows[:BEGIN], empty)), begin, self._baseline)
        away = np.empty_like(rows)
        for at, row in enumerate(rows):
            self._smooth(row)
            away[at] = self._smoothed - self._baseline
        settled = away[min(BLOCK, len(rows) // 4) :]
        blocks = away[: len(rows) // BLOCK * BLOCK].reshape(-1, BLOCK, rows.shape[1]).mean(axis=1)
        spread = np.sqrt((settled**2).mean(axis=0) + (self.tuning.wander * blocks.std(axis=0)) ** 2)
        # A sensor that never moved in training is not infinitely exact: a thousandth of its level is no news.
        self._spread = np.maximum(spread, 1e-3 * np.abs(self._baseline) * self.tuning.pace + 1e-12)

    def _smooth(self, row: Floats) -> None:
        known = np.isfinite(row)
        self._smoothed[known] += self.tuning.pace * (row[known] - self._smoothed[known])

    def _decide(self, score: float) -> None:
        """Move the alarm by one row."""
        tuning = self.tuning
        self._refractory *= 0.5 ** (1.0 / tuning.refractory_rows)
        if self._alarm:
            towards = score < max(tuning.clear, tuning.clear_of_height * self._height)
        else:
            towards = score > max(1.0, self._refractory)
        self._count = self._count + 1 if towards else 0
        if self._count < (tuning.rows_out if self._alarm else tuning.rows_in):
            self._rise(score)
            return
        self._count = 0
        if self._alarm:
            self._refractory = tuning.refractory * self._highest
        self._rise(score)
        self._alarm = not self._alarm

    def _rise(self, score: float) -> None:
        """How high the alarm stands: its decaying and its greatest score."""
        self._height = max(self._height * self.tuning.height_decay, score) if self._alarm else score
        self._highest = max(self._highest, score) if self._alarm else score


def _clean(rows: Floats) -> Floats:
    """Infinite and absurd readings are missing ones."""
    with np.errstate(invalid="ignore"):
        cleaned: Floats = np.where(np.abs(rows) < ABSURD, rows, math.nan)
    return cleaned


def _mean(rows: Floats, empty: Bools) -> Floats:
    """[sensor] mean of what is there; 0 for a sensor that is empty throughout, NaN for one empty in these rows."""
    known = np.isfinite(rows)
    total, count = np.where(known, rows, 0.0).sum(axis=0), known.sum(axis=0)
    mean: Floats = np.where(empty, 0.0, np.where(count > 0, total / np.maximum(count, 1), math.nan))
    return mean
