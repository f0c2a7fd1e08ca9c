"""Rows to learn from: a large fleet gives some of its healthy ones, and the model says of them what it would of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from analytics.definitions import DAY, Floats
from analytics.prediction import failure, features, sample
from analytics.prediction.failure import Settings
from analytics.prediction.features import Table
from analytics.prediction.history import Log
from tests.prediction.machines import START, fleet

QUICK = Settings(iterations=30)
SPLIT = START + 50 * DAY
HISTORY, FAILURES = fleet()
TABLE = features.build(HISTORY)
BEFORE = failure.fails_within(FAILURES, TABLE, 24.0)
MOST = 1_500  # of 7,000


def by_device(table: Table, at_once: int) -> Iterator[Table]:
    for start in range(0, len(HISTORY.devices), at_once):
        yield table.take((table.device >= start) & (table.device < start + at_once))


def gathered(at_once: int = 12, most: int = MOST, seed: int = 0) -> sample.Rows:
    found = sample.gather(by_device(TABLE, at_once), FAILURES, 24.0, seed, most)
    assert found is not None
    return found


@pytest.mark.parametrize("at_once", [1, 5, 12])
def test_where_there_are_not_too_many_rows_all_are_kept_and_each_stands_for_itself(at_once: int) -> None:
    rows = gathered(at_once, most=int((~BEFORE).sum()))
    np.testing.assert_array_equal(rows.table.x, TABLE.x)
    np.testing.assert_array_equal(rows.table.device, TABLE.device)
    np.testing.assert_array_equal(rows.table.ts, TABLE.ts)
    assert rows.weight is None
    assert rows.first == TABLE.ts.min()


def test_all_rows_before_failures_are_kept_and_of_the_others_as_many_as_allowed() -> None:
    rows = gathered()
    assert rows.weight is not None
    near = failure.fails_within(FAILURES, rows.table, 24.0)
    assert near.sum() == BEFORE.sum()
    assert (~near).sum() == MOST
    assert (rows.weight[near] == 1).all()
    assert rows.weight.sum() == pytest.approx(len(TABLE))
    assert rows.first == TABLE.ts.min(), "drawn or not"
    order = np.lexsort((rows.table.ts, rows.table.device))
    np.testing.assert_array_equal(order, np.arange(len(rows.table)))


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_the_rows_drawn_are_the_same_however_the_fleet_is_cut(at_once: int) -> None:
    whole, cut = gathered(), gathered(at_once)
    np.testing.assert_array_equal(cut.table.x, whole.table.x)
    np.testing.assert_array_equal(cut.table.ts, whole.table.ts)
    np.testing.assert_array_equal(cut.weight, whole.weight)


def test_another_seed_draws_other_rows_over_the_whole_time_and_of_every_device() -> None:
    one, other = gathered(), gathered(seed=1)
    assert not np.array_equal(one.table.ts, other.table.ts)
    counts = np.bincount(one.table.device, minlength=12)
    assert counts.min() > 0.5 * counts.mean()
    assert np.median(one.table.ts) == pytest.approx(np.median(TABLE.ts), abs=5 * DAY)


def test_no_table_gives_no_rows_and_an_empty_one_no_first_reading() -> None:
    assert sample.gather([], FAILURES, 24.0, 0) is None
    empty = sample.gather([TABLE.take(np.empty(0, np.int64))], FAILURES, 24.0, 0)
    assert empty is not None
    assert (len(empty.table), empty.first) == (0, None)


def test_a_model_learned_from_some_of_the_rows_says_failures_are_as_likely_as_they_are() -> None:
    tell_nothing = np.array([name.startswith("current.") for name in TABLE.names])
    names = tuple(np.array(TABLE.names)[tell_nothing].tolist())
    blind = replace(TABLE, names=names, x=TABLE.x[:, tell_nothing])
    until, repairs = int(HISTORY.known[-1]), HISTORY.repairs.only(0)
    rows = sample.gather(by_device(blind, 4), FAILURES, 24.0, 0, most=700)
    assert rows is not None

    def said(weight: Floats | None) -> float:
        fitted = failure.fit("bearing", rows.table, FAILURES, repairs, until, QUICK, weight)
        return float(fitted.probability(blind).mean())

    assert said(rows.weight) == pytest.approx(BEFORE.mean(), rel=0.25)
    assert said(None) > 4 * BEFORE.mean(), "each healthy row stands for ten"


def test_failures_of_every_component_keep_their_rows() -> None:
    both = Log.of(np.r_[FAILURES.device, 3], np.r_[FAILURES.ts, START + 30 * DAY], np.r_[FAILURES.kind, 1])
    rows = sample.gather(by_device(TABLE, 4), both, 24.0, 0, most=50)
    assert rows is not None
    for kind in (0, 1):
        near = failure.fails_within(both.only(kind), rows.table, 24.0)
        assert near.sum() == failure.fails_within(both.only(kind), TABLE, 24.0).sum()
