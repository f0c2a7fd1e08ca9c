"""Features of a unit after each cycle, relative to its own early life. Pure; none looks ahead.

Besides windows of each sensor there are two health indices (all sensors in one number, along the direction in which
units wear), and to each index exponential growth curves of several rates are fitted through every prefix in closed
form: how far the index has grown under each rate, how well that rate explains it, and when it will reach the level
at which units failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from sklearn.linear_model import LogisticRegression, Ridge

from analytics.definitions import Floats

EARLY = 20  # cycles that are a unit's own beginning
RATES = np.array([0.008, 0.012, 0.017, 0.023, 0.03, 0.04, 0.055])  # growth a cycle
RIDGE = 0.5
NEAR = 20.0  # cycles to failure at which wear is beyond doubt


@dataclass(frozen=True)
class Health:
    """Directions of wear, and what units looked like when they failed.

    Attributes:
        weights: [sensor, index]; noise: [index] variance of one reading; failed: [index] growth at failure.
    """

    weights: Floats
    noise: Floats
    failed: Floats

    @classmethod
    def learn(cls, lives: Sequence[Floats], remaining: Sequence[Floats], cap: float) -> Health:
        """Args: lives: of each failed unit [cycle, sensor]; remaining: [cycle] capped target."""
        z, y = np.vstack(lives), np.concatenate(remaining)
        worn, fresh = y <= min(NEAR, cap / 4), y >= cap
        linear = -Ridge(10.0).fit(z, y).coef_
        directions = [linear]
        if worn.any() and fresh.any():
            both = worn | fresh
            directions.append(LogisticRegression(C=0.01, max_iter=500).fit(z[both], worn[both]).coef_[0])
        weights = np.column_stack([w / max(float(np.abs(w).sum()), 1e-12) for w in directions])
        indices = [life @ weights for life in lives]
        noise = np.mean([np.mean(np.diff(h, axis=0) ** 2, axis=0) / 2 for h in indices], axis=0)
        grown = [_smooth(h, 0.2)[-1] - h[:EARLY].mean(axis=0) for h in indices]
        return cls(weights, noise + 1e-12, np.maximum(np.mean(grown, axis=0), 1e-6))


def build(z: Floats, health: Health) -> Floats:
    """[cycle, feature] of one unit; z: [cycle, sensor] in spreads of the regime."""
    cycles = np.arange(1.0, len(z) + 1)[:, None]
    so_far = np.cumsum(z, axis=0) / cycles
    slow = _smooth(z, 0.1)
    parts = [_window(z, 5), _window(z, 20), slow - so_far, slow - _early(so_far), cycles]
    index = z @ health.weights
    so_far = np.cumsum(index, axis=0) / cycles
    fast, slow, slower = (_smooth(index, rate) for rate in (0.2, 0.1, 0.04))
    early = _early(so_far)
    parts += [fast, slow, slower, _window(index, 10), _window(index, 30), so_far]
    parts += [slow - so_far, slow - early, slower - early]
    parts += [_slope(index, cycles, window) * window for window in (15, 30, 60)]
    parts += [
        _growth(index[:, at], float(health.noise[at]), float(health.failed[at]))
        for at in range(index.shape[1])
    ]
    return np.hstack(parts)


def _smooth(x: Floats, rate: float) -> Floats:
    """Exponentially weighted mean along the cycles, unbiased from the first."""
    weight = 1 - (1 - rate) ** np.arange(1, len(x) + 1)
    smooth: Floats = lfilter([rate], [1.0, rate - 1], x, axis=0) / weight[:, None]
    return smooth


def _window(x: Floats, cycles: int) -> Floats:
    """Mean of the last cycles, of as many as there are."""
    total = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
    end = np.arange(1, len(x) + 1)
    begin = np.maximum(end - cycles, 0)
    return (total[end] - total[begin]) / (end - begin)[:, None]


def _early(so_far: Floats) -> Floats:
    """Mean of the unit's first cycles, of as many as there are."""
    return so_far[np.minimum(np.arange(len(so_far)), EARLY - 1)]


def _slope(x: Floats, cycles: Floats, window: int) -> Floats:
    middle = _window(cycles, window)
    spread = _window(cycles * cycles, window) - middle**2
    return (_window(cycles * x, window) - middle * _window(x, window)) / np.where(
        spread > 1e-9, spread, np.inf
    )


def _growth(index: Floats, noise: float, failed: float) -> Floats:
    """Least squares of a + b exp(rate (cycle - now)) over each prefix, for each rate.

    Returns [cycle, …]: b by rate, two of the a, the rate and b expected over the rates (weighted by how well each
    explains the prefix), and cycles until b has grown to `failed`: expected, and by rate.
    """
    n, total = np.arange(1.0, len(index) + 1), np.cumsum(index)
    squares = np.cumsum(index * index) - total * total / n
    level, grown, error = (np.empty((len(index), len(RATES))) for _ in range(3))
    for at, rate in enumerate(RATES):
        decay = np.exp(-rate)
        first = lfilter([1.0], [1.0, -decay], np.ones(len(index)))
        second = lfilter([1.0], [1.0, -decay * decay], np.ones(len(index)))
        variance = second - first * first / n
        covariance = lfilter([1.0], [1.0, -decay], index) - first * total / n
        b = covariance / (variance + RIDGE)
        grown[:, at], level[:, at] = b, (total - b * first) / n
        error[:, at] = squares - 2 * b * covariance + b * b * variance
    weight = np.exp(-(error - error.min(axis=1, keepdims=True)) / (2 * noise))
    weight /= weight.sum(axis=1, keepdims=True)
    left = np.clip(np.log(failed / np.maximum(grown, failed * 1e-3)) / RATES, 0, 200)
    expected = (weight * np.minimum(left, 125)).sum(axis=1)
    return np.column_stack(
        [
            grown,
            level[:, [1, 4]],
            weight @ RATES,
            (weight * grown).sum(axis=1),
            expected,
            left[:, 1:6].clip(max=150),
        ]
    )
