"""The metric scorer: causal, in one pass, whatever the unit; silent about nothing and garbage."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.streams.context import ContextModel
from analytics.streams.running import Rarity
from analytics.streams.scorer import LIMIT, MetricScorer, Tuning

STEP = 300.0


def daily(rows: int, seed: int = 3) -> list[float]:
    """A daily curve with noise, a reading every five minutes."""
    generator = np.random.default_rng(seed)
    curve = 20.0 + 5.0 * np.sin(2 * np.pi * np.arange(rows) * STEP / 86_400)
    return [float(value) for value in curve + 0.3 * generator.standard_normal(rows)]


def scores(values: list[float], scorer: MetricScorer | None = None) -> list[float]:
    return (scorer or MetricScorer()).run([STEP * n for n in range(len(values))], values)


def test_a_spike_after_days_of_habit_is_an_alarm_at_its_row_and_only_once() -> None:
    values = daily(3000)
    values[2500:2520] = [60.0] * 20
    found = scores(values)
    assert found[2500] >= LIMIT
    assert sum(score >= LIMIT for score in found[2500:2520]) == 1


def test_a_lasting_shift_of_a_noisy_metric_is_an_alarm() -> None:
    generator = np.random.default_rng(5)
    values = [float(v) for v in generator.normal(10.0, 1.0, 3000)]
    values[2500:] = [value + 2.5 for value in values[2500:]]
    assert max(scores(values)[2500:2550]) >= LIMIT


def test_noise_alone_is_rarely_an_alarm() -> None:
    # Rare values of pure noise are rare: an alarm in some hundreds of rows is the price of the limit.
    values = [float(v) for v in np.random.default_rng(6).normal(10.0, 1.0, 4000)]
    assert sum(score >= LIMIT for score in scores(values)[600:]) <= 12


@given(st.integers(1, 399), st.integers(0, 5))
@settings(max_examples=20)
def test_chunks_with_a_saved_state_between_them_score_like_one_pass(cut: int, seed: int) -> None:
    values = daily(400, seed)
    scorer = MetricScorer()
    first = scores(values[:cut], scorer)
    restored: MetricScorer = pickle.loads(pickle.dumps(scorer))
    rest = restored.run([STEP * n for n in range(cut, 400)], values[cut:])
    assert first + rest == scores(values)


@given(st.integers(1, 399))
@settings(max_examples=20)
def test_what_comes_later_changes_no_score(cut: int) -> None:
    values = daily(400)
    other = values[:cut] + [1e6] * (400 - cut)
    assert scores(values)[:cut] == scores(other)[:cut]


@given(st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**30]), st.booleans())
@settings(max_examples=20)
def test_the_unit_of_a_metric_is_no_evidence(scale: float, upside_down: bool) -> None:
    values = daily(500)
    values[450] = 90.0
    changed = [scale * (-value if upside_down else value) for value in values]
    if upside_down:  # parts of the range are counted from below, so ties may fall to the other part
        assert scores(changed)[450] == pytest.approx(scores(values)[450], rel=0.2)
    else:
        assert scores(changed) == pytest.approx(scores(values))


@pytest.mark.parametrize("value", [0.0, 0.1, -273.15, 1e-12, 1e60])
def test_a_constant_metric_gives_no_alarm(value: float) -> None:
    assert max(scores([value] * 2000)) < 0.4 * LIMIT


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e301])
def test_garbage_scores_nothing_and_teaches_nothing(garbage: float) -> None:
    values = daily(600)
    stamps = [STEP * n for n in range(600)]
    clean, dirty = MetricScorer(), MetricScorer()
    for second, value in zip(stamps, values, strict=True):
        assert dirty.step(second, garbage) == 0.0
        assert dirty.step(second, value) == clean.step(second, value)


def test_nothing_is_an_alarm_before_a_day_is_known() -> None:
    values = daily(288)
    values[200] = 500.0
    assert set(scores(values)) == {0.0}


def test_the_end_of_the_first_day_is_no_alarm() -> None:
    assert max(scores([float(n % 12) for n in range(700)])) < LIMIT


def test_nothing_but_garbage_scores_nothing() -> None:
    assert scores([math.nan] * 300) == [0.0] * 300


def test_a_time_stamp_that_is_none_is_a_missing_reading() -> None:
    assert MetricScorer().step(math.nan, 1.0) == 0.0


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1.0])), max_size=200
    )
)
def test_every_score_is_a_number_from_zero_up_to_one(values: list[float]) -> None:
    found = scores(values, MetricScorer(Tuning(warm_rows=0, warm_hours=0.0)))
    assert all(0.0 <= score < 1.0 for score in found)


def test_late_and_repeated_time_stamps_still_score() -> None:
    scorer = MetricScorer(Tuning(warm_rows=0, warm_hours=0.0))
    found = [scorer.step(second, 1.0 + n % 3) for n, second in enumerate([1e9, 1e9, 9e8, 1.1e9] * 50)]
    assert all(0.0 <= score < 1.0 for score in found)


def test_state_is_bounded() -> None:
    generator = np.random.default_rng(2)
    scorer = MetricScorer(Tuning(rarity_rows=300))
    sizes = []
    for part in range(3):
        start = 4000 * part
        values = [float(v) for v in generator.normal(size=4000)]
        scorer.run([STEP * n for n in range(start, start + 4000)], values)
        sizes.append(len(pickle.dumps(scorer)))
    # 7 symbols and at most four lags are at most 2,801 contexts a model; growth ends when all are seen.
    assert sizes[2] < 1.1 * sizes[1] < 200_000


def test_the_parts_that_hold_state_have_a_bound() -> None:
    model, rarity = ContextModel(7, (1, 3, 9), contexts=100), Rarity(50)
    for n in range(5000):
        model.step(n * n % 7)
        rarity.step(float(n % 13))
    assert len(model) <= 101
    assert len(rarity) == 50
