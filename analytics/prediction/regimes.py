"""Operating regimes of units by clustering their settings, and readings in the spreads of their regime. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.definitions import Bools, Floats, Ints
from analytics.prediction.threads import one_thread
from kit.errors import Invalid

MOST = 8
CLEAR = 0.9  # silhouette of clusters that are real; noise without clusters reaches about 0.5
SAMPLE = 1500
DEAD = 1e-4  # a sensor that moves less says nothing


@dataclass(frozen=True)
class Run:
    """One unit's life so far, a row per cycle.

    Attributes:
        settings: [cycle, setting] what it was told to do; may have no columns.
        sensors: [cycle, sensor].
        failed: whether it failed after the last row; otherwise it is censored.
    """

    settings: Floats
    sensors: Floats
    failed: bool

    def __len__(self) -> int:
        return len(self.sensors)

    def first(self, cycles: int) -> Run:
        """The same life as it was known after so many cycles."""
        return Run(self.settings[:cycles], self.sensors[:cycles], False)


@dataclass(frozen=True)
class Regimes:
    """How readings are made comparable: clusters of settings, mean and spread of each sensor in each."""

    scale: Floats
    clusters: Any  # a fitted KMeans, or None where there is one regime
    mean: Floats  # [regime, sensor]
    spread: Floats
    alive: Bools  # [sensor]

    @classmethod
    def learn(cls, runs: Sequence[Run], seed: int = 0) -> Regimes:
        """From all cycles of all runs.

        Raises:
            Invalid: no sensor moves.
        """
        settings = np.vstack([run.settings for run in runs])
        sensors = np.vstack([run.sensors for run in runs])
        scale = settings.std(axis=0) + 1e-9
        # A setting that only wavers would blur the clusters of the others: it is scaled away.
        scale[[_clusters(settings[:, [at]] / scale[at], seed) is None for at in range(len(scale))]] = np.inf
        clusters = _clusters(settings / scale, seed)
        regime = np.zeros(len(sensors), np.int64) if clusters is None else clusters.predict(settings / scale)
        kinds = range(int(regime.max()) + 1)
        mean = np.array([np.nanmean(sensors[regime == at], axis=0) for at in kinds])
        spread = np.array([np.nanstd(sensors[regime == at], axis=0) for at in kinds])
        alive: Bools = np.all(spread > DEAD, axis=0)
        if not alive.any():
            raise Invalid(
                "No sensor of these units ever moves; nothing can be learned from them.", code="nothing_moves"
            )
        return cls(scale, clusters, mean, np.maximum(spread, DEAD), alive)

    def __call__(self, run: Run) -> Floats:
        """[cycle, living sensor] in spreads of the regime; a missing reading repeats the one before (or 0)."""
        at = np.zeros(len(run), np.int64)
        if self.clusters is not None:
            at = self.clusters.predict(run.settings / self.scale)
        z: Floats = ((run.sensors - self.mean[at]) / self.spread[at])[:, self.alive]
        return _held(np.clip(z, -10, 10))


def _held(z: Floats) -> Floats:
    there: Ints = np.where(np.isnan(z), -1, np.arange(len(z))[:, None])
    last = np.maximum.accumulate(there, axis=0)
    held = np.take_along_axis(z, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, held, 0.0)


@one_thread()
def _clusters(scaled: Floats, seed: int) -> Any:
    """The clusters of settings that are clearly apart; None where there are none."""
    # Here: whoever only reads a stored past imports this module, and should not wait for scikit-learn.
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    if not scaled.shape[1] or len(scaled) < 50:
        return None
    sample = scaled[np.random.default_rng(seed).permutation(len(scaled))[:SAMPLE]]
    best, found = CLEAR, None
    for count in range(2, MOST + 1):
        if len(np.unique(sample.round(6), axis=0)) <= count:
            break
        clusters = KMeans(count, n_init=5, random_state=seed).fit(sample)
        score = silhouette_score(sample, clusters.labels_)
        if score > best:
            best, found = score, clusters
    return found
