"""Statistics against published answers and closed forms."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analytics.reliability import analysis, growth, lifetimes, pareto, rates, recurrence, weibull
from analytics.reliability.lives import Life
from analytics.reliability.weibull import Weibull
from kit.errors import Invalid


def table(path: Path) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


VALVE_SEATS = (
    (61, 0.02439, 41, 0.02409),
    (326, 0.51220, 41, 0.10974),
    (449, 0.75854, 40, 0.14270),
    (653, 1.54269, 9, 0.31166),
)


@pytest.fixture(scope="module")
def fans(shared_data: Path) -> tuple[list[float], list[bool]]:
    rows = table(shared_data / "reliability" / "genfan.csv")
    return [row["hours"] for row in rows], [row["status"] == 1 for row in rows]


def _as_the_pages_do(hours: list[float], failed: list[bool], level: float = 0.95) -> Weibull | None:
    lives = [
        Life(0, "", "", 0.0, at, "failed" if f else "running", None)
        for at, f in zip(hours, failed, strict=True)
    ]
    return analysis.of_lives(lives, level).fit


@pytest.mark.data
@pytest.mark.parametrize("fit", [weibull.fit, _as_the_pages_do])
def test_weibull_of_the_generator_fans(
    fans: tuple[list[float], list[bool]], fit: Callable[..., Weibull | None]
) -> None:
    found = fit(*fans)
    assert found is not None
    assert found.scale == pytest.approx(26296.845, rel=1e-7)
    assert found.shape == pytest.approx(1.0584458, rel=1e-7)
    assert found.scale_bounds == pytest.approx((10552.07, 65534.45), rel=1e-6)
    assert found.shape_bounds == pytest.approx((0.644082, 1.739386), rel=1e-6)
    assert found.quantile(0.1) == pytest.approx(3137.24, rel=1e-5)


@pytest.mark.data
def test_kaplan_meier_of_the_generator_fans(fans: tuple[list[float], list[bool]]) -> None:
    points = lifetimes.kaplan_meier(*fans)
    at_5000 = [point for point in points if point.time <= 5000][-1]
    assert at_5000.survival == pytest.approx(0.8272342, abs=1e-7)
    assert (at_5000.lower, at_5000.upper) == pytest.approx((0.698617, 0.904564), abs=1e-6)
    assert lifetimes.survival_at(points, 8750) == pytest.approx(0.7070378, abs=1e-7)


@pytest.mark.data
def test_mean_cumulative_function_of_the_valve_seats(shared_data: Path) -> None:
    events, ends = defaultdict(list), {}
    for row in table(shared_data / "reliability" / "valveSeat.csv"):
        if row["status"] == 1:
            events[str(row["id"])].append(row["time"])
        else:
            ends[str(row["id"])] = row["time"]
    points = {point.time: point for point in recurrence.mean_cumulative(events, ends)}
    for at, mean, risk, error in VALVE_SEATS:
        assert points[at].mean == pytest.approx(mean, abs=1e-5)
        assert points[at].at_risk == risk
        assert points[at].error == pytest.approx(error, abs=1e-5)


@pytest.mark.data
def test_growth_of_the_reference_system(shared_data: Path) -> None:
    found = growth.crow_amsaa(
        [row["hours"] for row in table(shared_data / "reliability" / "system_growth.csv")]
    )
    assert found.beta == pytest.approx(0.6142104, abs=1e-7)
    assert found.lam == pytest.approx(0.4239422, abs=1e-7)
    assert found.beta_unbiased == pytest.approx(0.5583731, abs=1e-7)
    assert found.mtbf_cumulative == pytest.approx(28.18182, abs=1e-5)
    assert found.mtbf_instantaneous == pytest.approx(45.88300, abs=1e-5)


@pytest.mark.parametrize(
    ("failures", "lower", "upper"),
    [
        (1, 0.2108, 19.4957),
        (2, 0.3177, 5.6281),
        (3, 0.3869, 3.6689),
        (5, 0.4756, 2.5379),
        (10, 0.5895, 1.8432),
        (50, 0.7901, 1.2832),
    ],
)
def test_mtbf_bounds_are_the_handbook_factors(failures: int, lower: float, upper: float) -> None:
    found = rates.mtbf(1000.0 * failures, failures)
    assert found.lower / 1000 == pytest.approx(lower, abs=5e-5)
    assert found.upper is not None
    assert found.upper / 1000 == pytest.approx(upper, abs=5e-5)


def test_mtbf_without_failures_has_a_lower_bound_only() -> None:
    found = rates.mtbf(1000.0, 0)
    assert found.lower == pytest.approx(434.29, abs=0.01)
    assert (found.value, found.upper) == (None, None)


def test_a_failure_terminated_test_uses_the_same_degrees_of_freedom_on_both_sides() -> None:
    found = rates.mtbf(1000.0, 5, ended="failure")
    assert found.lower == pytest.approx(2000 / stats.chi2.ppf(0.95, 10))
    assert found.upper == pytest.approx(2000 / stats.chi2.ppf(0.05, 10))


def test_mtbf_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    true, hours, covered = 200.0, 2000.0, 0
    for count in rng.poisson(hours / true, 2000):
        found = rates.mtbf(hours, int(count), 0.9)
        covered += found.lower <= true <= (found.upper or math.inf)
    assert covered / 2000 >= 0.89  # the time-terminated interval is conservative


@given(
    shape=st.floats(0.5, 5), scale=st.floats(10, 1e5), seed=st.integers(0, 2**32 - 1), cut=st.floats(0.3, 2.5)
)
def test_weibull_fit_is_a_maximum_of_the_likelihood(
    shape: float, scale: float, seed: int, cut: float
) -> None:
    lives = stats.weibull_min.rvs(shape, scale=scale, size=60, random_state=np.random.default_rng(seed))
    end = scale * cut
    failed = lives < end
    if failed.sum() < 3:
        return
    hours = np.minimum(lives, end)
    found = weibull.fit(hours.tolist(), failed.tolist())

    def likelihood(k: float, s: float) -> float:
        return float(
            stats.weibull_min.logpdf(hours[failed], k, scale=s).sum()
            + stats.weibull_min.logsf(hours[~failed], k, scale=s).sum()
        )

    best = likelihood(found.shape, found.scale)
    assert best == pytest.approx(found.log_likelihood, rel=1e-6, abs=1e-6)
    for k, s in ((1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99)):
        assert likelihood(found.shape * k, found.scale * s) <= best + 1e-9


@given(factor=st.floats(1e-3, 1e3))
def test_weibull_scale_follows_the_unit_of_time(factor: float) -> None:
    hours, failed = [10.0, 20.0, 33.0, 41.0, 50.0, 50.0], [True, True, False, True, False, True]
    base, scaled = weibull.fit(hours, failed), weibull.fit([hour * factor for hour in hours], failed)
    assert scaled.shape == pytest.approx(base.shape, rel=1e-8)
    assert scaled.scale == pytest.approx(base.scale * factor, rel=1e-8)


def test_replacement_pays_only_for_wear_out() -> None:
    wears = weibull.fit([900.0, 1000.0, 1100.0, 950.0, 1050.0], [True] * 5)
    chance = weibull.Weibull(1.0, 1000.0, (1, 1), (1, 1), 0.95, 5, 5, 0.0)
    policy = weibull.optimal_replacement(wears, 100, 1000)
    assert policy.age is not None
    assert policy.cost_rate < policy.run_to_failure_rate
    assert weibull.optimal_replacement(chance, 100, 1000).age is None


def test_trend_tests_tell_growth_from_none() -> None:
    rng = np.random.default_rng(3)
    steady = np.cumsum(rng.exponential(10, 200)).tolist()
    improving = (np.arange(1, 60) ** 2).astype(float).tolist()
    assert growth.trend(steady).laplace_p > 0.05
    better = growth.trend(improving)
    assert better.laplace < 0
    assert better.laplace_p < 0.001
    assert better.military_p < 0.001


def test_growth_bounds_cover_the_true_shape_as_often_as_they_say() -> None:
    rng, true, covered = np.random.default_rng(5), 0.7, 0
    for _ in range(1000):
        times = np.cumsum(rng.exponential(1, 20)) ** (1 / true)
        low, high = growth.crow_amsaa(times.tolist(), level=0.9).beta_bounds
        covered += low <= true <= high
    assert 0.87 <= covered / 1000 <= 0.93


def test_pareto_runs_to_one() -> None:
    rows = pareto.pareto({"seal": 2, "bearing": 5, "motor": 3})
    assert [row.name for row in rows] == ["bearing", "motor", "seal"]
    assert rows[-1].running == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: rates.mtbf(0, 1),
        lambda: rates.mtbf(10, -1),
        lambda: rates.mtbf(10, 1, level=95),
        lambda: rates.mttr([]),
        lambda: rates.availability(0, 0),
        lambda: weibull.fit([], []),
        lambda: weibull.fit([5.0, 5.0], [True, True]),
        lambda: weibull.fit([1.0, 2.0], [False, False]),
        lambda: weibull.fit([1.0, float("nan")], [True, True]),
        lambda: weibull.fit([1.0, 2.0], [True]),
        lambda: growth.crow_amsaa([1.0]),
        lambda: growth.crow_amsaa([1.0, 5.0], total=3.0, ended="time"),
        lambda: recurrence.mean_cumulative({}, {}),
        lambda: recurrence.mean_cumulative({"a": [5.0]}, {"a": 3.0}),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_sentence(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(Invalid, match=r"\w+ \w+"):
        wrong()
