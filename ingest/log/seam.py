"""The seam: a log of numbered partitions, each an ordered, durable list of records; a record holds many arrivals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from zlib import crc32

import msgspec

from ingest.intake import micros_of
from ingest.message import Arrival, Refused, arrival_of
from ingest.topics import Topics
from kit.database import EPOCH

# Well below what a NATS server takes in one message by default (1 MiB).
RECORD_BYTES = 400_000
# One message may be larger than that and makes a record of its own; beyond this no server takes it.
MOST_BYTES = 900_000
Packed = tuple[str, bytes, str | None, str | None, int]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Packed]).decode


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read: its offset within the partition, and what it holds."""

    offset: int
    arrivals: list[Arrival]
    size: int


class Log(Protocol):
    """Calls block; one user at a time each. Failures are `kit.errors.Unavailable`: try again."""

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[int]:
        """Append each record to its partition; returns their offsets once all are durable. When it fails some of
        them may be there: appending again makes copies, which the keys of the rows absorb."""
        ...

    def read(self, partition: int, after: int, limit: int, wait: float) -> list[tuple[int, bytes]]:
        """The next records behind the offset `after` (0: from the beginning), at most `limit`; waits up to `wait`
        seconds for the first."""
        ...

    def forget(self, partition: int, upto: int) -> None:
        """Records up to this offset are stored; the log may drop them."""
        ...

    def close(self) -> None: ...


class Partitions:
    """Which partition an arrival belongs to: that of its device (of its edge node, when that speaks for others), so
    that each device's messages stay in order."""

    def __init__(self, topics: Topics, count: int) -> None:
        self._topics, self._count = topics, count
        self._known: dict[tuple[str, str | None], int] = {}

    def of(self, arrival: Arrival) -> int:
        """0 … count - 1."""
        key = (arrival.topic, arrival.uid)
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 200_000:
                self._known.clear()
            found = self._known[key] = crc32(self._owner(*key).encode("utf-8", "replace")) % self._count
        return found

    def _owner(self, topic: str, login: str | None) -> str:
        try:
            return self._topics.target(topic, login).uid
        except Refused:
            return login or topic

    def split(self, arrivals: Iterable[Arrival]) -> list[tuple[int, bytes]]:
        """Records for the arrivals, each of one partition and of bounded size, in order within each."""
        gathered: dict[int, tuple[list[Packed], int]] = {}
        records: list[tuple[int, bytes]] = []
        for arrival in arrivals:
            partition = self.of(arrival)
            packed, size = gathered.get(partition, ([], 0))
            if packed and size + len(arrival.payload) > RECORD_BYTES:
                records.append((partition, _encode(packed)))
                packed, size = [], 0
            packed.append(pack(arrival))
            gathered[partition] = packed, size + len(arrival.payload) + len(arrival.topic) + 60
        return records + [(partition, _encode(packed)) for partition, (packed, _) in gathered.items()]


def pack(arrival: Arrival) -> Packed:
    """An arrival as it lies in a record; the time in µs."""
    at = micros_of(arrival.received_at)
    return arrival.topic, arrival.payload, arrival.uid, arrival.client_id, at


def unpack(offset: int, data: bytes) -> Record:
    """A record from its bytes.

    Raises:
        msgspec.DecodeError: somebody else wrote into the log.
    """
    arrivals = [
        arrival_of((topic, payload, uid, client, EPOCH + timedelta(microseconds=at)))
        for topic, payload, uid, client, at in _decode(data)
    ]
    return Record(offset, arrivals, len(data))
