"""When each device takes a reading, and how it says so on the wire. Pure: used by the history and the publisher.

Device d reads at k · interval + phase(d), where the phase is below ten minutes, so that an hourly history and a live
part at any interval that divides the hour lie on one grid. `seq` is k.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from simulators import draws
from simulators.draws import Bools, Floats, Ints
from simulators.faults import DAY, HOUR, MINUTE, SECOND, CodeEvent, Fault, moment
from simulators.fleet import Machine
from simulators.machine import sample
from simulators.specs import ModelSpec

OUTAGE_BLOCK = 20 * DAY  # in each, every second device loses its line once
INFORMATION_BLOCK = 40 * DAY  # in each, every second device sends its information code once


@dataclass(frozen=True)
class Rows:
    """Readings of devices of one model, in order of time within each device.

    Attributes:
        number: [n] device number.
        ts, seq: [n] microseconds since the Unix epoch; the device's message number.
        values: [n, metric] in the order of `spec.metrics`.
        sent_at: [n] when the device could send it: `ts`, or the end of an outage of its line.
    """

    spec: ModelSpec
    number: Ints
    ts: Ints
    seq: Ints
    values: Floats
    sent_at: Ints


def phase(seed: int, number: Ints, interval: int) -> Ints:
    """[n] microseconds into each interval at which a device reads."""
    span = min(interval, 10 * MINUTE)
    whole = (span * draws.uniform(seed, "phase", number, np.array(0))).astype(np.int64)
    return whole // SECOND * SECOND


def take(
    seed: int, machines: Sequence[Machine], faults: Sequence[Fault], after: int, until: int, interval: int
) -> Iterator[Rows]:
    """The readings with after < ts <= until, one `Rows` per model that has any. Missing ones and those lost in an
    outage are left out.

    Args:
        interval: microseconds of simulated time between two readings of a device.
    """
    for spec in {machine.model: machine.spec for machine in machines}.values():
        own = np.array([machine.number for machine in machines if machine.model == spec.code], dtype=np.int64)
        shift = phase(seed, own, interval)
        first = (after - shift) // interval + 1
        count = (until - shift) // interval - first + 1
        number = np.repeat(own, count)
        if not len(number):
            continue
        step = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
        seq = np.repeat(first, count) + step
        ts = seq * interval + np.repeat(shift, count)
        numbers = set(own.tolist())
        yield _rows(spec, seed, number, ts, seq, [fault for fault in faults if fault.number in numbers])


def _rows(spec: ModelSpec, seed: int, number: Ints, ts: Ints, seq: Ints, faults: Sequence[Fault]) -> Rows:
    found = sample(spec, seed, number, ts, faults)
    sent_at, lost = outage(seed, number, ts)
    keep = ~found.missing & ~lost
    return Rows(spec, number[keep], ts[keep], seq[keep], found.values[keep], sent_at[keep])


def outage(seed: int, number: Ints, ts: Ints) -> tuple[Ints, Bools]:
    """The devices' lines are out now and then for one to seven hours.

    Returns: [n] when what was read at `ts` can be sent (`ts` itself while the line is up), and [n] whether it is
    lost, because every third device keeps nothing while offline.
    """
    block = ts // OUTAGE_BLOCK
    happens = draws.uniform(seed, "outage", number, block) < 0.5
    place = (OUTAGE_BLOCK - 8 * HOUR) * draws.uniform(seed, "cut", number, block)
    begin = block * OUTAGE_BLOCK + place.astype(np.int64)
    end = begin + HOUR + (6 * HOUR * draws.uniform(seed, "outage~", number, block)).astype(np.int64)
    out = happens & (begin <= ts) & (ts < end)
    return np.where(out, end, ts), out & (number % 3 == 0)


def information_codes(seed: int, machines: Sequence[Machine], after: int, until: int) -> Iterator[CodeEvent]:
    """Codes that mean no fault (a filter is due), with after < ts <= until."""
    number = np.array([machine.number for machine in machines], dtype=np.int64)
    for block in range(after // INFORMATION_BLOCK, until // INFORMATION_BLOCK + 1):
        counter = np.array(block)
        happens = draws.uniform(seed, "information", number, counter) < 0.5
        place = (INFORMATION_BLOCK * 0.95 * draws.uniform(seed, "informs", number, counter)).astype(np.int64)
        raised = (block * INFORMATION_BLOCK + place) // SECOND * SECOND
        for lasted, active in ((0, True), (6 * HOUR, False)):
            ts = raised + lasted
            for at in np.flatnonzero(happens & (after < ts) & (ts <= until)).tolist():
                yield CodeEvent(int(ts[at]), machines[at].uid, machines[at].spec.information, active)


def iso(ts: int) -> str:
    """`2026-11-24T07:30:00Z`, with microseconds only where there are any."""
    return moment(ts).isoformat().replace("+00:00", "Z")


def telemetry(rows: Rows, at: Iterable[int]) -> list[dict[str, Any]]:
    """Rows as the messages of the wire format."""
    names = rows.spec.metrics
    return [
        {
            "ts": iso(rows.ts[row]),
            "seq": int(rows.seq[row]),
            "values": dict(zip(names, rows.values[row].tolist(), strict=True)),
        }
        for row in at
    ]


def fault(event: CodeEvent) -> dict[str, Any]:
    """A fault code as a message of the wire format."""
    return {"ts": iso(event.ts), "code": event.code, "active": event.active}


def encode(messages: Sequence[dict[str, Any]]) -> bytes:
    """One message as an object, several as an array (store and forward)."""
    return msgspec.json.encode(messages[0] if len(messages) == 1 else messages)
