"""The primitive fields of MQTT: integers, length-prefixed strings, variable byte integers, properties."""

from __future__ import annotations

from ingest.mqtt.packets import Malformed, Reason

Value = int | str | bytes

# How each MQTT 5 property is written: 1, 2, 4 bytes, variable integer, string, binary, string pair.
BYTE, TWO, FOUR, VAR, TEXT, BINARY, PAIR = range(7)
KINDS = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), BYTE),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), TWO),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), FOUR),
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), TEXT),
    **dict.fromkeys((0x09, 0x16), BINARY),
    0x0B: VAR,
    0x26: PAIR,
}
SESSION_EXPIRY, ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE, AUTH_METHOD, REASON_TEXT = 0x11, 0x12, 0x13, 0x15, 0x1F
RECEIVE_MAXIMUM, TOPIC_ALIAS, MAX_QOS, USER_PROPERTY, MAX_PACKET = 0x21, 0x23, 0x24, 0x26, 0x27
SUBSCRIPTION_ID, WILDCARDS, SUBSCRIPTION_IDS, SHARED = 0x0B, 0x28, 0x29, 0x2A
REPEATABLE = (USER_PROPERTY, SUBSCRIPTION_ID)


class Reader:
    """Takes fields off the front of one packet's body; whatever is missing or wrong is `Malformed`."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.end - self.at:
            raise Malformed(Reason.MALFORMED, f"{count} bytes expected, {self.left} left in the packet")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def binary(self) -> bytes:
        return self.take(self.integer(2))

    def text(self) -> str:
        return decode_text(self.binary())

    def variable(self) -> int:
        """A variable byte integer: seven bits a byte, least first, four bytes at most."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Malformed(Reason.MALFORMED, "a variable byte integer has more than four bytes")

    def properties(self) -> dict[int, Value]:
        """The property block; of a property that may repeat only the last is kept (we use none of them)."""
        size = self.variable()
        if size > self.left:
            raise Malformed(Reason.MALFORMED, "the properties are longer than their packet")
        inner = Reader(self.data, self.at, self.at + size)
        self.at += size
        found: dict[int, Value] = {}
        while inner.left:
            number = inner.variable()
            if number in found and number not in REPEATABLE:
                raise Malformed(Reason.PROTOCOL_ERROR, f"property {number:#x} is given twice")
            found[number] = inner.property(number)
        return found

    def property(self, number: int) -> Value:
        """The value of one property, by its number."""
        match KINDS.get(number):
            case 0:
                return self.integer(1)
            case 1:
                return self.integer(2)
            case 2:
                return self.integer(4)
            case 3:
                return self.variable()
            case 4:
                return self.text()
            case 5:
                return self.binary()
            case 6:
                self.text()
                return self.text()
        raise Malformed(Reason.MALFORMED, f"there is no property {number:#x}")


def decode_text(raw: bytes) -> str:
    """UTF-8 without U+0000, as MQTT demands (and PostgreSQL needs)."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(Reason.MALFORMED, f"a string is not UTF-8: {error.reason}") from None
    if "\0" in text:
        raise Malformed(Reason.MALFORMED, "a string contains U+0000")
    return text


def variable(value: int) -> bytes:
    """Write a variable byte integer, 0 … 268,435,455."""
    if not 0 <= value < 1 << 28:
        raise ValueError(f"{value} does not fit a variable byte integer")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def binary(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def text(value: str) -> bytes:
    return binary(value.encode("utf-8"))


def properties(given: dict[int, Value | None]) -> bytes:
    """Write a property block; None leaves a property out."""
    out = bytearray()
    for number, value in given.items():
        if value is None:
            continue
        out.append(number)
        if isinstance(value, str):
            out += text(value)
        elif isinstance(value, bytes):
            out += binary(value)
        elif KINDS[number] == VAR:
            out += variable(value)
        else:
            out += value.to_bytes({BYTE: 1, TWO: 2, FOUR: 4}[KINDS[number]], "big")
    return variable(len(out)) + bytes(out)
