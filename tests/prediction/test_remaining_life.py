"""Remaining life on synthetic units: wear grows exponentially from a random start, at a random rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analytics.prediction import life_features, remaining_life
from analytics.prediction.regimes import Regimes, Run
from analytics.prediction.remaining_life import LifeModel, Settings
from kit.errors import Invalid

QUICK = Settings(members=1, folds=3, iterations=40)


def unit(rng: np.random.Generator, regimes: int = 1) -> Run:
    """Fails when wear reaches one."""
    rate, start = rng.uniform(0.02, 0.05), rng.uniform(0.002, 0.03)
    cycles = int(np.log(1 / start) / rate)
    wear = start * np.exp(rate * np.arange(cycles))
    regime = rng.integers(0, regimes, cycles)
    sensors = np.column_stack(
        [
            wear * gain + regime * 5 + rng.normal(0, 0.08, cycles) + rng.normal(0, 0.3)
            for gain in (1, -1.5, 0.5)
        ]
    )
    settings = np.column_stack([regime * 10 + rng.normal(0, 0.01, cycles), rng.normal(0, 0.01, cycles)])
    return Run(settings, np.column_stack([sensors, np.ones(cycles)]), True)


def fleet(count: int, seed: int, regimes: int = 1) -> list[Run]:
    rng = np.random.default_rng(seed)
    return [unit(rng, regimes) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> LifeModel:
    return remaining_life.fit(fleet(60, 1), QUICK)


def test_the_interval_holds_what_it_promises_on_units_nobody_has_seen(model: LifeModel) -> None:
    rng = np.random.default_rng(7)
    seen, truth = [], []
    for run in fleet(300, 2):
        at = int(rng.integers(len(run) // 3, len(run)))
        seen.append(run.first(at))
        truth.append(min(len(run) - at, QUICK.cap))
    life = model.predict(seen)
    capped = np.array(truth)
    assert 0.72 <= np.mean((life.low <= capped) & (capped <= life.high)) <= 0.9
    assert np.sqrt(np.mean((life.expected - capped) ** 2)) < 0.5 * capped.std()
    assert (life.low <= life.median).all()
    assert (life.median <= life.high).all()
    assert ((life.low >= 0) & (life.high <= QUICK.cap)).all()


def test_the_rest_of_a_life_changes_no_feature_of_its_beginning(model: LifeModel) -> None:
    run = fleet(1, 3)[0]
    whole = life_features.build(model.regimes(run), model.health)
    for cycles in (1, 2, 19, 20, 21, len(run) - 1):
        begun = life_features.build(model.regimes(run.first(cycles)), model.health)
        np.testing.assert_allclose(begun, whole[:cycles], rtol=1e-9, atol=1e-9)
    assert np.isfinite(whole).all()


def test_regimes_are_found_where_there_are_some_and_only_there() -> None:
    assert len(Regimes.learn(fleet(10, 4, regimes=4)).mean) == 4
    assert len(Regimes.learn(fleet(10, 4)).mean) == 1
    bare = [replace(run, settings=run.settings[:, :0]) for run in fleet(10, 4)]
    assert len(Regimes.learn(bare).mean) == 1


def test_a_missing_reading_repeats_the_one_before(model: LifeModel) -> None:
    run = fleet(1, 5)[0]
    holes = run.sensors.copy()
    holes[::7] = np.nan
    life = model.predict([Run(run.settings, holes, False), run])
    assert np.isfinite([life.low, life.high, life.expected]).all()


def test_an_empty_population_and_one_that_is_all_censored_are_refused() -> None:
    with pytest.raises(Invalid, match="population is empty"):
        remaining_life.fit([])
    censored = [run.first(len(run) // 2) for run in fleet(30, 6)]
    with pytest.raises(Invalid, match=r"0 of 30 units failed .* censored"):
        remaining_life.fit(censored, QUICK)
    still = [Run(run.settings, np.ones_like(run.sensors), True) for run in fleet(12, 6)]
    with pytest.raises(Invalid, match="No sensor"):
        remaining_life.fit(still, QUICK)


def test_what_cannot_be_predicted_is_refused(model: LifeModel) -> None:
    run = fleet(1, 5)[0]
    with pytest.raises(Invalid, match="population is empty"):
        model.predict([])
    with pytest.raises(Invalid, match="4 sensors"):
        model.predict([Run(run.settings, run.sensors[:, :2], False)])


def test_far_from_everything_seen_the_smooth_learners_cannot_carry_the_expected_life_away(
    model: LifeModel,
) -> None:
    run = fleet(1, 5)[0]
    life = model.predict([Run(run.settings, run.sensors * factor, False) for factor in (1e6, -1e6, 50.0)])
    assert ((life.expected >= 0) & (life.expected <= QUICK.cap)).all()
    assert np.isfinite([life.low, life.median, life.high]).all()


def test_the_blend_beats_the_boosting_alone(model: LifeModel) -> None:
    rng = np.random.default_rng(11)
    seen, truth = [], []
    for run in fleet(200, 8):
        at = int(rng.integers(len(run) // 3, len(run)))
        seen.append(run.first(at))
        truth.append(min(len(run) - at, QUICK.cap))
    expected = model.predict(seen).expected
    x = np.vstack([life_features.build(model.regimes(run), model.health)[-1] for run in seen])
    alone = np.mean([member.predict(x) for member in model.fitted.boosted], axis=0)
    assert np.mean((expected - truth) ** 2) < np.mean((alone - truth) ** 2)
