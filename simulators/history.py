"""The past of the simulated fleet, day by day, so that detection, orders and repairs can be run along with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from ingest.message import Arrival
from ingest.store import Columns
from simulators import readings
from simulators.draws import Ints
from simulators.faults import HOUR, SECOND, CodeEvent, Fault, FaultBook, code_events, micros, moment
from simulators.fleet import Machine, fleet, plan_ahead, plan_history
from simulators.readings import Rows


@dataclass(frozen=True)
class Day:
    """What the fleet said from `start` (exclusive) to `end`.

    Attributes:
        rows: telemetry, one entry per model.
        codes: fault codes raised and cleared, in order of time.
    """

    start: datetime
    end: datetime
    rows: tuple[Rows, ...]
    codes: tuple[CodeEvent, ...]

    def __len__(self) -> int:
        return sum(len(part.ts) for part in self.rows)


class History:
    """A period of the fleet's past. Deterministic in its arguments and the repairs fed back.

    Args:
        seed, devices: the fleet, see `simulators.fleet`.
        start, end: aware; the period is (start, end].
        interval: time between two readings of a device.
        step: what `days` yields at a time; shorter steps let repairs be fed back sooner.
        known: faults to go on with instead of planning new ones (from `truth.load`).
        earlier: faults of before `start`, all repaired by then: the machines stood still for them.
    """

    def __init__(
        self,
        seed: int,
        devices: int,
        start: datetime,
        end: datetime,
        *,
        interval: timedelta = timedelta(hours=1),
        step: timedelta = timedelta(days=1),
        known: Collection[Fault] | None = None,
        earlier: Collection[Fault] = (),
    ) -> None:
        self.seed, self.start, self.end = seed, start, end
        self.machines: list[Machine] = fleet(seed, devices)
        self._numbers = {machine.uid: machine for machine in self.machines}
        self._interval, self._step = interval // timedelta(microseconds=1), step
        self._said = micros(start)
        planned = plan_history(seed, self.machines, start, end) if known is None else known
        self.book = FaultBook([*earlier, *planned])

    def days(self) -> Iterator[Day]:
        """The period step by step; a repair reported between two steps holds from the next one on."""
        start = self.start
        while start < self.end:
            end = min(start + self._step, self.end)
            yield self.day(start, end)
            start = end

    def day(self, start: datetime, end: datetime) -> Day:
        """What was said in (start, end] with the repairs known by now."""
        after, until = micros(start), micros(end)
        faults = [one for one in self.book if one.onset <= until]
        rows = readings.take(self.seed, self.machines, faults, after, until, self._interval)
        codes = list(readings.information_codes(self.seed, self.machines, after, until))
        for one in faults:
            if one.repaired is not None and one.repaired <= after:
                continue  # it has said all it had to say
            events = code_events(one, self._numbers[one.uid].spec, self.seed)
            codes += [event for event in events if after < event.ts <= until]
        self._said = max(self._said, until)
        return Day(start, end, tuple(rows), tuple(sorted(codes)))

    def repair(self, uid: str, component: str, ts: datetime) -> list[Fault]:
        """Tell the machine that it was repaired; `*` repairs all of it. Returns the faults that this ended.

        A repair before the end of the last step takes effect at its end: what was said cannot be unsaid.
        """
        effective = max(micros(ts), self._said + SECOND)
        return self.book.repair(self._numbers[uid].number, component, effective)

    def standing(self, at: datetime, *, hours: float = 0.0) -> list[Fault]:
        """Faults whose machine has stood still for longer than that: the customer has telephoned by then."""
        return self.book.standing(micros(at), longer_than=int(hours * HOUR))

    def showcase(self, under_warranty: Collection[str] = ()) -> list[Fault]:
        """Plant the first faults of the live part, around `end`; returns them. Keep all with `truth.save`."""
        faults = plan_ahead(self.seed, self.machines, self.book, self.end, under_warranty)
        return [one for one in faults if self.book.plant(one)]

    def arrivals(self, day: Day, prefix: str, *, size: int = 24) -> Iterator[Arrival]:
        """A day as the messages that devices would have sent: up to `size` readings of a device in one array, each
        arriving when the last of them could be sent; fault codes one by one."""
        uids = {machine.number: machine.uid for machine in self.machines}
        for rows in day.rows:
            for at in _runs(rows, size):
                uid = uids[int(rows.number[at[0]])]
                payload = readings.encode(readings.telemetry(rows, at))
                received = moment(rows.sent_at[at].max())
                yield Arrival(f"{prefix}/{uid}/telemetry", payload, uid, uid, received)
        yield from self.code_arrivals(day, prefix)

    def code_arrivals(self, day: Day, prefix: str) -> Iterator[Arrival]:
        """The day's fault codes as messages, one each."""
        for event in day.codes:
            payload = readings.encode([readings.fault(event)])
            yield Arrival(f"{prefix}/{event.uid}/fault", payload, event.uid, event.uid, moment(event.ts))

    def columns(self, day: Day, ids: Mapping[str, int]) -> Iterator[Columns]:
        """A day's telemetry as typed rows for `ingest.store.Store.write_rows`; `ids`: uid -> device id. Fault
        codes are not among them: write those of `day.codes` as arrivals (`code_arrivals`)."""
        by_number = np.zeros(len(self.machines) + 1, dtype=np.int64)
        for machine in self.machines:
            by_number[machine.number] = ids[machine.uid]
        for rows in day.rows:
            device = by_number[rows.number]
            yield Columns(
                rows.spec.code, rows.spec.metrics, device, rows.ts, rows.values, rows.seq, rows.sent_at
            )


def _runs(rows: Rows, size: int) -> Iterator[Ints]:
    """Indices of up to `size` consecutive rows of one device each."""
    for block in np.split(np.arange(len(rows.ts)), np.flatnonzero(np.diff(rows.number)) + 1):
        for first in range(0, len(block), size):
            yield block[first : first + size]
