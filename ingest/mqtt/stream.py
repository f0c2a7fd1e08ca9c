"""A byte stream, cut anywhere, into packets. The hot loop of the front doors: about a microsecond per PUBLISH."""

from __future__ import annotations

from ingest.mqtt import codec
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, V311, Malformed, Reason

REMEMBERED_TOPICS = 1000


class Stream:
    """The incoming half of one connection.

    `version` is what the stream is read as; a CONNECT in the stream sets it. `feed` returns the packets that
    are complete; when it meets something unusable it returns what came before and keeps the reason in `error`
    (a `Malformed`), after which nothing more can be read: the connection must be closed.
    """

    __slots__ = ("_tail", "_topics", "error", "limit", "version")

    def __init__(self, *, version: int = V311, limit: int = 1 << 20) -> None:
        self.version, self.limit = version, limit
        self.error: Malformed | None = None
        self._tail = b""
        self._topics: dict[bytes, str] = {}

    @property
    def waiting(self) -> int:
        """Bytes of a packet that is not complete yet."""
        return len(self._tail)

    def feed(self, data: bytes) -> list[p.Packet]:
        """The packets that `data` completes, in order."""
        out: list[p.Packet] = []
        if self.error is not None:
            return out
        if self._tail:
            data = self._tail + data
        try:
            at = self._read(data, out)
            self._tail = data[at:] if at else data
        except Malformed as error:
            self.error, self._tail = error, b""
        return out

    def _read(self, data: bytes, out: list[p.Packet]) -> int:
        """Append whole packets to `out`; returns where the first incomplete one starts."""
        at, size, limit = 0, len(data), self.limit
        topics, five, add, publish = self._topics, self.version == V5, out.append, p.Publish
        while at + 2 <= size:
            first, length, start = data[at], data[at + 1], at + 2
            if length > 0x7F:
                length, start = _long_length(data, at + 1)
            if start + length - at > limit:
                raise Malformed(Reason.PACKET_TOO_LARGE, f"a packet of {length} bytes; {limit} is the most")
            end = start + length
            if length < 0 or end > size:
                break
            # QoS 0 or 1, no DUP, a topic seen before, no properties: nearly all. The rest goes the long way.
            if first & 0xFC == 0x30 and length > 4:
                name = start + 2 + (data[start] << 8 | data[start + 1])
                topic = topics.get(data[start + 2 : name])
                body = name + 2 if first & 2 else name
                if topic is not None and body < end and not (five and data[body]):
                    packet_id = data[name:body]
                    if packet_id == b"\0\0":
                        raise Malformed(Reason.PROTOCOL_ERROR, "packet identifier 0")
                    add(publish(topic, data[body + five : end], first >> 1 & 1, first & 1 == 1, packet_id))
                    at = end
                    continue
            packet = codec.decode(self.version, first, data[start:end])
            if isinstance(packet, p.Publish) and len(topics) < REMEMBERED_TOPICS:
                topics[packet.topic.encode()] = packet.topic
            elif isinstance(packet, p.Connect):
                self.version, five = packet.version, packet.version == V5
            add(packet)
            at = end
        return at


def _long_length(data: bytes, at: int) -> tuple[int, int]:
    """A remaining length of two to four bytes, and where it ends; (-1, …) while it is incomplete."""
    value = 0
    for index in range(4):
        if at + index >= len(data):
            return -1, at + index
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise Malformed(Reason.MALFORMED, "a remaining length has more than four bytes")
