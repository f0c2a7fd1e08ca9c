"""The fleet's past before the product: failures that nobody prevented, readings that were recorded coarsely."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from simulators import past
from simulators.faults import DAY, HOUR, micros
from simulators.fleet import REST, fleet
from simulators.history import History
from simulators.machine import sample
from tests.conftest import utc

SEED = 7
END = utc("2026-08-27 00:00")
START = END - timedelta(days=180)
MACHINES = fleet(SEED, 240)


@pytest.mark.parametrize("seed", range(4))
def test_every_component_of_every_type_has_failed_often_enough_to_learn_from(seed: int) -> None:
    faults = past.plan(seed, MACHINES, START, END)
    models = {machine.number: machine.model for machine in MACHINES}
    counts: dict[tuple[str, str], int] = {}
    for fault in faults:
        key = (models[fault.number], fault.component)
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 11
    assert min(counts.values()) >= 11
    assert sum(count >= 15 for count in counts.values()) >= 10


def test_machines_run_until_they_fail_are_repaired_and_all_are_well_before_the_end() -> None:
    faults = past.plan(SEED, MACHINES, START, END)
    assert faults == past.plan(SEED, MACHINES, START, END)
    assert {fault.shape for fault in faults} == {"wear", "sudden", "silent"}
    for fault in faults:
        assert fault.repaired is not None
        assert micros(START) <= fault.onset < fault.failed
        assert fault.failed + 6 * HOUR - 2_000_000 <= fault.repaired < micros(END) - REST
    for number in {fault.number for fault in faults}:
        own = sorted((fault for fault in faults if fault.number == number), key=lambda fault: fault.onset)
        assert all(
            b.onset >= (a.repaired or 0) + 10 * DAY - 2_000_000 for a, b in pairwise(own)
        )  # onsets are cut to whole seconds
    told = past.failures(faults)
    assert len(told) == len(faults)
    assert [one.repaired for one in told] == sorted(one.repaired for one in told)


def test_what_was_recorded_is_what_the_machines_read_every_three_hours_but_for_the_impossible() -> None:
    some = MACHINES[:6]
    faults = [fault for fault in past.plan(SEED, MACHINES, START, END) if fault.number <= 6]
    assert faults
    end = START + timedelta(days=40)
    for part in past.recorded(SEED, some, faults, START, end):
        spec = next(machine.spec for machine in some if machine.number == part.number[0])
        truth = sample(spec, SEED, part.number, part.ts, faults)
        np.testing.assert_array_equal(part.values, truth.values[:, spec.metrics.index(part.metric)])
        assert past.possible(spec, part.metric, part.values).all()
        expected = len(set(part.number.tolist())) * 40 * 8
        assert 0.9 * expected < len(part.ts) <= expected
        assert (part.ts > micros(START)).all()
        assert (part.ts <= micros(end)).all()


def test_the_counters_of_the_history_go_on_where_the_recorded_ones_stood() -> None:
    faults = past.plan(SEED, MACHINES, START, END)
    broken = next(fault for fault in faults if MACHINES[fault.number - 1].model == "pump-p100")
    history = History(SEED, 240, END, END + timedelta(days=1), earlier=faults)
    day = history.day(END, END + timedelta(hours=12))
    pumps = next(rows for rows in day.rows if rows.spec.code == "pump-p100")
    first = pumps.values[pumps.number == broken.number][0, 0]
    recorded = next(past.recorded(SEED, [MACHINES[broken.number - 1]], faults, END - timedelta(days=2), END))
    assert recorded.metric == "run_hours"
    assert 0 <= first - recorded.values[-1] < 5
