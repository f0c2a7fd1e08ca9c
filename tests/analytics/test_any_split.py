"""However the committed batches reach the engine, live, replayed or after a kill, it decides the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.block import Block, Event, Reset
from analytics.definitions import DAY, HOUR, Ints
from analytics.detectors import discover
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.rules import Rules
from tests.analytics import machines
from tests.analytics.machines import PRESSURE, PUMP, START, VIBRATION, Fault

DEVICES = (1, 2, 3)
ALL = Rules.of({d.rule: {} for d in discover() if d.rule not in ("page_hinkley", "half_space_trees")})


@dataclass(frozen=True)
class Stream:
    """What was committed: rows and events with the number of their batch, and repairs."""

    block: Block
    events: list[Event]
    resets: list[Reset]
    batches: int


@cache
def stream(seed: int) -> Stream:
    """Two weeks of two failing machines and one that keeps changing its regime; an eighth of the rows come up to two
    days late, some twice, and every garbage there is is in it."""
    rng = np.random.default_rng(seed)
    faults = (Fault(1, VIBRATION, 8, 2, 6.0), Fault(2, PRESSURE, 9, 1, -3.0))
    block = machines.rows(DEVICES, machines.times(14, 120), seed=seed, faults=faults, mess=True)
    state = np.where(block.device == 3, 1.0 + block.ts // HOUR % 3, block.state)
    garbage = rng.choice([np.nan, np.inf, -np.inf, 1e300, -40.0], block.values.shape)
    values = np.where(rng.random(block.values.shape) < 0.01, garbage, block.values)
    late = np.where(rng.random(len(block)) < 0.125, rng.integers(0, 2 * DAY, len(block)), 0)
    order = (block.ts - START + late) // (9 * HOUR)
    block = replace(block, values=values, state=state, order=order, batch=order)
    twice = block.take(rng.choice(len(block), 20))
    again = replace(twice, order=twice.order + 1, batch=twice.order + 1)
    both = Block(
        *(np.concatenate([getattr(block, n), getattr(again, n)]) for n in Block.__dataclass_fields__)
    )
    hours = np.sort(rng.integers(0, 14 * 24, 14))
    events = [
        Event(int(h // 9), int(rng.choice(DEVICES)), START + int(h) * HOUR, str(rng.choice(["E101", "W201", "X"])),
              bool(rng.random() < 0.6), int(h // 9))
        for h in hours
    ]  # fmt: skip
    resets = [Reset(1, 1, START + 11 * DAY, "bearing"), Reset(2, 2, START + 12 * DAY, "mechanical_seal")]
    return Stream(both, events, resets, int(both.order.max()) + 1)


def play(
    its: Stream, ends: list[int], shuffle: int | None, killed: bool
) -> tuple[list[object], dict[int, bytes]]:
    """Feed the batches up to each end in turn; findings in a comparable order, and the states in the end."""
    engine, waiting, first = Engine(PUMP, ALL), its.resets, 0
    found: list[tuple[int, Finding]] = []
    for end in [*ends, its.batches]:
        rows: Ints = np.flatnonzero((its.block.order >= first) & (its.block.order < end))
        if shuffle is not None:
            rows = np.random.default_rng(shuffle).permutation(rows)
        events = [event for event in its.events if first <= event.order < end]
        done = engine.step(its.block.take(rows), events, waiting)
        found += done.findings
        waiting = [reset for reset in waiting if reset not in done.applied]
        first = end
        if killed:  # all that is left is what was saved
            saved, layout = engine.dump_all(engine.devices), engine.layout
            engine = Engine(PUMP, ALL)
            for device in sorted(saved, reverse=True):
                engine.load(device, saved[device], layout)
    compared = sorted(
        (
            (device, f.ts, f.batch, f.kind, f.rule, f.mode, f.score, repr(f.drivers), f.codes)
            for device, f in found
        )
    )
    return compared, engine.dump_all(sorted(engine.devices))


@cache
def whole(seed: int) -> tuple[list[object], dict[int, bytes]]:
    """Everything in one step."""
    return play(stream(seed), [], None, False)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1),
    ends=st.lists(st.integers(0, 40), max_size=6).map(sorted),
    shuffle=st.none() | st.integers(0, 9),
    killed=st.booleans(),
)
def test_any_split_into_steps_any_order_of_rows_and_any_kill_decide_the_same(
    seed: int, ends: list[int], shuffle: int | None, killed: bool
) -> None:
    assert play(stream(seed), ends, shuffle, killed) == whole(seed)


def test_the_stream_of_these_tests_has_something_to_decide() -> None:
    found, states = whole(0)
    assert {kind for *_, kind, _, _, _, _, _ in found} == {"raise", "clear"}  # type: ignore[misc]
    assert {"bearing_wear", "seal_leak"} <= {one[5] for one in found}  # type: ignore[index]
    assert all(np.isfinite(np.frombuffer(state)).all() for state in states.values())
    assert not {one[0] for one in found if one[4] != "fault_code"} & {3}  # type: ignore[index]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1), st.integers(1, 38))
def test_what_was_found_by_a_batch_does_not_depend_on_what_follows(seed: int, end: int) -> None:
    its = stream(seed)
    known = its.block.take(np.flatnonzero(its.block.order < end))
    cut = Stream(known, [event for event in its.events if event.order < end], its.resets, end)
    found, _ = play(cut, [], None, False)
    assert found == [one for one in whole(seed)[0] if one[2] < end]  # type: ignore[index]
