"""What the publisher shares with the database: the clock, repairs, new faults, the truth, and how far it has come."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from kit import clock, follow, logs
from kit.database import Conn, rows, scalar
from kit.process import beat
from kit.settings import Simulation
from simulators import truth
from simulators.faults import HOUR, SECOND, FaultBook, micros
from simulators.fleet import Machine, arrivals, fleet, plan_ahead

log = logs.get(__name__)
SAID = "sim.said"  # in kit.state: up to when readings have been made, microseconds
LONGEST_GAP = 12 * HOUR  # after a longer pause of the simulator what lies between is not made up
NEARLY = HOUR  # faults are planted so far ahead


@dataclass
class World:
    """The fleet and its faults. `lock` guards the book: the database thread plants and repairs, the loop reads."""

    seed: int
    machines: list[Machine]
    book: FaultBook
    clock: clock.Clock
    said: int
    lock: threading.Lock

    def __post_init__(self) -> None:
        self._by_uid = {machine.uid: machine for machine in self.machines}
        self.repairs = follow.Follower("sim.repairs", "analytics.reset", self._repaired)
        self.visits = follow.Follower(
            "sim.visits",
            "fsm.work_order_event",
            self._opened,
            where="subject = 'visit' and to_state = 'working'",
        )
        self._planned = self.said

    def exchange(self, conn: Conn, detail: dict[str, Any]) -> None:
        """Once a second: read the clock and the repairs, plant what is due, say that the fleet is alive."""
        self.clock = clock.load(conn)
        follow.step(conn, self.visits)
        follow.step(conn, self.repairs)
        with conn.transaction():
            self._plant(conn, micros(self.clock.now()) + NEARLY)
            keep_said(conn, self.said)
        beat(conn, "fleet", detail)

    def _plant(self, conn: Conn, until: int) -> None:
        with self.lock:
            new = []
            for fault in arrivals(self.seed, self.machines, self.book, self._planned, until):
                if self.book.plant(fault):
                    new.append(fault)
        truth.save(conn, new)
        self._planned = max(self._planned, until)

    def _opened(self, conn: Conn, facts: list[dict[str, Any]]) -> None:
        """The engineer is at work on the machine: the component is good from now on. (When he is done it is too late:
        by then a fast clock has let the machine speak of its fault for another hour.)"""
        for fact in facts:
            for uid, component in conn.execute(
                """select d.uid, o.component from fsm.work_order o join ingest.device d on d.id = o.device_id
                   where o.id = %s and o.component is not null""",
                (fact["order_id"],),
            ):
                self._repair(conn, uid, component, micros(fact["at"]))

    def _repaired(self, conn: Conn, facts: list[dict[str, Any]]) -> None:
        uids = dict(conn.execute("select id, uid from ingest.device").fetchall())
        for fact in facts:
            self._repair(conn, uids[fact["device_id"]], fact["component"], micros(fact["ts"]))

    def _repair(self, conn: Conn, uid: str, component: str, ts: int) -> None:
        """A repair takes effect at once, but not before what the machine has said already."""
        machine = self._by_uid.get(uid)
        if machine is not None:
            with self.lock:
                truth.save(conn, self.book.repair(machine.number, component, max(ts, self.said + SECOND)))


def keep_said(conn: Conn, said: int) -> None:
    """Remember up to when the fleet's readings exist; a seed calls it with the end of its history."""
    conn.execute(
        """insert into kit.state (name, value) values (%s, %s)
           on conflict (name) do update set value = excluded.value""",
        (SAID, Jsonb(said)),
    )


def load(conn: Conn, settings: Simulation) -> World:
    """The world as the database knows it. A fleet without any planted fault gets its showcase now."""
    machines, shown = fleet(settings.seed, settings.devices), clock.load(conn)
    now = shown.now()
    book = FaultBook(truth.load(conn))
    if not list(book):
        faults = plan_ahead(settings.seed, machines, book, now, under_warranty(conn, now))
        truth.save(conn, [fault for fault in faults if book.plant(fault)])
    said = scalar(conn, "select value::bigint from kit.state where name = %s", (SAID,))
    said = max(said if said is not None else micros(now), micros(now) - LONGEST_GAP)
    log.info("fleet", devices=len(machines), faults=len(list(book)), at=now.isoformat())
    return World(settings.seed, machines, book, shown, said, threading.Lock())


def under_warranty(conn: Conn, at: datetime) -> set[str]:
    """The uids of devices whose warranty has not run out by date."""
    found = rows(
        conn,
        """select d.uid from fsm.device a join ingest.device d on d.id = a.id where a.warranty_until >= %s""",
        (at.date(),),
    )
    return {row["uid"] for row in found}
