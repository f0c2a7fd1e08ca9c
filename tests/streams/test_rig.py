"""The rig scorer: one fault is one alarm; garbage, gaps and flat sensors are none."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.definitions import Bools, Floats
from analytics.streams.rig import RigScorer, RigTuning
from kit.errors import Invalid

SENSORS = 4


def readings(rows: int, seed: int = 1) -> Floats:
    generator = np.random.default_rng(seed)
    return np.array([5.0, 0.03, 230.0, 70.0]) * (1.0 + 0.01 * generator.standard_normal((rows, SENSORS)))


def alarms(rows: Floats, scorer: RigScorer) -> Bools:
    return np.array([scorer.step(row).alarm for row in rows])


def episodes(alarm: Bools) -> int:
    return int((np.diff(np.r_[0, alarm.astype(int)]) == 1).sum())


def test_a_shifted_sensor_is_one_alarm_that_ends_with_the_shift() -> None:
    rows = readings(1200)
    rows[700:900, 0] *= 1.05
    alarm = alarms(rows[400:], RigScorer(rows[:400]))
    assert episodes(alarm) == 1
    assert alarm[310:500].all()
    assert not alarm[:300].any()
    assert not alarm[560:].any()


def test_the_driver_of_an_alarm_is_named_with_its_direction() -> None:
    rows = readings(500)
    scorer = RigScorer(rows[:400])
    for row in rows[400:] * np.array([1.0, 0.9, 1.0, 1.0]):
        judgement = scorer.step(row)
    assert judgement.alarm
    assert int(np.argmax(np.abs(judgement.distance))) == 1
    assert judgement.distance[1] < 0


def test_a_return_from_a_great_height_is_a_return_though_not_to_where_it_was() -> None:
    rows = readings(1200)
    rows[600:800, 0] *= 3.0
    rows[800:, 0] *= 1.02  # the machine settles a little higher than it was
    alarm = alarms(rows[400:], RigScorer(rows[:400]))
    assert alarm[220:400].all()
    assert not alarm[480:].any()


def test_a_condition_raises_no_alarm() -> None:
    rows = readings(900)
    rows[400:, 3] += np.linspace(0.0, 50.0, 500)
    assert not alarms(rows[400:], RigScorer(rows[:400], conditions=(3,))).any()
    assert alarms(rows[400:], RigScorer(rows[:400])).any()


@given(st.integers(1, 299), st.integers(0, 3))
@settings(max_examples=20)
def test_chunks_with_a_saved_state_between_them_judge_like_one_pass(cut: int, seed: int) -> None:
    rows = readings(700, seed)
    rows[500:600, 2] *= 1.06
    scorer = RigScorer(rows[:400])
    first = alarms(rows[400 : 400 + cut], scorer)
    restored: RigScorer = pickle.loads(pickle.dumps(scorer))
    rest = alarms(rows[400 + cut :], restored)
    assert (np.r_[first, rest] == alarms(rows[400:], RigScorer(rows[:400]))).all()


@given(st.sampled_from([2.0**-10, 8.0, 2.0**20]))
@settings(max_examples=20)
def test_the_units_of_the_sensors_do_not_matter(scale: float) -> None:
    rows = readings(700)
    rows[500:600, 2] *= 1.04
    units = np.array([1.0, scale, 1.0 / scale, scale])
    plain, scaled = RigScorer(rows[:400]), RigScorer(rows[:400] * units)
    for row in rows[400:]:
        assert scaled.step(row * units).score == pytest.approx(plain.step(row).score)


def test_flat_sensors_give_no_alarm_and_no_nan() -> None:
    rows = np.full((900, SENSORS), 0.1)
    scorer = RigScorer(rows[:400])
    for row in rows[400:]:
        judgement = scorer.step(row)
        assert judgement.score < 0.01
        assert not judgement.alarm


def test_a_missing_sensor_does_not_count_and_the_others_still_do() -> None:
    rows = readings(700)
    rows[:, 1] = math.nan
    rows[500:, 0] *= 1.1
    scorer = RigScorer(rows[:400])
    judged = [scorer.step(row) for row in rows[400:]]
    assert all(math.isfinite(one.score) for one in judged)
    assert math.isnan(judged[-1].distance[1])
    assert judged[-1].alarm


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e301])
def test_rows_of_garbage_raise_no_alarm_and_change_nothing(garbage: float) -> None:
    rows = readings(600)
    plain, dirty = RigScorer(rows[:400]), RigScorer(rows[:400])
    for row in rows[400:]:
        between = dirty.step(np.full(SENSORS, garbage))
        assert (between.score, between.alarm) == (0.0, False)
        assert dirty.step(row).score == plain.step(row).score


def test_gaps_in_training_are_no_harm() -> None:
    rows = readings(700)
    rows[:400][np.random.default_rng(0).random((400, SENSORS)) < 0.3] = math.nan
    rows[:15, 2] = math.nan
    rows[450:, 0] *= 1.1
    alarm = alarms(rows[400:], RigScorer(rows[:400]))
    assert not alarm[:50].any()
    assert alarm[80:].all()


def test_too_few_rows_to_learn_from_are_refused() -> None:
    with pytest.raises(Invalid, match="12 training rows are too few"):
        RigScorer(readings(12))


def test_empty_training_is_refused() -> None:
    with pytest.raises(Invalid, match="No sensor has enough readings"):
        RigScorer(np.full((400, SENSORS), math.nan))


def test_fewer_rows_than_asked_for_are_no_alarm() -> None:
    rows = readings(600)
    rows[450:453, 0] *= 1.2
    quick = RigScorer(rows[:400], tuning=RigTuning(rows_in=60))
    assert not alarms(rows[400:], quick).any()
