"""The failure model of a component, on a fleet whose failures announce themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analytics.definitions import DAY, HOUR
from analytics.prediction import decision, failure, features, model_file
from analytics.prediction.decision import Policy
from analytics.prediction.drift import errors, grown
from analytics.prediction.failure import ComponentModel, Settings
from analytics.prediction.history import History, Log
from analytics.prediction.scores import score
from kit.errors import Invalid
from tests.prediction.machines import START, fleet

QUICK = Settings(iterations=30)
SPLIT = START + 50 * DAY


@pytest.fixture(scope="module")
def world() -> tuple[History, Log, features.Table]:
    history, failures = fleet()
    return history, failures, features.build(history)


@pytest.fixture(scope="module")
def model(world: tuple[History, Log, features.Table]) -> ComponentModel:
    history, failures, table = world
    learned = table.take(table.ts <= SPLIT)
    return failure.fit("bearing", learned, failures.until(SPLIT), history.repairs.only(0), SPLIT, QUICK)


def test_failures_of_a_later_time_are_foreseen_with_few_false_orders(
    world: tuple[History, Log, features.Table], model: ComponentModel
) -> None:
    history, failures, table = world
    later = table.take(table.ts > SPLIT)
    orders = decision.decide(
        model.probability(later), later.device, later.ts, history.repairs.only(0), Policy({}), "bearing"
    )
    result = score(orders, failures, SPLIT, int(history.known[-1]))
    assert result.failures == 12
    assert len(result.leads) >= 11
    assert result.false <= 2
    assert min(result.leads) >= 12


def test_what_drove_a_prediction_is_named(
    world: tuple[History, Log, features.Table], model: ComponentModel
) -> None:
    _, failures, table = world
    before = [
        int(np.flatnonzero((table.device == device) & (table.ts < ts))[-1])
        for device, ts in zip(failures.device, failures.ts, strict=True)
    ]
    named = [{subject for subject, _ in model.drivers(table, row)} for row in before]
    assert sum(bool(subjects & {"vibration", "E1"}) for subjects in named) >= 0.9 * len(named)
    assert not any("E2" in subjects for subjects in named)


def test_a_population_without_failures_is_refused_in_words(
    world: tuple[History, Log, features.Table],
) -> None:
    history, _, table = world
    with pytest.raises(Invalid, match=r"motor: 0 failures .* censored"):
        failure.fit("motor", table, Log(), Log(), int(history.known[-1]), QUICK)


def test_failures_of_one_device_only_are_refused(world: tuple[History, Log, features.Table]) -> None:
    history, _, table = world
    ts = START + np.arange(20, 70, 4) * DAY
    one = Log.of(np.zeros(len(ts), np.int64), ts, np.zeros(len(ts), np.int64))
    with pytest.raises(Invalid, match="one device"):
        failure.fit("bearing", table, one, Log(), int(history.known[-1]), QUICK)


def test_other_features_are_refused(
    world: tuple[History, Log, features.Table], model: ComponentModel
) -> None:
    _, _, table = world
    with pytest.raises(Invalid, match="other features"):
        model.probability(replace(table, names=("x", *table.names[1:])))


def test_a_model_survives_its_file(world: tuple[History, Log, features.Table], model: ComponentModel) -> None:
    _, _, table = world
    again = model_file.load(model_file.dump(model), ComponentModel)
    np.testing.assert_array_equal(again.probability(table), model.probability(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.replace(b'"format": 2', b'"format": 99'), "format 99; this program reads 2"),
        (lambda data: data.replace(b'"sklearn": "', b'"sklearn": "0.'), "sklearn"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "damaged"),
        (lambda data: b"\x80\x05 anything", "no model file"),
        (lambda data: b"7\n" + data, "no model file"),
    ],
)
def test_a_model_file_of_another_version_or_damaged_is_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Invalid, match=message):
        model_file.load(change(model_file.dump(Settings())), Settings)


def test_a_model_file_of_another_kind_is_refused() -> None:
    with pytest.raises(Invalid, match="class 'Settings'"):
        model_file.load(model_file.dump(Settings()), ComponentModel)


def test_an_error_that_grows_asks_for_learning_and_one_that_falls_does_not() -> None:
    rng = np.random.default_rng(3)
    small, large = rng.uniform(0, 0.1, 600), rng.uniform(0.3, 0.9, 600)
    assert grown([*small, *large])
    assert not grown([*large, *small])
    assert not grown(small)


def test_only_predictions_whose_time_has_passed_count_as_errors() -> None:
    failed = Log.of(np.array([0]), np.array([START + DAY]), np.array([0]))
    said = [(0, START, 0.75), (1, START, 0.25), (0, START + DAY, 0.5), (0, START + 2 * DAY, 0.9)]
    assert errors(said, failed, 24.0, START + 2 * DAY) == [0.25, 0.25, 0.5]


def test_a_machine_that_stands_broken_down_is_neither_learned_from_nor_tried_on() -> None:
    hours = np.arange(0, 40, 2) * HOUR
    rows = features.Table(("x",), np.zeros((40, 1), np.float32), np.repeat([0, 1], 20), np.tile(hours, 2))
    two, at_10 = np.array([0, 1]), np.array([10, 10]) * HOUR
    failures = Log.of(two, at_10, np.zeros(2, np.int64))
    repairs = Log.of(np.array([0, 1, 1]), np.array([20, 4, 10]) * HOUR, np.zeros(3, np.int64))
    found = failure.broken_down(failures, repairs, rows)
    assert rows.ts[found & (rows.device == 0)].tolist() == [hour * HOUR for hour in (10, 12, 14, 16, 18)]
    assert not found[rows.device == 1].any(), "repaired when it failed"
    assert not failure.broken_down(failures, repairs.only(9), rows).any(), "a repair that nobody recorded"
