"""The fit of many groups at once, and lives that were entered late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analytics.reliability import many, rates, weibull
from analytics.reliability.reasons import REASONS
from analytics.reliability.weibull import Weibull
from kit.errors import Invalid

Group = tuple[list[float], list[bool], list[float]]


def groups_of(seed: int, groups: int, late: bool) -> list[Group]:
    """Groups of 1 to 30 lives: times, failed, entries."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(groups):
        n, shape, scale = int(rng.integers(1, 31)), rng.uniform(0.4, 8), 10 ** rng.uniform(1, 5)
        entry = scale * rng.uniform(0, 1, n) if late else np.zeros(n)
        life = scale * ((entry / scale) ** shape + rng.exponential(size=n)) ** (1 / shape)
        end = entry + scale * rng.uniform(0.05, 1.5, n)
        made.append((np.minimum(life, end).tolist(), (life <= end).tolist(), entry.tolist()))
    return made


def together(groups: list[Group], order: list[int] | None = None) -> list[Weibull | many.Unfit]:
    times = np.concatenate([times for times, _, _ in groups])
    failed = np.concatenate([np.array(failed, bool) for _, failed, _ in groups])
    entries = np.concatenate([entries for _, _, entries in groups])
    which = np.repeat(np.arange(len(groups)), [len(times) for times, _, _ in groups])
    at = np.arange(len(times)) if order is None else np.random.default_rng(order[0]).permutation(len(times))
    return many.fit_groups(times[at], failed[at], which[at], len(groups), 0.9, entries[at])


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), late=st.booleans())
def test_all_at_once_gives_what_one_by_one_gives(seed: int, late: bool) -> None:
    groups = groups_of(seed, 8, late)
    for (times, failed, entries), found in zip(groups, together(groups, [seed]), strict=True):
        if isinstance(found, many.Unfit):
            assert found.reason in REASONS
            with pytest.raises(Invalid) as told:
                weibull.fit(times, failed, 0.9, entries)
            assert told.value.details["reason"] == found.reason
            continue
        single = weibull.fit(times, failed, 0.9, entries)
        assert (found.failures, found.population) == (single.failures, single.population)
        for name in ("shape", "scale", "shape_bounds", "scale_bounds", "log_likelihood"):
            assert getattr(found, name) == pytest.approx(getattr(single, name), rel=1e-7, abs=1e-6), name


def test_right_censored_fits_are_those_of_scipys_general_optimiser() -> None:
    for (times, failed, _), found in zip(groups := groups_of(4, 3, False), together(groups), strict=True):
        if isinstance(found, many.Unfit):
            continue
        hours, events = np.array(times), np.array(failed)
        data = stats.CensoredData(uncensored=hours[events], right=hours[~events])
        shape, _, scale = stats.weibull_min.fit(data, floc=0)
        assert (found.shape, found.scale) == pytest.approx((shape, scale), rel=1e-3)


def test_a_group_without_lives_and_no_groups_are_answered() -> None:
    nothing = np.empty(0)
    assert [one.reason for one in many.fit_groups(nothing, nothing > 0, nothing.astype(int), 2)
            if isinstance(one, many.Unfit)] == ["empty", "empty"]  # fmt: skip
    found = many.fit_groups(np.array([5.0]), np.array([False]), np.array([1]), 3)
    assert [one.reason for one in found if isinstance(one, many.Unfit)] == ["empty", "all_censored", "empty"]


def test_a_life_entered_late_is_not_taken_for_one_that_was_watched_from_new() -> None:
    """Machines of all ages, watched for a short while: ignoring how they came in would call them long-lived."""
    rng, true = np.random.default_rng(8), (2.5, 1000.0)
    born = rng.uniform(-3000, 0, 40_000)
    ends = born + true[1] * rng.weibull(true[0], born.size)
    there = ends > 0  # who died before is in nobody's record
    entry, age = -born[there], np.minimum(ends[there], 100) - born[there]
    failed = ends[there] <= 100
    right = weibull.fit(age.tolist(), failed.tolist(), 0.95, entry.tolist())
    wrong = weibull.fit(age.tolist(), failed.tolist(), 0.95)
    assert right.shape_bounds[0] <= true[0] <= right.shape_bounds[1]
    assert right.scale_bounds[0] <= true[1] <= right.scale_bounds[1]
    assert wrong.scale > 1.3 * true[1]


def test_hours_too_few_to_tell_a_shape_are_refused_in_words() -> None:
    with pytest.raises(Invalid) as told:
        weibull.fit([10_000.5, 10_000.7, 10_001.0], [True, True, False], 0.9, [10_000.0] * 3)
    assert told.value.details["reason"] == "same_time"
    with pytest.raises(Invalid) as narrow:
        weibull.fit([10_001.4, 10_007.0, 10_010.0], [True, True, False], 0.9, [10_000.0] * 3)
    assert narrow.value.details["reason"] == "unsettled"
    with pytest.raises(Invalid) as early:
        weibull.fit([100.1, 100.2, 900.0, 900.0], [True, True, False, False], 0.9, [100.0] * 4)
    assert early.value.details["reason"] == "decreasing"


@pytest.mark.parametrize("entries", [[0.0], [5.0, 1.0], [-1.0, 0.0], [float("nan"), 0.0]])
def test_an_entry_lies_before_the_end_of_its_life(entries: list[float]) -> None:
    with pytest.raises(Invalid, match=r"\w+ \w+"):
        weibull.fit([5.0, 6.0], [True, True], 0.9, entries)


def test_the_bounds_of_b10_cover_it_as_often_as_they_say() -> None:
    rng, covered, rounds = np.random.default_rng(6), 0, 400
    true = 1000 * (-np.log(0.9)) ** (1 / 2.0)
    lives = 1000 * rng.weibull(2.0, (rounds, 40))
    found = many.fit_groups(
        np.minimum(lives, 1100).ravel(),
        (lives <= 1100).ravel(),
        np.repeat(np.arange(rounds), 40),
        rounds,
        0.9,
    )
    for fit in found:
        assert isinstance(fit, Weibull)
        bounds = fit.quantile_bounds(0.1)
        assert bounds is not None
        covered += bounds[0] <= true <= bounds[1]
    assert 0.85 <= covered / rounds <= 0.95


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.integers(0, 60)), max_size=20), st.sampled_from([0.8, 0.9, 0.95])
)
def test_mtbf_of_many_groups_is_that_of_each(groups: list[tuple[float, int]], level: float) -> None:
    found = rates.mtbf_of([hours for hours, _ in groups], [failures for _, failures in groups], level)
    for (hours, failures), one in zip(groups, found, strict=True):
        if hours == 0:
            assert one is None
            continue
        single = rates.mtbf(hours, failures, level)
        assert one is not None
        assert (one.value, one.lower, one.upper) == pytest.approx((single.value, single.lower, single.upper))
