"""One packet from its bytes and back, in MQTT 3.1.1 (version 4) and 5."""

from __future__ import annotations

from collections.abc import Callable

from ingest.mqtt import packets as p
from ingest.mqtt import wire
from ingest.mqtt.packets import V5, V311, Malformed, Reason
from ingest.mqtt.wire import Reader, Value

# The low four bits that the first byte of each packet must carry; PUBLISH uses them.
FLAGS = {p.PUBREL: 2, p.SUBSCRIBE: 2, p.UNSUBSCRIBE: 2}


def decode(version: int, first: int, body: bytes) -> p.Packet:
    """The packet with that first byte and body.

    Raises:
        Malformed: with the reason code to answer.
    """
    kind = first >> 4
    if kind == p.PUBLISH:
        return _publish(version, first, body)
    if first & 15 != FLAGS.get(kind, 0) or kind not in _DECODERS or (kind == p.AUTH and version != V5):
        raise Malformed(Reason.MALFORMED, f"no packet starts with {first:#04x}")
    reader = Reader(body)
    packet = _DECODERS[kind](version, kind, reader)
    if reader.left:
        raise Malformed(Reason.MALFORMED, f"{reader.left} bytes too many in a packet of type {kind}")
    return packet


def check_topic(topic: str) -> str:
    """A topic name: not empty, no wildcards."""
    if not topic or "#" in topic or "+" in topic:
        raise Malformed(Reason.TOPIC_NAME_INVALID, "a topic name is empty or has wildcards")
    return topic


def _publish(version: int, first: int, body: bytes) -> p.Publish:
    qos = first >> 1 & 3
    if qos == 3 or (qos == 0 and first & 8):
        raise Malformed(Reason.MALFORMED, "PUBLISH with QoS 3, or DUP at QoS 0")
    reader = Reader(body)
    topic = reader.text()
    packet_id = reader.take(2) if qos else b""
    if packet_id == b"\0\0":
        raise Malformed(Reason.PROTOCOL_ERROR, "packet identifier 0")
    if version == V5 and wire.TOPIC_ALIAS in reader.properties():
        raise Malformed(Reason.TOPIC_ALIAS_INVALID, "a topic alias, though none was allowed")
    return p.Publish(check_topic(topic), reader.rest(), qos, bool(first & 1), packet_id, bool(first & 8))


def _connect(_version: int, _kind: int, reader: Reader) -> p.Connect:
    name, version = reader.text(), reader.integer(1)
    if name != "MQTT" or version not in (V311, V5):
        raise Malformed(Reason.UNSUPPORTED_VERSION, f"protocol {name!r} {version}; we speak 3.1.1 and 5")
    flags, keep_alive = reader.integer(1), reader.integer(2)
    has_will, has_username, has_password = flags & 4, flags & 0x80, flags & 0x40
    if flags & 1 or flags >> 3 & 3 == 3 or (not has_will and flags & 0x38):
        raise Malformed(Reason.MALFORMED, f"CONNECT flags {flags:#04x} contradict each other")
    if version == V311 and has_password and not has_username:
        raise Malformed(Reason.MALFORMED, "a password without a user name")
    given = reader.properties() if version == V5 else {}
    client_id = reader.text()
    will = _will(version, flags, reader) if has_will else None
    return p.Connect(
        version, client_id, bool(flags & 2), keep_alive,
        reader.text() if has_username else None, reader.binary() if has_password else None, will,
        _int(given, wire.SESSION_EXPIRY, 0), _int(given, wire.RECEIVE_MAXIMUM, 65535),
        _int(given, wire.MAX_PACKET, 0), _str(given, wire.AUTH_METHOD),
    )  # fmt: skip


def _will(version: int, flags: int, reader: Reader) -> p.Will:
    if version == V5:
        reader.properties()
    return p.Will(check_topic(reader.text()), reader.binary(), flags >> 3 & 3, bool(flags & 0x20))


def _connack(version: int, _kind: int, reader: Reader) -> p.ConnAck:
    present, reason = reader.integer(1), reader.integer(1)
    given = reader.properties() if version == V5 else {}
    return p.ConnAck(
        session_present=bool(present & 1),
        reason=reason,
        assigned_client_id=_str(given, wire.ASSIGNED_CLIENT_ID),
        keep_alive=_int(given, wire.SERVER_KEEP_ALIVE, 0) if wire.SERVER_KEEP_ALIVE in given else None,
        receive_maximum=_int(given, wire.RECEIVE_MAXIMUM, 65535),
        max_packet=_int(given, wire.MAX_PACKET, 0),
        max_qos=_int(given, wire.MAX_QOS, 2),
        session_expiry=_int(given, wire.SESSION_EXPIRY, 0) if wire.SESSION_EXPIRY in given else None,
        wildcards=bool(_int(given, wire.WILDCARDS, 1)),
        shared=bool(_int(given, wire.SHARED, 1)),
        text=_str(given, wire.REASON_TEXT),
    )


def _ack(version: int, kind: int, reader: Reader) -> p.Ack:
    packet_id, reason = _packet_id(reader), 0
    if version == V5 and reader.left:
        reason = reader.integer(1)
        if reader.left:
            reader.properties()
    return p.Ack(kind, packet_id, reason)


def _subscribe(version: int, _kind: int, reader: Reader) -> p.Subscribe:
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties()
    filters = []
    while reader.left:
        name, options = reader.text(), reader.integer(1)
        if options & 3 == 3 or options & (0xC0 if version == V5 else 0xFC) or options >> 4 & 3 == 3:
            raise Malformed(Reason.MALFORMED, f"subscription options {options:#04x}")
        filters.append((name, options))
    if not filters:
        raise Malformed(Reason.PROTOCOL_ERROR, "SUBSCRIBE without a topic filter")
    return p.Subscribe(packet_id, tuple(filters))


def _suback(version: int, _kind: int, reader: Reader) -> p.SubAck:
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties()
    return p.SubAck(packet_id, tuple(reader.rest()))


def _unsubscribe(version: int, _kind: int, reader: Reader) -> p.Unsubscribe:
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties()
    filters = []
    while reader.left:
        filters.append(reader.text())
    if not filters:
        raise Malformed(Reason.PROTOCOL_ERROR, "UNSUBSCRIBE without a topic filter")
    return p.Unsubscribe(packet_id, tuple(filters))


def _unsuback(version: int, _kind: int, reader: Reader) -> p.UnsubAck:
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties()
    return p.UnsubAck(packet_id, tuple(reader.rest()))


def _reasoned(version: int, kind: int, reader: Reader) -> p.Packet:
    """DISCONNECT and AUTH: nothing, or a reason, or a reason and properties."""
    reason, text = 0, None
    if version == V5 and reader.left:
        reason = reader.integer(1)
        if reader.left:
            text = _str(reader.properties(), wire.REASON_TEXT)
    return p.Disconnect(reason, text) if kind == p.DISCONNECT else p.Auth(reason)


def _packet_id(reader: Reader) -> int:
    found = reader.integer(2)
    if not found:
        raise Malformed(Reason.PROTOCOL_ERROR, "packet identifier 0")
    return found


def _int(given: dict[int, Value], number: int, default: int) -> int:
    value = given.get(number, default)
    assert isinstance(value, int)
    return value


def _str(given: dict[int, Value], number: int) -> str | None:
    value = given.get(number)
    assert value is None or isinstance(value, str)
    return value


_DECODERS: dict[int, Callable[[int, int, Reader], p.Packet]] = {
    p.CONNECT: _connect,
    p.CONNACK: _connack,
    p.PUBACK: _ack,
    p.PUBREC: _ack,
    p.PUBREL: _ack,
    p.PUBCOMP: _ack,
    p.SUBSCRIBE: _subscribe,
    p.SUBACK: _suback,
    p.UNSUBSCRIBE: _unsubscribe,
    p.UNSUBACK: _unsuback,
    p.PINGREQ: lambda version, kind, reader: p.PingReq(),
    p.PINGRESP: lambda version, kind, reader: p.PingResp(),
    p.DISCONNECT: _reasoned,
    p.AUTH: _reasoned,
}
