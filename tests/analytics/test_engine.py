"""Planted faults are found early, healthy machines are left alone, and garbage is no fault."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.block import Block
from analytics.definitions import DAY, HOUR
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from tests.analytics import machines
from tests.analytics.machines import CURRENT, PRESSURE, PUMP, START, VIBRATION, Fault


def daily(its: Engine, block: Block) -> list[tuple[int, Finding]]:
    """Day by day, learning the fleet in between."""
    found = []
    day = block.ts // DAY
    for one in np.unique(day):
        found += its.step(block.take(np.flatnonzero(day == one))).findings
        its.refresh_fleet()
    return found


def raises(found: list[tuple[int, Finding]]) -> list[tuple[int, Finding]]:
    return [(device, finding) for device, finding in found if finding.kind == "raise"]


@pytest.mark.parametrize(
    ("metric", "size", "mode", "days"),
    [
        (VIBRATION, 5.0, "bearing_wear", 2),
        (VIBRATION, 5.0, "bearing_wear", 4),
        (PRESSURE, -2.5, "seal_leak", 2),
        (CURRENT, 35.0, "motor_overload", 2),
    ],
)
def test_a_degradation_is_found_in_the_first_half_of_its_course(
    metric: int, size: float, mode: str, days: int
) -> None:
    faults = [Fault(device, metric, 20, days, size) for device in (3, 7, 11)]
    history = machines.rows(range(1, 13), machines.times(20))
    # The history is hourly, the live stream has a row every ten minutes.
    live = machines.rows(range(1, 13), machines.times(days, 10, first_day=20), faults=faults, seed=2)
    its = Engine(PUMP)
    found = raises(daily(its, history) + daily(its, live))
    assert {(device, finding.mode) for device, finding in found} == {(device, mode) for device in (3, 7, 11)}
    first = {device: finding.ts for device, finding in reversed(found)}
    courses = [(ts - START - 20 * DAY) / (days * DAY) for ts in first.values()]
    assert all(0 < course <= 0.5 for course in courses), courses
    assert np.median(courses) <= 0.45


def test_a_new_machine_is_watched_after_a_day_because_its_fleet_is_known() -> None:
    its = Engine(PUMP)
    daily(its, machines.rows(range(1, 13), machines.times(15)))
    fault = Fault(50, VIBRATION, 17, 2, 5.0)
    found = raises(daily(its, machines.rows([50], machines.times(4, first_day=15), faults=[fault])))
    assert {(device, finding.mode) for device, finding in found} == {(50, "bearing_wear")}


def test_a_healthy_fleet_stays_nearly_silent() -> None:
    devices, days = 200, 90
    found = raises(
        daily(
            Engine(PUMP), machines.rows(range(1, devices + 1), machines.times(days, 120), seed=11, mess=True)
        )
    )
    assert len(found) / (devices * days / 365) <= 0.5


@pytest.mark.parametrize("value", [np.nan, 0.0, 2.0, 59.0, 61.0, -1.0, np.inf])
def test_a_sensor_that_sticks_vanishes_or_says_the_impossible_is_no_fault(value: float) -> None:
    block = machines.rows([1, 2, 3], machines.times(14))
    broken = (block.device == 2) & (block.ts > START + 10 * DAY)
    block.values[broken, VIBRATION] = value
    its = Engine(PUMP)
    assert not raises(daily(its, block))
    assert np.isfinite(np.frombuffer(its.dump(2))).all()


def test_a_metric_that_is_always_the_same_is_no_fault_when_it_moves_once() -> None:
    block = machines.rows([1], machines.times(24))
    block.values[:, PRESSURE] = np.where(block.ts < START + 12 * DAY, 6.0, 5.0)
    assert not raises(daily(Engine(PUMP), block))


def test_a_machine_that_changes_regime_every_hour_is_left_alone() -> None:
    block = machines.rows([1, 2], machines.times(30))
    hourly = 2.0 + (block.ts // HOUR) % 2
    values = block.values * np.where(hourly == 2, 0.5, 1.0)[:, None]
    changing = Block(block.order, block.device, block.ts, block.seq, block.batch, values, hourly)
    assert not raises(daily(Engine(PUMP), changing))


def test_a_single_glitch_is_no_fault() -> None:
    block = machines.rows([1], machines.times(30))
    at = np.flatnonzero((block.ts > START + 15 * DAY) & (block.state == 3))[::50]
    block.values[at, VIBRATION] = 30.0
    assert not raises(daily(Engine(PUMP), block))


def test_the_baseline_does_not_learn_while_a_fault_is_suspected() -> None:
    block = machines.rows([1], machines.times(40), faults=[Fault(1, VIBRATION, 12, 2, 1.5)])
    found = daily(Engine(PUMP), block)
    kinds = [finding.kind for _, finding in found if finding.rule == "shift"]
    assert kinds == ["raise"]  # four weeks later it is still open: the fault has not become the norm
