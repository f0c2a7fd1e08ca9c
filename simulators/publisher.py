"""The simulated fleet, live: every device on its own MQTT connection, by the simulated clock.

Readings are made for an eighth of the fleet at a time, four times a second, so that each device speaks every two
seconds (of real time) at most and several readings that have fallen due travel as one array.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import psycopg

from kit import logs
from kit.database import connect, url
from kit.errors import Unavailable
from kit.settings import Settings
from simulators import readings, world
from simulators.draws import single
from simulators.faults import DAY, HOUR, Fault, code_events, micros
from simulators.fleet import Machine, token
from simulators.line import Account, Counts, Line
from simulators.world import World

log = logs.get(__name__)
GROUPS, TICK = 8, 0.25
CONNECTS_PER_SECOND = 40
NONSENSE = 6 * HOUR  # somewhere in the fleet a device sends nonsense once in so long
TWICE = 0.01


def run(settings: Settings, stop: threading.Event) -> None:
    """Be the fleet until `stop` is set."""
    dsn = url(settings)
    with connect(dsn, application="fleet", autocommit=True) as conn:
        known = world.load(conn, settings.simulation)
    asyncio.run(Publisher(settings, known).serve(stop))


class Publisher:
    """The lines of the fleet and the loop that feeds them."""

    def __init__(self, settings: Settings, known: World) -> None:
        self.world, self.counts = known, Counts()
        self._dsn = url(settings)
        self._interval = settings.simulation.interval_seconds * 1_000_000
        self._groups = [known.machines[group::GROUPS] for group in range(GROUPS)]
        self._said = [known.said] * GROUPS
        self._cut: set[int] = set()
        self._late = 0.0
        self.lines = {machine.number: self._line(settings, machine) for machine in known.machines}

    def _line(self, settings: Settings, machine: Machine) -> Line:
        seed, endpoint = self.world.seed, settings.endpoint
        account = Account(
            endpoint.host, endpoint.port, machine.uid, token(seed, machine.uid), settings.ingest.topic_prefix,
            min(60, endpoint.keep_alive_seconds),
        )  # fmt: skip
        twice: Callable[[int], bool] = lambda count: single(seed, "twice", machine.number, count) < TWICE  # noqa: E731
        return Line(account, self.counts, lambda: self.world.clock.now(), twice)

    async def serve(self, stop: threading.Event) -> None:
        """Open the lines gently, feed them, close them."""
        stopped = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._open(tasks, stopped))
            tasks.create_task(self._talk_to_database(stopped))
            await self._feed(stop)
            stopped.set()
        log.info("stopped", messages=self.counts.messages, readings=self.counts.readings)

    async def _open(self, tasks: asyncio.TaskGroup, stopped: asyncio.Event) -> None:
        for line in self.lines.values():
            if stopped.is_set():
                return
            tasks.create_task(line.run(stopped))
            await asyncio.sleep(1 / CONNECTS_PER_SECOND)

    async def _feed(self, stop: threading.Event) -> None:
        tick, due = 0, time.monotonic()
        while not stop.is_set():
            due = max(due + TICK, time.monotonic() - 1.0)  # do not run after what was missed
            self._speak(tick % GROUPS)
            tick += 1
            self._late = max(0.0, time.monotonic() - due)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _speak(self, group: int) -> None:
        """Queue what the machines of a group have to say since the last time."""
        now, after = micros(self.world.clock.now()), self._said[group]
        machines = self._groups[group]
        if now <= after or not machines:
            return
        with self.world.lock:
            faults = [fault for machine in machines for fault in self.world.book.of(machine.number)]
            self._said[group] = now
            self.world.said = max(self.world.said, now)
        self._switch(machines, now)
        for rows in readings.take(self.world.seed, machines, faults, after, now, self._interval):
            for number in np.unique(rows.number).tolist():
                at = np.flatnonzero(rows.number == number).tolist()
                self.lines[number].say(readings.telemetry(rows, at))
        self._codes(machines, faults, after, now)
        self._nonsense(machines, after, now)

    def _codes(self, machines: list[Machine], faults: list[Fault], after: int, now: int) -> None:
        seed, models = self.world.seed, {machine.number: machine for machine in machines}
        by_uid = {machine.uid: machine.number for machine in machines}
        events = list(readings.information_codes(seed, machines, after, now))
        for fault in faults:
            if fault.onset <= now and (fault.repaired is None or fault.repaired > after):
                events += code_events(fault, models[fault.number].spec, seed)
        for event in sorted(events):
            if after < event.ts <= now:
                self.lines[by_uid[event.uid]].send("fault", readings.encode([readings.fault(event)]))

    def _switch(self, machines: list[Machine], now: int) -> None:
        """Take lines down and up by their outages; every second outage comes without a goodbye."""
        numbers = np.array([machine.number for machine in machines])
        ends, _ = readings.outage(self.world.seed, numbers, np.full(len(machines), now))
        for number, end in zip(numbers.tolist(), ends.tolist(), strict=True):
            if end > now and number not in self._cut:
                self._cut.add(number)
                self.lines[number].cut(abrupt=(number + now // DAY) % 2 == 0)
            elif end == now and number in self._cut:
                self._cut.discard(number)
                self.lines[number].restore()

    def _nonsense(self, machines: list[Machine], after: int, now: int) -> None:
        for slot, number in nonsense(self.world.seed, len(self.world.machines), after, now):
            if any(machine.number == number for machine in machines):
                self.lines[number].send(*NONSENSE_SAID[slot % len(NONSENSE_SAID)])

    async def _talk_to_database(self, stopped: asyncio.Event) -> None:
        """Once a second, on a thread of its own; a database that is away is tried again."""
        conn: psycopg.Connection | None = None
        try:
            while not stopped.is_set():
                try:
                    if conn is None or conn.closed:
                        conn = await asyncio.to_thread(self._connect)
                    await asyncio.to_thread(self.world.exchange, conn, self.detail())
                except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable) as error:
                    log.warning("database away, trying again", error=str(error).strip())
                    conn = None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 1.0)
        finally:
            if conn is not None:
                conn.close()

    def _connect(self) -> psycopg.Connection:
        return connect(self._dsn, application="fleet", autocommit=True)

    def detail(self) -> dict[str, float]:
        """Live figures for kit.process."""
        lines = self.lines.values()
        return {
            "devices": len(lines), "connected": sum(line.connected for line in lines), "cut": len(self._cut),
            "waiting": sum(line.waiting for line in lines), "messages": self.counts.messages,
            "readings": self.counts.readings, "lost": self.counts.lost, "late_seconds": round(self._late, 2),
        }  # fmt: skip


# What a real fleet sends when firmware, cabling or a technician goes wrong: topic suffix and payload.
NONSENSE_SAID: tuple[tuple[str, bytes], ...] = (
    ("telemetry", b'{"values": {"vibration": 2.1, "current":'),
    ("telemetry", b'{"ts": "2001-01-01T00:00:00Z", "values": {"vibration": 2.1}}'),
    ("telemtry", b'{"values": {"vibration": 2.1}}'),
    ("telemetry", b"\xff\xfe\x00\x01\x80"),
    ("fault", b'{"code": 17}'),
    ("telemetry", b'{"values": {"vibration": "high", "colour": 3}}'),
    ("telemetry", b"[]"),
)


def nonsense(seed: int, devices: int, after: int, until: int) -> Iterator[tuple[int, int]]:
    """(slot, device number) of the nonsense due with after < ts <= until."""
    for slot in range(after // NONSENSE, until // NONSENSE + 1):
        at = slot * NONSENSE + int(NONSENSE * single(seed, "nonsense", slot))
        if after < at <= until:
            yield slot, 1 + int(devices * single(seed, "nonsense~", slot))
