"""A byte stream, cut anywhere, into packets. The hot loop of the front doors: about a microsecond per PUBLISH."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

from ingest.mqtt import codec
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, V311, Malformed, Reason

MOST_KNOWN = 1000
LONGEST_KNOWN = 256


HEAD = 5
MOST_HEADS = 5000
Head = tuple[int, int, int, bool]
_heads: dict[bytes, Head] = {}


class Stream:
    """The incoming half of one connection.

        stream.push(data)
        while (packet := stream.next()) is not None:
            ...

    `topics` is how many are remembered for the short way. `version` is what the stream is read as; a CONNECT in the
    stream sets it. When something unusable comes, `next` returns None and `error` (a `Malformed`) tells why; nothing
    more can be read then: the connection must be closed.
    """

    __slots__ = ("_at", "_data", "_known", "_most", "error", "limit", "version")

    def __init__(self, *, version: int = V311, limit: int = 1 << 20, topics: int = MOST_KNOWN) -> None:
        self.version, self.limit = version, limit
        self.error: Malformed | None = None
        self._data, self._at, self._most = b"", 0, topics
        self._known: dict[bytes, str] = {}

    @property
    def waiting(self) -> int:
        """Bytes that are not read yet: packets, or the beginning of one."""
        return len(self._data) - self._at

    def push(self, data: bytes) -> None:
        """Bytes have come."""
        self._data = self._data[self._at :] + data if self.waiting else data
        self._at = 0

    def allow(self, topic: str) -> None:
        """Messages on this topic need no further look: `next` may take them on its short way."""
        raw = topic.encode()
        if len(self._known) < self._most and len(raw) <= LONGEST_KNOWN:
            self._known[raw] = topic

    def feed(self, data: bytes) -> list[p.Packet]:
        """All packets that `data` completes, in order."""
        self.push(data)
        out: list[p.Packet] = []
        while (packet := self.next()) is not None:
            out.append(packet)
        return out

    def next(
        self,
        make: Callable[..., Any] | None = None,
        who: tuple[Any, Any, Any] = (None, None, None),
        messages: list[Any] | None = None,
        acks: list[bytes] | None = None,
    ) -> p.Packet | None:
        """The next packet; None when no other is complete.

        With `make`, usual messages take the short way: PUBLISH at QoS 0 or 1 on an allowed topic, without RETAIN,
        DUP and properties, becomes `make((topic, payload, *who))` in `messages` and its PUBACK goes into `acks`. Only
        the others are returned, in their place in the order.
        """
        if self.error is not None:
            return None
        try:
            if make is not None and messages is not None and acks is not None and self._known:
                self._usual(make, who, messages, acks)
            return self._unusual()
        except Malformed as error:
            self.error, self._data, self._at = error, b"", 0
            return None

    def _usual(
        self, make: Callable[..., Any], who: tuple[Any, Any, Any], messages: list[Any], acks: list[bytes]
    ) -> None:
        """Read on as long as messages are usual."""
        data, at, limit, five = self._data, self._at, self.limit, self.version == V5
        size, known, heads = len(data), self._known.get, _heads.get
        topics, payloads = list[str](), list[bytes]()
        on, say, acknowledge = topics.append, payloads.append, acks.append
        while at + HEAD <= size:
            head = heads(data[at : at + HEAD]) or _head(data[at : at + HEAD])
            if head is None:
                break
            topic_at, body, end, has_id = head
            if end > limit or at + end > size:
                break
            body += at
            topic = known(data[at + topic_at : body])
            if topic is None:
                break
            if has_id:
                packet_id = data[body : body + 2]
                body += 2
                if packet_id == b"\0\0":
                    break
                if five:
                    if data[body]:
                        break
                    body += 1
                acknowledge(b"\x40\x02" + packet_id)
            elif five:
                if data[body]:
                    break
                body += 1
            at += end
            on(topic)
            say(data[body:at])
        self._at = at
        messages += map(make, zip(topics, payloads, *map(repeat, who), strict=False))

    def _unusual(self) -> p.Packet | None:
        """Read one packet, whatever it is."""
        data, at = self._data, self._at
        if at + 2 > len(data):
            return None
        length, start = _long_length(data, at + 1)
        end = start + length
        if end - at > self.limit:
            raise Malformed(Reason.PACKET_TOO_LARGE, f"a packet of {length} bytes; {self.limit} is the most")
        if length < 0 or end > len(data):
            return None
        packet = codec.decode(self.version, data[at], data[start:end])
        if isinstance(packet, p.Connect):
            self.version = packet.version
        self._at = end
        return packet


def _head(first: bytes) -> Head | None:
    """Where, from a packet's first byte on, its topic, what follows that, and the next packet begin, and whether it has
    a packet id; None when it is no PUBLISH of the short way. Devices send the same few again and again."""
    kind, length, more = first[:3]
    at = 2
    if length > 0x7F:
        if more > 0x7F:
            return None
        length, at = length & 0x7F | more << 7, 3
    body, end, has_id = at + 2 + (first[at] << 8 | first[at + 1]), at + length, bool(kind & 2)
    if kind & 0xFD != 0x30 or end <= body + 2 * has_id:
        return None
    if len(_heads) >= MOST_HEADS:
        _heads.clear()
    _heads[first] = found = at + 2, body, end, has_id
    return found


def _long_length(data: bytes, at: int) -> tuple[int, int]:
    """A remaining length of one to four bytes, and where it ends; (-1, …) while it is incomplete."""
    value = 0
    for index in range(4):
        if at + index >= len(data):
            return -1, at + index
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise Malformed(Reason.MALFORMED, "a remaining length has more than four bytes")
