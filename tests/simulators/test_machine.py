"""The physics: the same however it is asked for, possible, and telling of faults before they stop the machine."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meantime
from simulators import draws, machine
from simulators.faults import DAY, HOUR, MINUTE, CodeEvent, Fault, code_events
from simulators.specs import MODELS

SEED = 7
START = 1_790_035_200_000_000  # 2026-09-22 00:00 UTC, a Tuesday
TYPES = Path(meantime.__file__).parent / "device_types"
EVERY_MODE = [(model, mode) for model, spec in MODELS.items() for mode in (m.code for m in spec.modes)]


def a_fault(model: str, mode: str, number: int = 1, days: float = 3.0) -> Fault:
    component = MODELS[model].mode(mode).component
    return Fault(number, "X", mode, component, START + 2 * DAY, START + int((2 + days) * DAY))


def hours(count: int, step: int = HOUR) -> np.ndarray:
    return START + np.arange(count, dtype=np.int64) * step


def read(model: str, number: int, ts: np.ndarray, *faults: Fault) -> np.ndarray:
    return machine.sample(MODELS[model], SEED, np.full(len(ts), number), ts, faults).values


def never_stops() -> int:
    numbers = np.arange(1, 200)
    return int(numbers[machine.profile(SEED, numbers) == 1][0])


@settings(max_examples=30, deadline=None)
@given(
    model=st.sampled_from(sorted(MODELS)),
    cuts=st.lists(st.integers(0, 120), max_size=4),
    shuffle=st.randoms(use_true_random=False),
)
def test_rows_are_the_same_in_pieces_in_any_order_and_at_once(model, cuts, shuffle):
    spec = MODELS[model]
    number = np.repeat(np.arange(1, 6), 24)
    ts = np.tile(hours(24, 5 * HOUR), 5)
    faults = [
        a_fault(model, spec.modes[0].code, 3),
        replace(a_fault(model, spec.modes[1].code, 4), repaired=START + 3 * DAY),
    ]
    whole = machine.sample(spec, SEED, number, ts, faults)
    order = list(range(120))
    shuffle.shuffle(order)
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 120], strict=True):
        piece = order[first:last]
        found = machine.sample(spec, SEED, number[piece], ts[piece], faults)
        np.testing.assert_array_equal(found.values, whole.values[piece])
        np.testing.assert_array_equal(found.missing, whole.missing[piece])


def test_another_seed_is_another_fleet():
    ts = hours(48)
    one = machine.sample(MODELS["pump-p100"], 1, np.ones(48, int), ts, []).values
    two = machine.sample(MODELS["pump-p100"], 2, np.ones(48, int), ts, []).values
    assert not np.allclose(one, two)


def test_draws_are_uniform_and_normal_over_devices_and_time():
    device, counter = np.arange(200_000) % 240, np.arange(200_000) // 240
    uniform = draws.uniform(SEED, "a", device, counter)
    assert np.abs(np.histogram(uniform, 20, (0, 1))[0] / 10_000 - 1).max() < 0.05
    assert abs(np.corrcoef(uniform[:-240], uniform[240:])[0, 1]) < 0.01
    normal = draws.normal(SEED, "b", device, counter)
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_physics_speaks_of_what_the_device_type_knows(model):
    types = [tomllib.loads(path.read_text(encoding="utf-8")) for path in TYPES.glob("*.toml")]
    (known,) = [one for one in types if one["model"]["code"] == model]
    spec, metrics = MODELS[model], {metric["name"]: metric for metric in known["metric"]}
    assert set(spec.metrics) == set(metrics)
    for channel in spec.channels:
        assert (channel.low, channel.high) == (metrics[channel.name]["low"], metrics[channel.name]["high"])
    assert metrics["run_hours"].get("rolls_at") == spec.rolls_at
    modes = {mode["code"]: mode for mode in known["failure_mode"]}
    codes = {code["code"]: code for code in known["fault_code"]}
    assert set(modes) == {mode.code for mode in spec.modes}
    assert codes[spec.information]["severity"] == 4
    for mode in spec.modes:
        signs = {s["metric"]: s["direction"] for s in modes[mode.code]["symptoms"]}
        assert signs == {metric: "up" if effect > 0 else "down" for metric, effect in mode.effects.items()}
        assert modes[mode.code]["component"] == mode.component
        assert codes[mode.fault_code]["failure_mode"] == mode.code


@pytest.mark.parametrize("path", sorted(TYPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_solution_is_bilingual_and_its_parts_are_described(path):
    known = tomllib.loads(path.read_text(encoding="utf-8"))
    parts = {part["sku"]: part for part in known["part"]}
    used = set()
    for mode in known["failure_mode"]:
        solution = mode["solution"]
        assert len(solution["checklist_en"]) == len(solution["checklist_zh"]) > 0
        assert solution["skill"] in {"rotating", "electrical", "refrigeration", "pneumatic"}
        used |= {part["sku"] for part in solution["parts"]}
    assert used == set(parts)
    assert all(
        part["name_en"] and part["name_zh"] and float(part["list_price"]) > 0 for part in parts.values()
    )


@pytest.mark.parametrize("model", sorted(MODELS))
def test_readings_are_possible_but_for_rare_glitches(model):
    spec = MODELS[model]
    number, ts = np.repeat(np.arange(1, 41), 24 * 30), np.tile(hours(24 * 30), 40)
    found = machine.sample(spec, SEED, number, ts, [])
    low = np.array([channel.low for channel in spec.channels])
    high = np.array([channel.high for channel in spec.channels])
    outside = (found.values[:, 2:] < low) | (found.values[:, 2:] > high)
    assert 0 < outside.mean() < 3 * machine.SPIKE
    assert set(np.unique(found.values[:, 1])) == {0.0, 1.0, 2.0, 3.0}
    assert 0.5 * machine.MISSING < found.missing.mean() < 2 * machine.MISSING


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_counter_rolls_on_only_while_the_machine_runs(model):
    fault = replace(a_fault(model, MODELS[model].modes[0].code), repaired=START + 6 * DAY)
    ts = hours(24 * 14 * 6, 10 * MINUTE)
    for number in range(1, 12):
        values = read(model, number, ts, replace(fault, number=number))
        step = np.diff(values[:, 0])
        step = np.where(step < -1000, step + (MODELS[model].rolls_at or 0), step)
        assert (step > -0.011).all()
        assert (step < 1 / 6 + 0.011).all()
        off = (values[:-1, 1] == 0) & (values[1:, 1] == 0)
        assert np.abs(step[off]).max(initial=0.0) < 0.011
        full = (values[:-1, 1] > 0) & (values[1:, 1] > 0)
        assert step[full].mean() == pytest.approx(1 / 6, rel=0.01)


def test_load_moves_the_readings():
    number = int(np.flatnonzero(machine.profile(SEED, np.arange(200)) == 2)[0])
    values = read("pump-p100", number, hours(24 * 28))
    flow = [np.median(values[values[:, 1] == regime, 5]) for regime in range(4)]
    assert flow == sorted(flow)
    assert flow[0] < 1 < 10 < flow[1]


@pytest.mark.parametrize(("model", "mode"), EVERY_MODE)
def test_a_fault_shows_in_its_symptoms_well_before_the_failure(model, mode):
    spec, number = MODELS[model], never_stops()
    fault, ts = a_fault(model, mode, number), hours(24 * 8)
    healthy, faulty = read(model, number, ts), read(model, number, ts, fault)
    before, late = ts < fault.onset, (ts > fault.failed - 30 * HOUR) & (ts < fault.failed)
    for at, metric in enumerate(spec.metrics):
        effect = spec.mode(mode).effects.get(metric, 0.0)
        difference = faulty[:, at] - healthy[:, at]
        assert (difference[before] == 0).all()
        if effect and metric == next(iter(spec.mode(mode).effects)):
            noise = np.hypot(*(getattr(spec.channels[at - 2], name) for name in ("noise", "slow")))
            assert np.median(np.abs(difference[late])) > 5 * noise
            assert np.sign(np.median(difference[late])) == np.sign(effect)
        elif not effect and metric not in ("run_hours", "state"):
            assert (difference[ts < fault.failed] == 0).all()


def test_a_failed_machine_stands_still_until_it_is_repaired_and_is_then_as_before():
    number = never_stops()
    open_fault, ts = a_fault("pump-p100", "seal_leak", number), hours(24 * 14)
    repaired = replace(open_fault, repaired=START + 7 * DAY)
    values, healthy = read("pump-p100", number, ts, repaired), read("pump-p100", number, ts)
    down = (ts >= repaired.failed) & (ts < repaired.repaired)
    assert (values[down, 1] == 0).all()
    assert (read("pump-p100", number, ts, open_fault)[ts >= open_fault.failed, 1] == 0).all()
    after = ts >= repaired.repaired
    np.testing.assert_array_equal(values[after, 1:], healthy[after, 1:])
    assert (healthy[after, 0] - values[after, 0]) == pytest.approx(48.0, abs=0.02)


def test_a_silent_fault_shows_nothing_before_it_stops_the_machine():
    number = never_stops()
    fault, ts = replace(a_fault("pump-p100", "bearing_wear", number), shape="silent"), hours(24 * 8)
    before = ts < fault.failed
    np.testing.assert_array_equal(
        read("pump-p100", number, ts, fault)[before], read("pump-p100", number, ts)[before]
    )
    assert read("pump-p100", number, ts, fault)[~before, 1].max() == 0


def test_a_repair_in_time_cancels_the_failure_and_its_code():
    spec = MODELS["pump-p100"]
    faults = [a_fault("pump-p100", "bearing_wear", number) for number in range(1, 60)]
    for fault in faults:
        events = list(code_events(fault, spec, SEED))
        assert CodeEvent(fault.failed, "X", "E101", True) in events
        balance = 0
        for event in sorted(events):
            balance += 1 if event.active else -1
        assert balance >= 1, "the code stays raised until the repair"
        early = replace(fault, repaired=fault.onset + DAY)
        assert list(code_events(early, spec, SEED)) == []
        late = replace(fault, repaired=fault.failed + DAY)
        assert max(code_events(late, spec, SEED)) == CodeEvent(fault.failed + DAY, "X", "E101", False)
    assert 0.3 < np.mean([len(list(code_events(fault, spec, SEED))) > 1 for fault in faults]) < 0.9
