"""Running statistics against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.streams.context import ContextModel
from analytics.streams.running import DailyProfile, Moments, MovingMean, Quantiser, Rarity

readings = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=80)


@given(readings)
def test_moments_are_the_weighted_mean_and_variance_of_all_values(values: list[float]) -> None:
    moments = Moments(half_life=10.0)
    for value in values:
        moments.step(value)
    weight = 0.5 ** (np.arange(len(values))[::-1] / 10.0)
    mean = float(np.average(values, weights=weight))
    assert moments.mean == pytest.approx(mean, abs=1e-9)
    variance = float(np.average((np.array(values) - mean) ** 2, weights=weight))
    assert moments.variance == pytest.approx(variance, abs=1e-7)


@given(readings, st.integers(1, 9))
def test_a_moving_mean_forgets_what_left_the_window(values: list[float], rows: int) -> None:
    mean = MovingMean(rows)
    last = [mean.step(value) for value in values][-1]
    assert last == pytest.approx(sum(values[-rows:]) / len(values[-rows:]))


@given(readings)
def test_rarity_is_the_part_of_the_window_that_was_as_high(values: list[float]) -> None:
    rarity = Rarity(rows=20, warm_rows=3)
    found = [rarity.step(value) for value in values]
    for at, value in enumerate(values):
        past = values[max(at - 20, 0) : at]
        as_high = sum(one >= value for one in past)
        expected = -math.log10((as_high + 0.5) / (len(past) + 1)) if len(past) >= 3 else 0.0
        assert found[at] == pytest.approx(max(expected, 0.0))
    assert len(rarity) <= 20


@given(readings, st.integers(2, 9))
def test_a_symbol_is_in_the_alphabet_and_a_new_extreme_is_outside_the_range(
    values: list[float], bins: int
) -> None:
    quantiser = Quantiser(bins)
    for at, value in enumerate(values):
        symbol = quantiser.step(value)
        past = values[:at]
        if past and value > max(past):
            assert symbol == bins + 1
        elif past and value < min(past):
            assert symbol == bins
        else:
            assert 0 <= symbol < bins


def test_the_daily_profile_learns_what_is_usual_at_a_time_of_day() -> None:
    profile = DailyProfile()
    hour = [10.0 * math.sin(2 * math.pi * h / 24) for h in range(24)]
    residuals = [profile.step(3600.0 * n, hour[n % 24]) for n in range(24 * 14)]
    assert max(map(abs, residuals[24:])) < 1e-9
    assert profile.step(3600.0 * 24 * 14 + 3600.0 * 6, 0.0) == pytest.approx(-10.0)


def test_the_daily_profile_follows_a_changed_habit_within_days() -> None:
    profile = DailyProfile(days=5.0)
    for n in range(24 * 30):
        profile.step(3600.0 * n, 1.0)
    changed = [profile.step(3600.0 * n, 5.0) for n in range(24 * 30, 24 * 60)]
    assert changed[0] == pytest.approx(4.0)
    assert abs(changed[-1]) < 0.05


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_surprises_are_those_of_one_probability_over_all_symbols(symbols: list[int]) -> None:
    # The chances of all symbols at the next step must add up to one, whatever was seen.
    chances = 0.0
    for candidate in range(4):
        model = ContextModel(symbols=4, lags=(1, 3))
        for symbol in symbols:
            model.step(symbol)
        chances += math.exp(-model.step(candidate))
    assert chances == pytest.approx(1.0)


def test_a_context_model_knows_no_more_contexts_than_it_may() -> None:
    generator = np.random.default_rng(1)
    model = ContextModel(symbols=12, lags=(1, 2, 3), contexts=500)
    for symbol in generator.integers(0, 12, 6000):
        assert math.isfinite(model.step(int(symbol)))
        assert len(model) <= 501
