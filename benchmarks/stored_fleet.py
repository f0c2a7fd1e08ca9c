"""A simulated fleet's stored past for benchmarks: rows in the batches in which they would have come, late ones late,
fault codes, failures on record and their repairs, and the detections that the product made of them at the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from analytics import worker
from ingest import rollup
from ingest.message import Arrival
from ingest.store import Columns, Store
from kit import clock, follow
from kit.database import Conn
from kit.settings import Settings
from meantime import device_types
from simulators import enrolment
from simulators.faults import Fault, micros, moment
from simulators.history import Day, History

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
REPAIR = timedelta(hours=30)  # from the failure to the repair
STEP = timedelta(hours=1)  # of one batch for each device type
DAY = timedelta(days=1)


class Life:
    """One fleet lived into a database, a day at a time."""

    def __init__(self, conn: Conn, devices: int, days: int, seed: int) -> None:
        self.conn, self.settings = conn, Settings()
        self.past = History(seed, devices, BEGIN, BEGIN + timedelta(days=days))
        device_types.load_shipped(conn)
        with conn.transaction():
            self.ids = enrolment.enrol(conn, seed, self.past.machines, BEGIN)
        self.followers = worker.followers(self.settings)
        self._store = Store(self.settings.ingest, door="seed")
        self._waiting: list[Columns] = []
        self._repaired: set[tuple[str, str, int]] = set()
        self.rows = 0

    def days(self, *, roll_up: bool) -> Iterator[Day]:
        """Live it; `roll_up` counts the hourly means, which failure models need."""
        for day in self.past.days():
            clock.set_rate(self.conn, 0.0, sim=day.end)
            self._write(day)
            follow.catch_up(self.conn, self.followers, deadline=3600)
            self._repair(day.end)
            while roll_up and self._roll_up():
                pass
            yield day

    def _write(self, day: Day) -> None:
        """Hour by hour what arrived in it, one batch for each device type."""
        columns = [*self._waiting, *self.past.columns(day, self.ids)]
        codes = list(self.past.code_arrivals(day, self.settings.ingest.topic_prefix))
        for hour in range(DAY // STEP):
            until = day.start + (hour + 1) * STEP
            for part in _merged(_arrived(columns, micros(until - STEP), micros(until))):
                self._commit(part)
            self._codes([code for code in codes if until - STEP < code.received_at <= until])
        self._waiting = list(_arrived(columns, micros(day.end), 2**62))

    def _commit(self, columns: Columns) -> None:
        with self.conn.transaction():
            written = self._store.write_rows(self.conn, columns)
        self._store.committed(written)
        self.rows += written.rows

    def _codes(self, arrivals: list[Arrival]) -> None:
        if arrivals:
            with self.conn.transaction():
                written = self._store.write(self.conn, arrivals)
            self._store.committed(written)

    def _repair(self, now: datetime) -> None:
        """Machines that failed are repaired in time, and then whoever repaired them records the failure."""
        for fault in self.past.standing(now):
            at = moment(fault.failed) + REPAIR
            if at <= now and _key(fault) not in self._repaired:
                self._repaired.add(_key(fault))
                self.past.repair(fault.uid, fault.component, at)
                self.conn.execute(
                    """insert into analytics.reset (device_id, component, ts, reason) values (%s, %s, %s, 'recorded')
                       on conflict do nothing""",
                    (self.ids[fault.uid], fault.component, now),
                )
                self.conn.execute(
                    """insert into analytics.failure (device_id, component, ts, known_at, reference)
                       values (%s, %s, %s, %s, 'CMMS') on conflict do nothing""",
                    (self.ids[fault.uid], fault.component, moment(fault.failed), now),
                )

    def _roll_up(self) -> int:
        with self.conn.transaction():
            return rollup.step(self.conn)


def _key(fault: Fault) -> tuple[str, str, int]:
    return fault.uid, fault.component, fault.onset


def _arrived(columns: list[Columns], after: int, until: int) -> Iterator[Columns]:
    """The rows that came in (after, until]."""
    for one in columns:
        assert one.received is not None
        assert one.seq is not None
        at = np.flatnonzero((one.received > after) & (one.received <= until))
        if len(at):
            yield replace(
                one, device=one.device[at], ts=one.ts[at], values=one.values[at], seq=one.seq[at],
                received=one.received[at],
            )  # fmt: skip


def _merged(parts: Iterator[Columns]) -> list[Columns]:
    """One for each device type."""
    made: dict[str, Columns] = {}
    for one in parts:
        other = made.get(one.model)
        made[one.model] = one if other is None else _joined(other, one)
    return list(made.values())


def _joined(one: Columns, other: Columns) -> Columns:
    assert one.seq is not None
    assert other.seq is not None
    assert one.received is not None
    assert other.received is not None
    return replace(
        one, device=np.concatenate([one.device, other.device]), ts=np.concatenate([one.ts, other.ts]),
        values=np.concatenate([one.values, other.values]), seq=np.concatenate([one.seq, other.seq]),
        received=np.concatenate([one.received, other.received]),
    )  # fmt: skip
