"""What devices and databases should not give but do: a clear answer or a refusal, no NaN, no order from garbage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from analytics import worker
from analytics.block import Block, Event
from analytics.definitions import DAY, HOUR, Definition, Floats, Metric
from analytics.detectors import discover
from analytics.engine import Engine
from analytics.fleet import Fleet
from analytics.rules import Rules
from kit import follow
from kit.database import Conn, scalar
from kit.errors import Invalid
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import PUMP, START, VIBRATION

EVERYTHING = Rules.of({detector.rule: {} for detector in discover()})
BROKEN = {
    "stuck": lambda values: np.repeat(values[:1], len(values), axis=0),
    "missing": lambda values: np.full_like(values, np.nan),
    "constant nought": np.zeros_like,
    "absurd": lambda values: values * 1e12,
    "infinite": lambda values: np.where(np.arange(len(values))[:, None] % 2, np.inf, -np.inf),
    "now there, now not": lambda values: np.where(np.arange(len(values))[:, None] % 3, np.nan, values),
}


def finite(its: Engine) -> bool:
    return all(np.isfinite(np.frombuffer(state)).all() for state in its.dump_all(its.devices).values())


def daily(its: Engine, block: Block) -> int:
    """Day by day; how many alarms there were."""
    raised, day = 0, block.ts // DAY
    for one in np.unique(day):
        found = its.step(block.take(np.flatnonzero(day == one))).findings
        raised += sum(finding.kind == "raise" for _, finding in found)
        its.refresh_fleet()
    return raised


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("since", [0, 6])
def test_sensors_that_break_or_never_worked_raise_nothing(kind: str, since: int) -> None:
    block = machines.rows([1, 2], machines.times(9))
    ours = (block.device == 2) & (block.ts >= START + since * DAY)
    block.values[ours] = BROKEN[kind](block.values[ours])
    its = Engine(PUMP, EVERYTHING)
    with np.errstate(all="raise", under="ignore"):
        assert daily(its, block) == 0
    assert finite(its)


def test_rows_that_come_late_are_counted_and_change_nothing() -> None:
    block = machines.rows([1, 2], machines.times(8))
    its = Engine(PUMP, EVERYTHING)
    its.step(block)
    before = its.dump_all([1, 2])
    late = its.step(
        replace(block, values=block.values * 9.0).take(np.flatnonzero(block.ts < START + 7 * DAY))
    )
    assert (late.late, late.findings) == (2 * 7 * 24, [])
    assert its.dump_all([1, 2]) == before


def test_a_machine_that_changes_its_regime_with_every_row_is_left_alone_by_every_rule() -> None:
    block = machines.rows([1, 2], machines.times(12))
    state = (block.ts // HOUR % 4).astype(float)
    values = block.values * np.array([0.02, 0.4, 0.7, 1.0])[state.astype(int)][:, None]
    its = Engine(PUMP, EVERYTHING)
    assert daily(its, replace(block, values=values, state=state)) == 0
    assert finite(its)


def test_without_any_device_there_is_no_fleet_and_no_finding() -> None:
    its = Engine(PUMP, EVERYTHING)
    done = its.step(its.nothing())
    assert (done.findings, len(done.touched), done.late) == ([], 0, 0)
    known = its.refresh_fleet().as_json(PUMP.axis("metric"))
    assert Fleet.from_json(json.loads(json.dumps(known, allow_nan=False)), PUMP.axis("metric")).rules == {}


@pytest.mark.parametrize(
    "definition",
    [
        Definition("no modes", PUMP.metrics, (), (), ()),
        Definition("no symptoms", PUMP.metrics, PUMP.modes, (), PUMP.codes),
        Definition("one metric", (Metric("x", "1", 0, 100),), PUMP.modes, (), ()),
    ],
    ids=lambda definition: definition.model,
)
def test_a_device_type_that_says_little_is_watched_without_a_finding(definition: Definition) -> None:
    block = machines.rows([1, 2, 3, 4, 5, 6], machines.times(6))
    its = Engine(definition, EVERYTHING)
    assert daily(its, replace(block, values=block.values[:, : len(definition.metrics)] * 1.0)) == 0
    assert its.step(its.nothing(), [Event(0, 1, START + 7 * DAY, "unheard of", True, 0)]).findings == []
    assert finite(its)


def spoilt(state: bytes, change: Callable[[Floats], Floats]) -> bytes:
    return change(np.frombuffer(state).copy()).tobytes()


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (lambda state: state[:-8], "is not as long as its layout says"),
        (lambda state: state[:-3], "is not as long as its layout says"),
        (lambda state: b"", "is not as long as its layout says"),
        (
            lambda state: spoilt(state, lambda x: np.where(np.arange(len(x)) == 7, np.nan, x)),
            "no finite number",
        ),
    ],
    ids=["cut", "cut within a number", "empty", "not a number"],
)
def test_a_saved_state_that_cannot_be_right_is_refused_and_names_the_device(
    state: Callable[[bytes], bytes], why: str
) -> None:
    its = Engine(PUMP)
    its.step(machines.rows([7], machines.times(2)))
    with pytest.raises(Invalid, match=f"Device 7: .*{why}"):
        Engine(PUMP).load(7, state(its.dump(7)), its.layout)


def test_what_another_version_of_a_detector_saved_is_not_taken_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    block = machines.rows([1], machines.times(12))
    old = Engine(PUMP)
    old.step(block)
    shift = next(detector for detector in discover() if detector.rule == "shift")
    monkeypatch.setattr(shift, "version", shift.version + 1)
    new = Engine(PUMP)
    new.load(1, old.dump(1), old.layout)
    assert (old.state.read("shift", "fast", 1) != 0).any()
    assert (new.state.read("shift", "fast", 1) == 0).all()
    assert (new.state.read("shift", "open", 1) == old.state.read("shift", "open", 1)).all()
    for field in ("mean", "deviation", "rows", "newest"):
        assert (new.state.read("baseline", field, 1) == old.state.read("baseline", field, 1)).all()


def test_through_the_worker_garbage_raises_nothing_and_leaves_finite_states(db: Conn) -> None:
    devices = stored.prepare(db, len(BROKEN))
    block = machines.rows(devices, machines.times(10))
    for device, change in zip(devices, BROKEN.values(), strict=True):
        ours = (block.device == device) & (block.ts >= START + 6 * DAY)
        block.values[ours, VIBRATION] = change(block.values[ours][:, [VIBRATION]])[:, 0]
    stored.write(db, block.take(slice(0, 0)))  # a batch of nothing
    for day in np.unique(block.ts // DAY):
        stored.write(db, block.take(np.flatnonzero(block.ts // DAY == day)))
    follow.catch_up(db, worker.followers(Settings()))
    assert scalar(db, "select count(*) from analytics.detection") == 0
    states = db.execute("select state from analytics.device_state").fetchall()
    assert len(states) == len(devices)
    assert all(np.isfinite(np.frombuffer(state)).all() for (state,) in states)


def test_a_device_whose_saved_state_is_spoilt_starts_anew_and_the_others_go_on(
    db: Conn, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = stored.prepare(db, 3)
    faults = [machines.Fault(device, VIBRATION, 7, 3, 5.0) for device in devices[1:]]
    block = machines.rows(devices, machines.times(10), faults=faults)
    stored.write(db, block.take(np.flatnonzero(block.ts < START + 6 * DAY)))
    follow.catch_up(db, worker.followers(Settings()))
    db.execute("update analytics.device_state set state = 'spoilt' where device_id = %s", (devices[0],))
    stored.write(db, block.take(np.flatnonzero(block.ts >= START + 6 * DAY)))
    follow.catch_up(db, worker.followers(Settings()))
    assert {row[0] for row in stored.detections(db)} == set(devices[1:])
    state = scalar(db, "select state from analytics.device_state where device_id = %s", (devices[0],))
    assert np.isfinite(np.frombuffer(state)).all()
    assert f"Device {devices[0]}: A saved state of 0.75 numbers" in capsys.readouterr().out
