"""The fleet, its planned faults and its past."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from simulators import readings
from simulators.faults import DAY, HOUR, SECOND, Fault, FaultBook, micros
from simulators.fleet import arrivals, fleet, plan_ahead, plan_history, tokens
from simulators.history import History
from tests.conftest import utc

NOW = utc("2026-11-24 06:00")
SEED = 7


def a_history(devices: int = 20, days: int = 10, **changes) -> History:
    return History(SEED, devices, NOW - timedelta(days=days), NOW, **changes)


def test_the_fleet_is_a_function_of_seed_and_number():
    machines = fleet(SEED, 240)
    assert machines[:50] == fleet(SEED, 50)
    assert {len({getattr(m, name) for m in machines}) for name in ("uid", "serial", "number")} == {240}
    assert {m.model: sum(o.model == m.model for o in machines) for m in machines} == {
        "pump-p100": 96, "chiller-c450": 72, "compressor-s75": 72,
    }  # fmt: skip
    assert {m.model for m in fleet(SEED, 3)} == {"pump-p100", "chiller-c450", "compressor-s75"}
    assert len(set(tokens(SEED).values()) | set(tokens(SEED + 1).values())) == 480


def test_ninety_days_of_240_devices_have_some_35_faults_and_room_between_them():
    machines = fleet(SEED, 240)
    for seed in range(5):
        faults = plan_history(seed, machines, NOW - timedelta(days=90), NOW)
        assert 25 <= len(faults) <= 45
        assert all(micros(NOW) - 84 * DAY <= fault.onset < fault.failed for fault in faults)
        for number in {fault.number for fault in faults}:
            own = sorted((f for f in faults if f.number == number), key=lambda f: f.onset)
            assert all(later.onset >= earlier.failed + 9 * DAY for earlier, later in pairwise(own))
    planned = [
        fault for seed in range(5) for fault in plan_history(seed, machines, NOW - timedelta(days=90), NOW)
    ]
    assert {fault.shape for fault in planned} == {"wear", "sudden", "silent"}


def test_the_showcase_takes_turns_between_machines_under_warranty_and_not():
    machines = fleet(SEED, 240)
    covered = {machine.uid for machine in machines[::3]}
    faults = plan_ahead(SEED, machines, FaultBook(), NOW, covered)
    assert [fault.uid in covered for fault in faults] == [True, False] * 3
    assert len({fault.uid for fault in faults}) == len({fault.mode for fault in faults}) == 6
    assert all(fault.shape == "sudden" for fault in faults)
    assert sum(fault.onset <= micros(NOW) + HOUR for fault in faults) >= 2


def test_new_faults_arrive_the_same_in_steps_after_a_restart_and_at_once():
    machines, start = fleet(SEED, 240), micros(NOW)
    whole, stepped = FaultBook(), FaultBook()
    for fault in arrivals(SEED, machines, whole, start, start + 20 * DAY):
        assert whole.plant(fault)
    for step in range(40):
        again = start + max(0, step * DAY // 2 - 3 * HOUR)  # some of it asked for twice
        for fault in arrivals(SEED, machines, stepped, again, start + (step + 1) * DAY // 2):
            assert stepped.plant(fault)
    assert sorted(whole, key=lambda f: f.onset) == sorted(stepped, key=lambda f: f.onset)
    assert 55 <= len(list(whole)) <= 61
    assert len({fault.uid for fault in whole}) == len(list(whole)), (
        "an unrepaired machine gets no second fault"
    )


def test_a_past_has_a_row_per_device_and_hour_but_for_what_was_lost():
    history = a_history()
    days = list(history.days())
    assert [day.end - day.start for day in days] == [timedelta(days=1)] * 10
    rows = sum(map(len, days))
    assert 0.93 * 20 * 240 < rows < 20 * 240
    for day in days:
        for part in day.rows:
            assert (micros(day.start) < part.ts).all()
            assert (part.ts <= micros(day.end)).all()
            assert part.values.shape == (len(part.ts), len(part.spec.metrics))
            assert np.isfinite(part.values).all()
            assert (part.sent_at >= part.ts).all()
    assert sum((part.sent_at > part.ts).sum() for day in days for part in day.rows) > 0


@pytest.mark.parametrize("hours", [5, 24, 240])
def test_a_past_is_the_same_in_any_steps(hours):
    def all_of(history: History) -> tuple[list[tuple[float, ...]], list[object]]:
        days = list(history.days())
        rows = [
            (number, ts, *values)
            for day in days
            for part in day.rows
            for number, ts, values in zip(
                part.number.tolist(), part.ts.tolist(), part.values.tolist(), strict=True
            )
        ]
        return sorted(rows), sorted(code for day in days for code in day.codes)

    assert all_of(a_history()) == all_of(a_history(step=timedelta(hours=hours)))


def test_live_readings_lie_on_the_grid_of_the_hourly_past():
    machines, until = fleet(SEED, 20), micros(NOW)
    hourly = list(readings.take(SEED, machines, [], until - DAY, until, HOUR))
    often = list(readings.take(SEED, machines, [], until - DAY, until, HOUR // 6))
    for few, many in zip(hourly, often, strict=True):
        known = {(n, t): v for n, t, v in zip(many.number, many.ts, many.values.tolist(), strict=True)}
        assert all(known[n, t] == v for n, t, v in zip(few.number, few.ts, few.values.tolist(), strict=True))


def test_a_repair_fed_back_ends_the_fault_and_the_counter_never_outruns_the_clock():
    history = a_history(devices=5, days=8)
    machine = history.machines[0]
    start = micros(history.start)
    history.book = FaultBook(
        [Fault(1, machine.uid, "bearing_wear", "bearing", start + DAY, start + 3 * DAY + HOUR // 2, "wear")]
    )
    seen, codes = [], []
    for at, day in enumerate(history.days(), 1):
        (part,) = [part for part in day.rows if part.spec.code == machine.model]
        own = part.number == 1
        seen += list(zip(part.ts[own].tolist(), part.values[own].tolist(), strict=True))
        codes += [event for event in day.codes if event.code == "E101"]
        if at == 4:
            assert [fault.uid for fault in history.standing(day.end, hours=6)] == [machine.uid]
            (closed,) = history.repair(machine.uid, "bearing", day.end - timedelta(hours=10))
            assert closed.repaired == micros(day.end) + SECOND
            assert history.standing(day.end) == []
    assert (codes[-1].code, codes[-1].active, codes[-1].ts) == ("E101", False, start + 4 * DAY + SECOND)
    for (before, earlier), (after, later) in pairwise(seen):
        assert later[0] - earlier[0] + 0.011 >= 0
        assert later[0] - earlier[0] <= (after - before) / HOUR + 0.011
    assert {values[1] for ts, values in seen if start + 3 * DAY + HOUR < ts <= start + 4 * DAY} == {0.0}


def test_a_repair_of_another_component_leaves_the_fault_alone():
    history = a_history()
    machine = history.machines[0]
    fault = Fault(1, machine.uid, "bearing_wear", "bearing", micros(NOW) - 2 * DAY, micros(NOW) + DAY)
    history.book = FaultBook([fault])
    assert history.repair(machine.uid, "motor", NOW) == []
    assert history.repair(machine.uid, "bearing", NOW - timedelta(days=3)) == [], "it had not begun yet"
    assert len(history.repair(machine.uid, "*", NOW)) == 1


def test_arrivals_say_what_the_rows_say():
    history = a_history(devices=5, days=1)
    (day,) = history.days()
    said = list(history.arrivals(day, "meantime", size=10))
    messages = [
        (arrival.uid, one["ts"], one["seq"], tuple(one["values"].values()))
        for arrival in said
        if arrival.topic == f"meantime/{arrival.uid}/telemetry"
        for one in (lambda body: body if isinstance(body, list) else [body])(
            msgspec.json.decode(arrival.payload)
        )
    ]
    uids = {machine.number: machine.uid for machine in history.machines}
    rows = [
        (uids[number], readings.iso(ts), seq, tuple(values))
        for part in day.rows
        for number, ts, seq, values in zip(
            part.number.tolist(), part.ts.tolist(), part.seq.tolist(), part.values.tolist(), strict=True
        )
    ]
    assert sorted(messages) == sorted(rows)
    assert all(arrival.received_at > history.start for arrival in said)
