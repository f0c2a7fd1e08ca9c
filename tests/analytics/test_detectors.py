"""What must hold of every detector: each module in analytics/detectors is found and put through these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from analytics.block import Block, Event
from analytics.definitions import DAY, HOUR, Definition, Limit, Metric, Mode, Symptom
from analytics.detectors import discover
from analytics.detectors.protocol import Detector, Finding
from analytics.engine import Engine
from analytics.rules import Rules
from tests.analytics import machines
from tests.analytics.machines import PUMP, START, TEMPERATURE, VIBRATION, Fault

DEVICES = (1, 2, 3, 4)
DAYS = 16
EVERY = pytest.mark.parametrize("detector", discover(), ids=lambda cls: cls.rule)


def engine(detector: type[Detector], definition: Definition = PUMP) -> Engine:
    """An engine with this detector alone."""
    its = Engine(definition, Rules.of({other.rule: {"off": other is not detector} for other in discover()}))
    its.baseline.fleet = replace(its.baseline.fleet, rules=learned())
    return its


@cache
def learned() -> Mapping[str, Any]:
    """What detectors learn of a healthy fleet."""
    learning = {rule.rule for rule in discover() if rule.learn_fleet is not Detector.learn_fleet}
    its = Engine(PUMP, Rules.of({rule.rule: {"off": rule.rule not in learning} for rule in discover()}))
    block = machines.rows(range(10, 40), machines.times(20, 120))
    day = block.ts // DAY
    for one in np.unique(day):
        its.step(block.take(np.flatnonzero(day == one)))
        its.refresh_fleet()
    return its.baseline.fleet.rules


@cache
def trouble() -> tuple[Block, list[Event]]:
    """Two machines fail so that every detector has something to say; one recovers."""
    faults = (Fault(2, VIBRATION, 10, 2, 12.0), Fault(4, VIBRATION, 12, 0.01, 9.0))
    block = machines.rows(DEVICES, machines.times(DAYS), faults=faults, mess=True)
    recovered = (block.device == 4) & (block.ts > START + 13 * DAY)
    block.values[recovered, VIBRATION] -= 9.0
    events = [
        Event(0, 3, START + 5 * DAY, "E101", True, 0),
        Event(0, 3, START + 6 * DAY, "E101", False, 0),
        *[Event(0, 1, START + 7 * DAY + at * HOUR, "W201", at % 2 == 0, 0) for at in range(8)],
        Event(0, 3, START + (DAYS - 1) * DAY, "E101", True, 0),
    ]
    return block, events


def play(its: Engine, block: Block, events: list[Event], hours: int) -> list[tuple[int, Finding]]:
    """Feed everything in pieces of so many hours."""
    found = []
    for start in range(0, DAYS * 24, hours):
        first, end = START + start * HOUR, START + (start + hours) * HOUR
        part = block.take(np.flatnonzero((block.ts >= first) & (block.ts < end)))
        found += its.step(part, [event for event in events if first <= event.ts < end]).findings
    return found


@cache
def whole(detector: type[Detector]) -> list[tuple[int, Finding]]:
    """What a detector finds of it all, day by day."""
    return comparable(play(engine(detector), *trouble(), 24))


def comparable(found: list[tuple[int, Finding]]) -> list[tuple[int, Finding]]:
    return sorted(
        ((device, replace(f, at=0)) for device, f in found),
        key=lambda x: (x[0], x[1].ts, x[1].kind, x[1].mode),
    )


def test_the_detectors_of_the_product_are_discovered() -> None:
    assert {"shift", "spike", "limit", "fault_code"} <= {detector.rule for detector in discover()}


@EVERY
def test_a_detector_finds_something_and_raises_and_clears_alternate(detector: type[Detector]) -> None:
    found = whole(detector)
    assert any(finding.kind == "raise" for _, finding in found)
    for key in {(device, finding.mode) for device, finding in found}:
        kinds = [finding.kind for device, finding in found if (device, finding.mode) == key]
        assert kinds == ["raise", "clear"] * (len(kinds) // 2) + ["raise"] * (len(kinds) % 2)


@EVERY
def test_the_size_of_the_pieces_does_not_matter(detector: type[Detector]) -> None:
    engines = [engine(detector) for _ in range(2)]
    for its, hours in zip(engines, (7, 24 * DAYS), strict=True):
        assert comparable(play(its, *trouble(), hours)) == whole(detector)
    assert {its.dump(device) for its in engines for device in DEVICES} == {
        engines[0].dump(d) for d in DEVICES
    }


@EVERY
def test_a_machine_is_judged_alike_alone_and_among_others(detector: type[Detector]) -> None:
    block, events = trouble()
    together = whole(detector)
    for device in DEVICES:
        own = block.take(np.flatnonzero(block.device == device))
        alone = play(engine(detector), own, [event for event in events if event.device == device], 24)
        assert comparable(alone) == [(d, f) for d, f in together if d == device]


@EVERY
@pytest.mark.parametrize("day", [9, 11, 13])
def test_a_saved_state_goes_on_where_it_stopped(detector: type[Detector], day: int) -> None:
    block, events = trouble()
    first, second = engine(detector), engine(detector)
    end = START + day * DAY
    found = play(first, block.take(np.flatnonzero(block.ts < end)), [e for e in events if e.ts < end], 24)
    for device in DEVICES:
        second.load(device, first.dump(device), first.layout)
    found += play(second, block.take(np.flatnonzero(block.ts >= end)), [e for e in events if e.ts >= end], 24)
    assert comparable(found) == whole(detector)


@EVERY
def test_garbage_gives_no_nan_and_leaves_a_finite_state(detector: type[Detector]) -> None:
    block, events = trouble()
    rng = np.random.default_rng(5)
    absurd = rng.choice([np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0], block.values.shape)
    values = np.where(rng.random(block.values.shape) < 0.3, absurd, block.values)
    state = np.where(
        rng.random(len(block)) < 0.1, rng.choice([np.nan, np.inf, -7.0, 99.0], len(block)), block.state
    )
    its = engine(detector)
    with np.errstate(all="raise", under="ignore"):
        found = play(its, replace(block, values=values, state=state), events, 24)
    for _, finding in found:
        json.dumps(finding.evidence(), allow_nan=False)
        assert np.isfinite(finding.score)
        assert finding.since <= finding.ts
    assert all(np.isfinite(np.frombuffer(its.dump(device))).all() for device in DEVICES)


@EVERY
def test_a_step_leaves_its_input_alone(detector: type[Detector]) -> None:
    block, events = trouble()
    before = block.values.copy(), block.ts.copy(), block.state.copy()
    play(engine(detector), block, events, 24 * DAYS)
    assert all(map(np.array_equal, before, (block.values, block.ts, block.state), (True, False, True)))


@EVERY
def test_a_repair_closes_what_is_open(detector: type[Detector]) -> None:
    its, (block, events) = engine(detector), trouble()
    until = min(finding.ts for _, finding in whole(detector) if finding.kind == "raise")
    its.step(block.take(np.flatnonzero(block.ts <= until)), [event for event in events if event.ts <= until])
    work = its.state.gather(np.arange(len(DEVICES)))[detector.rule]
    assert work.rare(range(len(DEVICES)))["open"].any()
    for at in range(len(DEVICES)):
        its.detectors[0].reset(work, at, [0, 1, 2])
    assert not work.rare(range(len(DEVICES)))["open"].any()


def test_the_state_of_a_machine_with_eight_metrics_is_within_two_kilobytes() -> None:
    names = [f"metric_{at}" for at in range(8)]
    modes = tuple(Mode(f"mode_{at}", f"part_{at}", 2) for at in range(4))
    eight = Definition(
        "eight",
        tuple(Metric(name, "1", 0, 100) for name in names),
        modes,
        tuple(Symptom(modes[at % 4].code, name, "up", 1.0) for at, name in enumerate(names)),
        PUMP.codes[1:2] * 1,
        (Limit("metric_0", "high", 90, "mode_0", 2, 10, 1),),
    )
    its = Engine(eight)
    its.step(Block(*(np.array([1]) for _ in range(5)), np.ones((1, 8)), np.ones(1)))
    assert len(its.dump(1)) <= 2048


def test_what_drove_a_detection_is_named() -> None:
    block = machines.rows(
        DEVICES,
        machines.times(14),
        faults=(Fault(2, VIBRATION, 10, 2, 5.0), Fault(2, TEMPERATURE, 10, 2, 25.0)),
    )
    found = [finding for _, finding in Engine(PUMP).step(block).findings if finding.rule == "shift"]
    assert [driver.metric for driver in found[0].drivers] == ["vibration", "bearing_temperature"]
    assert found[0].mode == "bearing_wear"
    assert all(driver.baseline < driver.limit for driver in found[0].drivers)
    assert {driver.unit for driver in found[0].drivers} == {"mm/s", "°C"}
