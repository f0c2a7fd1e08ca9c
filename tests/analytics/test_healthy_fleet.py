"""The benchmark's closed loop on a few simulated machines: faults are found, repaired, and nothing else is ordered."""

from __future__ import annotations

from datetime import timedelta

from analytics.definitions import DAY, HOUR
from analytics.rules import Rules
from benchmarks import healthy_fleet
from simulators.faults import Fault, micros
from simulators.fleet import fleet


def test_a_planted_fault_is_ordered_and_repaired_before_it_breaks_the_machine_and_healthy_ones_are_left_alone() -> (
    None
):
    onset = micros(healthy_fleet.BEGIN + timedelta(days=10))
    machines = fleet(3, 8)
    chosen = [machine for machine in machines if machine.model == machines[0].model][:2]
    mode = chosen[0].spec.modes[0]
    showing, silent = (
        Fault(machine.number, machine.uid, mode.code, mode.component, onset, onset + 4 * DAY, shape)
        for machine, shape in zip(chosen, ("sudden", "silent"), strict=True)
    )
    its = healthy_fleet.run(3, 8, 16, [showing, silent], Rules())
    score = healthy_fleet.score(its)
    assert (score["recall"], score["faults"], score["silent"], score["false"]) == (1.0, 1, 1, [])
    assert 24 < score["leads"][0] < 96
    repaired = {fault.number: fault.repaired for fault in its.book}
    first = its.found[showing.number, showing.mode, showing.onset]
    assert repaired[showing.number] == first + DAY
    assert repaired[silent.number] is not None  # its code came when it failed, and a repair a day after
    assert repaired[silent.number] <= silent.failed + DAY + HOUR
