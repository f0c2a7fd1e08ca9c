"""Remaining useful life with an interval: quantile boosting, calibrated on units that were held out. Pure.

The expected life blends boosting with two learners that are smooth in the features (support vectors, a small neural
network): their errors are not the same ones, so the mean of all has less than the best alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from analytics.definitions import Floats, Ints
from analytics.prediction import life_features
from analytics.prediction.life_features import Health
from analytics.prediction.regimes import Regimes, Run
from analytics.prediction.threads import one_thread
from kit.errors import Invalid

COVERAGE = 0.8
FEWEST_RUNS = 10
FEWEST_CYCLES = 10
GROUPS = (
    0.4,
    0.8,
)  # shares of the cap that part the predictions for calibration: the error grows with the distance
SMOOTH = 0.4  # weight of the smooth learners in the expected life
SMOOTH_ROWS = 4000  # as many cycles as support vectors learn from: their cost grows with the square
NET_STEPS = 20  # passes through the cycles; the network is stopped early on purpose
NET_SCALE = 25.0  # cycles: the network learns best on targets of a few units
CUTS = 8  # moments of each held-out life at which the interval is put to the test


@dataclass(frozen=True)
class Settings:
    """How it is learned.

    Attributes:
        cap: what lies further ahead than so many cycles cannot be seen yet; the target is min(remaining, cap).
        members: models of the expected life; each sees other cycles, their mean counts.
    """

    cap: float = 125.0
    members: int = 4
    folds: int = 4
    iterations: int = 250
    seed: int = 0


@dataclass(frozen=True)
class Life:
    """[unit] cycles left: 10 %, 50 % and 90 % quantiles and the expected value; at the cap it means "or more"."""

    low: Floats
    median: Floats
    high: Floats
    expected: Floats


@dataclass(frozen=True)
class _Fitted:
    """Models on features: of the expected life (boosted; smooth: with the factor to cycles), of the three quantiles."""

    boosted: list[Any]
    smooth: list[tuple[Any, float]]
    quantiles: list[Any]

    def __call__(self, x: Floats, cap: float) -> Life:
        low, median, high = np.sort([model.predict(x) for model in self.quantiles], axis=0)
        boosted = np.mean([model.predict(x) for model in self.boosted], axis=0)
        # Clipped one by one: far from what they have seen, smooth learners may say anything.
        smooth = np.mean([np.clip(model.predict(x) * scale, 0, cap) for model, scale in self.smooth], axis=0)
        expected = (1 - SMOOTH) * boosted + SMOOTH * smooth
        return Life(*(np.clip(part, 0, cap) for part in (low, median, high, expected)))


@dataclass(frozen=True)
class LifeModel:
    """A fitted model of a fleet's remaining life.

    Attributes:
        widen: [group] cycles by which the interval is widened (or narrowed) so that it holds what it promises.
        held_out: errors and coverage on units that were held out: rmse, coverage, n.
    """

    settings: Settings
    sensors: int
    regimes: Regimes
    health: Health
    fitted: _Fitted
    widen: Floats
    held_out: dict[str, float]

    @one_thread()
    def predict(self, runs: Sequence[Run]) -> Life:
        """After the last cycle of each run.

        Raises:
            Invalid: no runs, an empty run, or other sensors than it was fitted on.
        """
        if not runs:
            raise Invalid("The population is empty: there is no unit to predict.")
        for run in runs:
            if not len(run) or run.sensors.shape[1] != self.sensors:
                raise Invalid(
                    f"Each run needs a cycle and {self.sensors} sensors; one has the shape {run.sensors.shape}."
                )
        x = np.vstack([life_features.build(self.regimes(run), self.health)[-1] for run in runs])
        life = self.fitted(x, self.settings.cap)
        by = self.widen[_group(life.expected, self.settings.cap)]
        low, high = _interval(life, by, self.settings.cap)
        return Life(low, np.clip(life.median, low, high), high, life.expected)


@one_thread()
def fit(runs: Sequence[Run], settings: Settings = Settings()) -> LifeModel:
    """Learn from runs to failure.

    Raises:
        Invalid: no runs, too few that ended in a failure, or too short ones.
    """
    if not runs:
        raise Invalid("The population is empty: there is no unit to learn from.", code="no_lives")
    failed = [run for run in runs if run.failed and len(run) >= FEWEST_CYCLES]
    if len(failed) < FEWEST_RUNS:
        raise Invalid(
            f"{len(failed)} of {len(runs)} units failed after at least {FEWEST_CYCLES} cycles, the others are "
            f"censored; remaining life can be learned from {FEWEST_RUNS} failures or more.",
            code="too_few_failed",
            failed=len(failed),
            lives=len(runs),
            cycles=FEWEST_CYCLES,
            learn=FEWEST_RUNS,
        )
    regimes = Regimes.learn(failed, settings.seed)
    lives = [regimes(run) for run in failed]
    remaining = [np.minimum(np.arange(len(z))[::-1], settings.cap).astype(float) for z in lives]
    health = Health.learn(lives, remaining, settings.cap)
    x = np.vstack([life_features.build(z, health) for z in lives])
    y = np.concatenate(remaining)
    unit = np.repeat(np.arange(len(lives)), [len(z) for z in lives])
    widen, held_out = _calibrate(x, y, unit, settings)
    fitted = _fit(x, y, settings, settings.members)
    return LifeModel(settings, failed[0].sensors.shape[1], regimes, health, fitted, widen, held_out)


def _fit(x: Floats, y: Floats, settings: Settings, members: int) -> _Fitted:
    """Neighbouring cycles are nearly the same, so each model takes every so-manieth: as good, and several at the
    price of one."""

    def model(at: int, every: int, **loss: Any) -> Any:
        boosting = HistGradientBoostingRegressor(
            max_iter=settings.iterations,
            learning_rate=0.04,
            max_leaf_nodes=12,
            min_samples_leaf=20,
            l2_regularization=1.0,
            max_features=0.3,
            early_stopping=False,
            random_state=settings.seed + at,
            **loss,
        )
        return boosting.fit(x[at % every :: every], y[at % every :: every])

    margin = (1 - COVERAGE) / 2
    return _Fitted(
        [model(at, 2) for at in range(members)],
        _smooth(x, y, settings.seed),
        [model(at, 3, loss="quantile", quantile=q) for at, q in enumerate((margin, 0.5, 1 - margin))],
    )


def _smooth(x: Floats, y: Floats, seed: int) -> list[tuple[Any, float]]:
    """Fitted models with the factor that makes cycles of what they say."""
    every = max(1, round(len(x) / SMOOTH_ROWS))
    vectors = make_pipeline(StandardScaler(), SVR(C=100.0, gamma=0.002, epsilon=8.0))
    net = make_pipeline(
        StandardScaler(),
        MLPRegressor(
            hidden_layer_sizes=(32,),
            alpha=3.0,
            learning_rate_init=2e-3,
            max_iter=NET_STEPS,
            random_state=seed,
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose
        net.fit(x[::2], y[::2] / NET_SCALE)
    return [(vectors.fit(x[::every], y[::every]), 1.0), (net, NET_SCALE)]


def _calibrate(x: Floats, y: Floats, unit: Ints, settings: Settings) -> tuple[Floats, dict[str, float]]:
    """Conformal: how far the truth lay outside the interval, on moments of lives the models had not seen."""
    rng = np.random.default_rng(settings.seed)
    error, outside, group, covered = [], [], [], []
    folds = GroupKFold(min(settings.folds, len(np.unique(unit))))
    for learned, held in folds.split(x, y, unit):
        fitted = _fit(x[learned], y[learned], settings, 1)
        at = np.concatenate(
            [_moments(held[unit[held] == one], settings.cap, rng) for one in np.unique(unit[held])]
        )
        life = fitted(x[at], settings.cap)
        error.append(life.expected - y[at])
        outside.append(np.maximum(life.low - y[at], y[at] - life.high))
        group.append(_group(life.expected, settings.cap))
        covered.append(outside[-1] <= 0)
    scores, groups = np.concatenate(outside), np.concatenate(group)
    widen = np.array([_quantile(scores[groups == at], scores) for at in range(len(GROUPS) + 1)])
    return widen, {
        "rmse": float(np.sqrt(np.mean(np.concatenate(error) ** 2))),
        "coverage_before": float(np.mean(np.concatenate(covered))),
        "moments": float(len(scores)),
    }


def _moments(life: Ints, cap: float, rng: np.random.Generator) -> Ints:
    """Cycles at which a unit may be asked for: not in its first ones, not long before the cap."""
    some = life[EARLIEST if len(life) > 2 * EARLIEST else 0 :][-round(1.2 * cap) :]
    return rng.choice(some, min(CUTS, len(some)), replace=False)


EARLIEST = 30


def _quantile(scores: Floats, all_scores: Floats) -> float:
    """The finite-sample quantile; a group with few moments takes that of all."""
    some = scores if len(scores) >= 20 else all_scores
    share = min(1.0, COVERAGE * (1 + 1 / len(some)))
    return float(np.quantile(some, share, method="higher"))


def _group(expected: Floats, cap: float) -> Ints:
    return np.searchsorted(np.array(GROUPS) * cap, expected)


def _interval(life: Life, by: Floats, cap: float) -> tuple[Floats, Floats]:
    low, high = np.clip(life.low - by, 0, cap), np.clip(life.high + by, 0, cap)
    middle = (low + high) / 2
    crossed = low > high
    return np.where(crossed, middle, low), np.where(crossed, middle, high)
