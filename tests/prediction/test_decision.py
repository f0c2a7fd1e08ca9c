"""From probabilities to orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.definitions import HOUR
from analytics.prediction.decision import Costs, Policy, decide
from analytics.prediction.history import Log
from analytics.prediction.scores import score
from kit.errors import Invalid

STEP = 3 * HOUR


def orders(p: list[float], policy: Policy = Policy({}), repairs: list[int] | None = None) -> list[int]:
    """Steps at which one device's order is opened; repairs: steps after which it was repaired."""
    done = np.array(repairs or [], np.int64)
    log = Log.of(np.zeros(len(done), np.int64), done * STEP + 1, np.zeros(len(done), np.int64))
    ts = np.arange(len(p)) * STEP
    return [o.ts // STEP for o in decide(np.array(p), np.zeros(len(p), np.int64), ts, log, policy, "bearing")]


@given(
    failure=st.floats(2, 1000), visit=st.floats(0.1, 1.9), needless=st.floats(0.1, 1000), p=st.floats(0, 1)
)
def test_going_is_decided_exactly_where_it_is_expected_to_cost_less(
    failure: float, visit: float, needless: float, p: float
) -> None:
    costs = Costs(failure, visit, needless)
    gain = p * failure - (p * visit + (1 - p) * needless)
    if abs(gain) > 1e-6:
        assert (p > costs.level) == (gain > 0)


def test_costs_under_which_nothing_could_be_decided_are_refused() -> None:
    with pytest.raises(Invalid, match="less than a failure"):
        Costs(failure=1, visit=2, needless=1)


def test_one_row_does_not_open_an_order_two_in_a_row_do() -> None:
    assert orders([0, 0.9, 0, 0.9, 0, 0]) == []
    assert orders([0, 0.9, 0.9, 0.9, 0, 0]) == [2]
    assert orders([0, 0.9, np.nan, 0.9, 0, 0]) == []


def test_while_an_order_is_open_there_is_no_other_and_afterwards_there_may_be() -> None:
    assert orders([0.9] * 60) == [1, 25, 49]  # 72 h are 24 steps


def test_after_a_repair_its_traces_open_nothing_and_a_new_sign_does() -> None:
    # muted for 16 steps after the repair behind step 5; one row more confirms
    assert orders([0.9] * 30, repairs=[5]) == [1, 23]


def test_one_device_does_not_confirm_another() -> None:
    device, ts = np.array([0, 0, 1, 1]), np.array([0, STEP, 0, STEP])
    assert decide(np.array([0, 0.9, 0.9, 0]), device, ts, Log(), Policy({}), "bearing") == []


def test_an_order_is_right_only_if_the_failure_comes_strictly_later_and_in_time() -> None:
    policy = Policy({}, confirm=1)
    for hours, right in ((0, False), (1, True), (72, True), (73, False)):
        failed = Log.of(np.array([0]), np.array([hours * HOUR]), np.array([0]))
        opened = decide(np.array([0.9]), np.array([0]), np.array([0]), Log(), policy, "bearing")
        result = score(opened, failed, -1, 100 * HOUR)
        assert (result.false == 0) is right
        assert result.leads == ((float(hours),) if right else ())
        assert result.failures == 1


def test_cost_adds_up() -> None:
    failed = Log.of(np.array([0, 1]), np.array([10 * HOUR, 10 * HOUR]), np.array([0, 0]))
    p, device, ts = np.array([0.9, 0.0, 0.9]), np.array([0, 1, 2]), np.zeros(3, np.int64)
    result = score(decide(p, device, ts, Log(), Policy({}, confirm=1), "b"), failed, 0, 20 * HOUR)
    assert result.cost(Costs(failure=5, visit=1, needless=3)) == 5 + 1 + 3
