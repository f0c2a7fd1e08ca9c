"""The live fleet against the real end point: what the database holds is what the machines read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tomllib import loads

import pytest

import meantime
from ingest import device_types, registry, storage
from ingest.endpoint import Endpoint
from kit import clock
from kit.database import Conn, connect, rows, scalar
from kit.settings import Endpoint as EndpointSettings
from kit.settings import Settings, Simulation
from simulators import publisher, readings, truth, world
from simulators.enrolment import enrol
from simulators.faults import DAY, HOUR, Fault, FaultBook, micros
from simulators.fleet import fleet, token
from simulators.publisher import Publisher
from tests.conftest import utc

NOW = utc("2026-11-24 06:00")
SEED, DEVICES = 7, 6
TYPES = Path(meantime.__file__).parent / "device_types"


@dataclass
class Stage:
    """A database with the fleet enrolled, an end point on a free port, and the clock in the test's hands."""

    conn: Conn
    settings: Settings

    def set_clock(self, at: datetime, rate: float = 0.0) -> None:
        clock.set_rate(self.conn, rate, sim=at)


def eventually(check: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def stage(dsn: str, db: Conn) -> Iterator[Stage]:
    clock.set_rate(db, 0.0, sim=NOW)
    with db.transaction():
        for path in TYPES.glob("*.toml"):
            device_types.load(db, loads(path.read_text(encoding="utf-8")))
        enrol(db, SEED, fleet(SEED, DEVICES), NOW)
        ensure_partitions(db)
    settings = Settings(
        database_url=dsn,
        endpoint=EndpointSettings(port=0),
        simulation=Simulation(seed=SEED, devices=DEVICES, interval_seconds=600),
    )
    door, stop, ready = Endpoint(settings), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(door.serve(stop, ready=ready)))
    thread.start()
    assert ready.wait(10)
    yield Stage(db, settings.model_copy(update={"endpoint": EndpointSettings(port=door.port)}))
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def ensure_partitions(conn: Conn) -> None:
    storage.ensure_range(conn, NOW - timedelta(days=14), NOW + timedelta(days=14))


@pytest.fixture
def live(stage: Stage) -> Iterator[Callable[[], None]]:
    """`live()` starts the publisher; it is stopped at the end of the test, and must stop cleanly."""
    stop = threading.Event()
    failed: list[BaseException] = []
    threads: list[threading.Thread] = []

    def body() -> None:
        try:
            publisher.run(stage.settings, stop)
        except BaseException as error:
            failed.append(error)
            raise

    def start() -> None:
        threads.append(threading.Thread(target=body))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert failed == []


def stored(conn: Conn) -> dict[tuple[str, int], list[float]]:
    """(uid, seq) -> values in the order of the model's metrics."""
    found = rows(
        conn,
        """select d.uid, t.ts, t.seq, s.metrics, t."values" from ingest.telemetry t
           join ingest.device d on d.id = t.device_id join ingest.shape s on s.id = t.shape_id""",
    )
    return {(r["uid"], r["seq"]): dict(zip(r["metrics"], r["values"], strict=True)) for r in found}


def expected(
    faults: list[Fault], after: datetime, until: datetime
) -> dict[tuple[str, int], dict[str, float]]:
    machines = fleet(SEED, DEVICES)
    uids = {machine.number: machine.uid for machine in machines}
    return {
        (uids[number], seq): dict(zip(part.spec.metrics, values, strict=True))
        for part in readings.take(SEED, machines, faults, micros(after), micros(until), 600_000_000)
        for number, seq, values in zip(
            part.number.tolist(), part.seq.tolist(), part.values.tolist(), strict=True
        )
    }


def agree(conn: Conn, wanted: dict[tuple[str, int], dict[str, float]]) -> bool:
    """All wanted readings are stored, each with the values that could be (impossible ones go to the quarantine)."""
    found = stored(conn)
    if set(found) != set(wanted):
        return False
    refused = set(conn.execute("select item, value from ingest.quarantine").fetchall())
    for key, values in wanted.items():
        for metric, value in values.items():
            got = found[key].get(metric)
            if got != value and not any(item == metric for item, _ in refused):
                return False
    return True


def test_the_database_holds_what_the_machines_read(stage, live):
    world.keep_said(stage.conn, micros(NOW - timedelta(hours=3)))
    live()
    eventually(lambda: scalar(stage.conn, "select count(*) from sim.fault") >= 1, "the showcase is planted")
    faults = truth.load(stage.conn)
    eventually(
        lambda: agree(stage.conn, expected(faults, NOW - timedelta(hours=3), NOW)), "three hours arrive"
    )
    stage.set_clock(NOW + timedelta(hours=2))
    wanted = expected(faults, NOW - timedelta(hours=3), NOW + timedelta(hours=2))
    eventually(lambda: agree(stage.conn, wanted), "two more hours arrive")
    assert len(wanted) > 5 * 6 * DEVICES * 0.8


def test_the_fleet_comes_online_and_says_goodbye(stage, live):
    live()
    online = "select count(*) from ingest.device_status where online"
    eventually(lambda: scalar(stage.conn, online) == DEVICES, "all devices are online")
    detail = "select (detail->>'connected')::int from kit.process where name = 'fleet'"
    eventually(lambda: scalar(stage.conn, detail) == DEVICES, "the fleet says so")


def test_a_repair_in_the_database_ends_the_fault_on_the_machine(stage, live):
    machine = fleet(SEED, DEVICES)[0]
    broken = Fault(1, machine.uid, "seal_leak", "mechanical_seal", micros(NOW) - DAY, micros(NOW) - HOUR)
    truth.save(stage.conn, [broken])
    world.keep_said(stage.conn, micros(NOW) - HOUR - 60_000_000)
    live()
    raised = "select count(*) from ingest.fault_event where code = 'E201' and active = %s"
    eventually(lambda: scalar(stage.conn, raised, (True,)) == 1, "the code is raised at the failure")
    stage.conn.execute(
        """insert into analytics.reset (device_id, component, ts, reason)
           select id, 'mechanical_seal', %s, 'test' from ingest.device where uid = %s""",
        (NOW, machine.uid),
    )
    repaired = "select repaired_at from sim.fault where uid = %s and mode = 'seal_leak'"
    eventually(lambda: scalar(stage.conn, repaired, (machine.uid,)) is not None, "the repair is noted")
    stage.set_clock(NOW + timedelta(hours=6))
    eventually(lambda: scalar(stage.conn, raised, (False,)) == 1, "the code is cleared")
    assert scalar(stage.conn, repaired, (machine.uid,)) > NOW - timedelta(seconds=1)


def test_what_a_device_read_while_its_line_was_cut_arrives_as_a_burst(stage):
    known = world.load(stage.conn, stage.settings.simulation)
    known.book = FaultBook()
    known.said = micros(NOW - timedelta(hours=8))
    fleet_live = Publisher(stage.settings, known)
    line = fleet_live.lines[1]

    async def play() -> None:
        stopped = asyncio.Event()
        task = asyncio.create_task(line.run(stopped))
        await until(lambda: line.connected)
        line.cut(abrupt=True)
        await until(lambda: not line.connected)
        fleet_live._speak(0)  # the group of machine 1
        assert line.waiting > 40
        line.restore()
        await until(lambda: line.waiting == 0)
        stopped.set()
        await task

    async def until(check: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not check():
                await asyncio.sleep(0.02)

    asyncio.run(play())
    count = (
        "select count(*) from ingest.telemetry t join ingest.device d on d.id = t.device_id where d.uid = %s"
    )
    assert scalar(stage.conn, count, (line.account.uid,)) > 40
    lost = "select count(*) from ingest.device_state where not online"
    assert scalar(stage.conn, lost) >= 1, "the cut came without a goodbye and was noticed all the same"


def test_tokens_of_the_seed_let_devices_in_and_other_tokens_do_not(stage):
    machine = fleet(SEED, DEVICES)[0]
    assert registry.authenticate(stage.conn, machine.uid, token(SEED, machine.uid)) is not None
    assert registry.authenticate(stage.conn, machine.uid, token(SEED + 1, machine.uid)) is None


def test_enrolling_twice_changes_nothing(stage):
    before = scalar(stage.conn, "select count(*) from ingest.credential")
    with stage.conn.transaction():
        enrol(stage.conn, SEED, fleet(SEED, DEVICES), NOW)
    assert scalar(stage.conn, "select count(*) from ingest.credential") == before


def test_nonsense_comes_a_few_times_a_day_the_same_in_any_steps():
    whole = list(publisher.nonsense(SEED, 240, micros(NOW), micros(NOW) + 10 * DAY))
    assert 38 <= len(whole) <= 42
    steps = [
        n
        for at in range(240)
        for n in publisher.nonsense(SEED, 240, micros(NOW) + at * HOUR, micros(NOW) + (at + 1) * HOUR)
    ]
    assert steps == whole


def test_every_kind_of_nonsense_is_refused_with_a_reason_and_none_stops_the_line(stage):
    known = world.load(stage.conn, stage.settings.simulation)
    line = Publisher(stage.settings, known).lines[1]

    async def play() -> None:
        stopped = asyncio.Event()
        task = asyncio.create_task(line.run(stopped))
        for suffix, payload in publisher.NONSENSE_SAID:
            line.send(suffix, payload)
        async with asyncio.timeout(20):
            while line.waiting:
                await asyncio.sleep(0.02)
        stopped.set()
        await task

    asyncio.run(play())
    with connect(stage.settings.database_url) as conn:
        letters = scalar(conn, "select count(*) from ingest.dead_letter")
        refused = scalar(conn, "select count(*) from ingest.quarantine")
    assert letters >= 4
    assert letters + refused >= len(publisher.NONSENSE_SAID) - 1
