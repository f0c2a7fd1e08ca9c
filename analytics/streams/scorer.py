"""One metric, one pass, one setting: how unusual is this reading, given only the readings before it. Pure.

Two kinds of evidence are added up, each of which is silent about what the other sees:

* context: surprise of the reading after the readings before it, by several small models that differ in how they
  cut the range, how far they look back, and whether they see the value or its residual from the time of day;
* level: how rare the distance of a short mean from its recent past is, of the value and of the daily residual.

An alarm raises a level that later evidence must exceed and that decays: one happening is one alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from analytics.streams.context import ContextModel
from analytics.streams.running import DailyProfile, Moments, MovingMean, Quantiser, Rarity

LIMIT = 0.5  # the alarm limit of the score; `Tuning.alarm` says what evidence that is
ABSURD = 1e100  # beyond this a reading is garbage, not an extreme


@dataclass(frozen=True)
class Expert:
    """A context model: parts of the range, rows looked back, of the value or of the daily residual."""

    bins: int
    lags: tuple[int, ...]
    residual: bool = False


@dataclass(frozen=True)
class Level:
    """A short mean against its past: rows of the mean, half-life of the past, of the value or of the residual."""

    rows: int
    half_life: float
    residual: bool = False


@dataclass(frozen=True)
class Tuning:
    """One setting for all metrics: the middle of a wide plateau found on 31 development series, on the same
    with noise, other scales and reversed time, and by holding out kinds of them."""

    experts: tuple[Expert, ...] = (
        Expert(5, (1, 3, 9)),
        Expert(5, (3, 6, 9)),
        Expert(5, (3, 6, 9, 12)),
        Expert(5, (1, 3, 9), residual=True),
        Expert(5, (3, 6, 9), residual=True),
        Expert(5, (3, 6, 9, 12), residual=True),
    )
    levels: tuple[Level, ...] = (Level(12, 400), Level(24, 1500, residual=True))
    level_weight: float = 1.5  # nats per decade of rarity
    rarity_rows: int = 8000
    refractory_rows: float = 90.0  # half-life of the level an alarm leaves behind
    warm_rows: int = 50  # before that the score is 0 …
    warm_hours: float = 25.0  # … and before that, in event time
    alarm: float = 4.2  # evidence in nats at which the score is 0.5


class _LevelScore:
    def __init__(self, level: Level, rarity_rows: int) -> None:
        self.residual = level.residual
        self._mean = MovingMean(level.rows)
        self._past, self._long = Moments(level.half_life), Moments(2000)
        self._rarity = Rarity(rarity_rows)

    def step(self, value: float) -> float:
        mean = self._mean.step(value)
        spread = self._past.deviation + 0.1 * self._long.deviation
        # Rounded, so that the last bits of floating point are no evidence.
        z = round(abs(mean - self._past.mean) / spread, 3) if spread > 0 else 0.0
        self._past.step(mean)
        self._long.step(mean)
        return self._rarity.step(z)


class MetricScorer:
    """Scores one metric, reading by reading.

    State is bounded: frequency tables of at most some thousand contexts, and the last `rarity_rows` scores.

    >>> scorer = MetricScorer()
    >>> scores = [scorer.step(300.0 * n, float(n % 12)) for n in range(700)]
    >>> bool(max(scores) < 0.2 and scorer.step(210_000.0, 60.0) > 0.5)
    True
    """

    def __init__(self, tuning: Tuning | None = None) -> None:
        self.tuning = tuning or Tuning()
        self._profile = DailyProfile()
        self._experts = [
            (expert.residual, Quantiser(expert.bins), ContextModel(expert.bins + 2, expert.lags))
            for expert in self.tuning.experts
        ]
        self._levels = [_LevelScore(level, self.tuning.rarity_rows) for level in self.tuning.levels]
        self._decay = 0.5 ** (1.0 / self.tuning.refractory_rows)
        self._rows = 0
        self._first: float | None = None
        self._refractory = 0.0

    def step(self, second: float, value: float) -> float:
        """The score of one reading, in [0, 1); the alarm limit is LIMIT.

        Args:
            second: event time in seconds since the Unix epoch, UTC.
            value: NaN, infinite or absurd is a missing reading: it scores 0 and nothing is learned from it.
        """
        if not (abs(value) < ABSURD and math.isfinite(second)):
            return 0.0
        evidence = self.evidence(second, value)
        self._rows += 1
        self._refractory *= self._decay
        excess = max(evidence - self._refractory, 0.0)
        self._refractory += excess
        if self._first is None:
            self._first = second
        # Where the first day ends, its profile takes over from the mere level: that is no event of the metric.
        warm = self._rows > self.tuning.warm_rows and second - self._first > self.tuning.warm_hours * 3600
        return excess / (excess + self.tuning.alarm) if warm else 0.0

    def evidence(self, second: float, value: float) -> float:
        """Evidence in nats before the refractory level; learns the reading."""
        seen = (value, self._profile.step(second, value))
        surprise = math.fsum(
            model.step(quantiser.step(seen[residual])) for residual, quantiser, model in self._experts
        )
        rarity = math.fsum(level.step(seen[level.residual]) for level in self._levels)
        return surprise / len(self._experts) + self.tuning.level_weight * rarity

    def run(self, seconds: Iterable[float], values: Iterable[float]) -> list[float]:
        """The scores of many readings in turn: the same as one `step` after the other."""
        return [self.step(second, value) for second, value in zip(seconds, values, strict=True)]
