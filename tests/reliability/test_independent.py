"""The statistics against plain implementations written another way, on random data; bounds of the MTBF at the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from analytics.reliability import growth, lifetimes, recurrence, weibull
from kit.errors import Invalid

SEEDS = st.integers(0, 2**32 - 1)


def lives(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends, failed, entries: half of the lives entered late, some ends rounded so that they tie."""
    rng = np.random.default_rng(seed)
    n, shape, scale = int(rng.integers(8, 60)), rng.uniform(0.6, 5), 10 ** rng.uniform(1, 5)
    entry = scale * rng.uniform(0, 0.8, n) * (rng.random(n) < 0.5)
    life = scale * ((entry / scale) ** shape + rng.exponential(size=n)) ** (1 / shape)
    end = entry + scale * rng.uniform(0.2, 2.5, n)
    ends = np.minimum(life, end)
    tied = np.round(ends, -int(math.log10(scale)) + 1)
    return np.where((rng.random(n) < 0.3) & (tied > entry), tied, ends), life <= end, entry


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_weibull_and_its_bounds_are_those_of_a_plain_optimiser_and_a_numeric_hessian(seed: int) -> None:
    ends, failed, entry = lives(seed)

    def loss(at: np.ndarray) -> float:
        k, s = np.exp(at)
        hazards = np.log(k / s) + (k - 1) * np.log(ends[failed] / s)
        return float(-hazards.sum() + ((ends / s) ** k).sum() - ((entry / s) ** k).sum())

    try:
        found = weibull.fit(ends.tolist(), failed.tolist(), 0.9, entry.tolist())
    except Invalid:
        return
    start = np.log([found.shape * 1.2, found.scale * 0.9])
    best = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    assert (found.shape, found.scale) == pytest.approx(np.exp(best), rel=1e-6)
    h, unit = 1e-4, np.eye(2)
    hessian = np.array([
        [sum(i * j * loss(best + i * h * unit[a] + j * h * unit[b]) for i in (1, -1) for j in (1, -1)) for b in (0, 1)]
        for a in (0, 1)
    ]) / (4 * h * h)  # fmt: skip
    spread = stats.norm.ppf(0.95) * np.sqrt(np.diag(np.linalg.inv(hessian)))
    for at, bounds in enumerate((found.shape_bounds, found.scale_bounds)):
        assert bounds == pytest.approx(
            (np.exp(best[at] - spread[at]), np.exp(best[at] + spread[at])), rel=1e-5
        )


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_kaplan_meier_is_the_product_over_risk_sets_counted_one_by_one(seed: int) -> None:
    ends, failed, entry = lives(seed)
    points = {p.time: p for p in lifetimes.kaplan_meier(ends.tolist(), failed.tolist(), 0.9, entry.tolist())}
    survival, greenwood, z = 1.0, 0.0, stats.norm.ppf(0.95)
    assert sorted(points) == sorted(set(ends[failed]))
    for at in sorted(points):
        risk = sum(1 for a, b in zip(entry, ends, strict=True) if a < at <= b)
        died = sum(1 for b, f in zip(ends, failed, strict=True) if f and b == at)
        survival *= 1 - died / risk
        point = points[at]
        assert (point.at_risk, point.failures) == (risk, died)
        assert point.survival == pytest.approx(survival, abs=1e-12)
        if risk == died:
            assert (point.lower, point.upper) == (None, None)
            return  # nothing survives: later steps stay at 0
        greenwood += died / (risk * (risk - died))
        power = math.exp(z * math.sqrt(greenwood) / abs(math.log(survival)))
        assert (point.lower, point.upper) == pytest.approx(
            (survival**power, survival ** (1 / power)), rel=1e-9
        )


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_mean_cumulative_functions_error_is_the_sum_over_units_of_squared_deviations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = {f"u{n}": float(rng.uniform(100, 1000)) for n in range(int(rng.integers(2, 30)))}
    events = {u: np.floor(rng.uniform(1, e, rng.poisson(3))).tolist() for u, e in ends.items()}
    if not any(events.values()):
        return
    found = recurrence.mean_cumulative(events, ends, 0.9)
    deviation, mean = dict.fromkeys(ends, 0.0), 0.0
    for point in found:
        watched = [u for u, end in ends.items() if end >= point.time]
        here = {u: events[u].count(point.time) for u in watched}
        step = sum(here.values()) / len(watched)
        mean += step
        for u in watched:
            deviation[u] += (here[u] - step) / len(watched)
        error = math.sqrt(sum(d * d for d in deviation.values()))
        assert point.mean == pytest.approx(mean, rel=1e-12)
        if error < 1e-9:
            assert (point.error, point.lower, point.upper) == (None, None, None)
            continue
        assert point.error == pytest.approx(error, rel=1e-9, abs=1e-9)
        assert point.upper == pytest.approx(mean * math.exp(stats.norm.ppf(0.95) * error / mean), rel=1e-8)


@settings(max_examples=15, deadline=None)
@given(st.floats(1.05, 8), st.floats(10, 1e5), st.floats(1, 10), st.floats(12, 500))
def test_the_replacement_age_has_the_least_cost_of_all_ages(
    shape: float, scale: float, planned: float, failure: float
) -> None:
    life = weibull.Weibull(shape, scale, (1, 1), (1, 1), 0.9, 5, 5, 0.0)
    policy = weibull.optimal_replacement(life, planned, failure)

    def rate(age: np.ndarray) -> np.ndarray:
        dead = -np.expm1(-((age / scale) ** shape))
        lived = scale / shape * special.gamma(1 / shape) * special.gammainc(1 / shape, (age / scale) ** shape)
        return (planned * (1 - dead) + failure * dead) / lived

    ages = scale * np.exp(np.linspace(-8, 4, 2001))
    assert policy.run_to_failure_rate == pytest.approx(failure / (scale * math.gamma(1 + 1 / shape)))
    assert policy.cost_rate <= rate(ages).min() * (1 + 1e-4)  # beyond 99.99 % failed nothing is looked for
    if policy.age is not None:
        assert policy.cost_rate == pytest.approx(float(rate(np.array([policy.age]))[0]), rel=1e-8)


@pytest.mark.parametrize(("a", "b"), [(2, 4), (18, 20), (18, 22)])
def test_the_product_of_two_chi_squares_has_the_quantiles_that_drawing_it_has(a: int, b: int) -> None:
    rng = np.random.default_rng(3)
    drawn = rng.chisquare(a, 200_000) * rng.chisquare(b, 200_000)
    for share in (0.05, 0.5, 0.95):
        assert float((drawn < growth._product_quantile(share, a, b)).mean()) == pytest.approx(
            share, abs=0.004
        )


def test_the_bounds_of_the_mtbf_at_the_end_cover_it_as_often_as_they_say() -> None:
    rng, beta, rounds = np.random.default_rng(7), 0.6, 300
    exact = counted = 0
    for _ in range(rounds):
        steps = np.cumsum(rng.exponential(size=40))
        times = steps[:8] ** (1 / beta)
        low, high = growth.crow_amsaa(times.tolist(), level=0.9).mtbf_bounds
        exact += low <= times[-1] ** (1 - beta) / beta <= high
        times, end = steps[steps < 12] ** (1 / beta), 12 ** (1 / beta)
        low, high = growth.crow_amsaa(times.tolist(), end, 0.9, "time").mtbf_bounds
        counted += low <= end ** (1 - beta) / beta <= high
    assert 0.86 <= exact / rounds <= 0.94
    assert counted / rounds >= 0.88  # a little wide


def test_with_few_failures_the_mtbf_at_the_end_is_hardly_known_and_with_many_it_is() -> None:
    few, many = (growth.crow_amsaa((100.0 * np.arange(1, n + 1)).tolist()) for n in (2, 2000))
    assert few.mtbf_bounds[1] / few.mtbf_bounds[0] > 50
    assert many.mtbf_bounds == pytest.approx((many.mtbf_instantaneous,) * 2, rel=0.08)
    assert many.mtbf_bounds[0] < many.mtbf_instantaneous < many.mtbf_bounds[1]
