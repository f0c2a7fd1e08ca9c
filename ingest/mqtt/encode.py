"""A packet to its bytes, in MQTT 3.1.1 (version 4) and 5."""

from __future__ import annotations

from ingest.mqtt import packets as p
from ingest.mqtt import wire
from ingest.mqtt.packets import CONNACK_311, V5, Reason

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"


def puback(packet_id: bytes, reason: int = Reason.SUCCESS) -> bytes:
    """PUBACK for the two bytes of a packet identifier; success is the same in both versions."""
    return b"\x40\x02" + packet_id if not reason else b"\x40\x03" + packet_id + bytes((reason,))


def encode(version: int, packet: p.Packet) -> bytes:
    """The bytes of a packet. What 3.1.1 cannot say (reasons, properties) is left out."""
    match packet:
        case p.Publish():
            first = p.PUBLISH << 4 | packet.duplicate << 3 | packet.qos << 1 | packet.retain
            return _frame(first, wire.text(packet.topic) + packet.packet_id + _none(version) + packet.payload)
        case p.Connect():
            return _frame(p.CONNECT << 4, _connect(packet))
        case p.ConnAck():
            return _frame(p.CONNACK << 4, _connack(version, packet))
        case p.Ack():
            flags = 2 if packet.kind == p.PUBREL else 0
            reason = bytes((packet.reason,)) if version == V5 and packet.reason else b""
            return _frame(packet.kind << 4 | flags, packet.packet_id.to_bytes(2, "big") + reason)
        case p.PingReq():
            return PINGREQ
        case p.PingResp():
            return PINGRESP
        case p.Disconnect():
            return _frame(p.DISCONNECT << 4, _disconnect(version, packet))
        case p.Auth():
            return _frame(p.AUTH << 4, bytes((packet.reason, 0)) if packet.reason else b"")
    return _subscriptions(version, packet)


def _subscriptions(version: int, packet: p.Packet) -> bytes:
    match packet:
        case p.Subscribe():
            body = b"".join(wire.text(name) + bytes((options,)) for name, options in packet.filters)
            return _frame(p.SUBSCRIBE << 4 | 2, _id(packet.packet_id) + _none(version) + body)
        case p.SubAck():
            reasons = (
                packet.reasons if version == V5 else tuple(min(reason, 0x80) for reason in packet.reasons)
            )
            return _frame(p.SUBACK << 4, _id(packet.packet_id) + _none(version) + bytes(reasons))
        case p.Unsubscribe():
            body = b"".join(wire.text(name) for name in packet.filters)
            return _frame(p.UNSUBSCRIBE << 4 | 2, _id(packet.packet_id) + _none(version) + body)
        case p.UnsubAck():
            reasons = packet.reasons if version == V5 else ()
            return _frame(p.UNSUBACK << 4, _id(packet.packet_id) + _none(version) + bytes(reasons))
    raise AssertionError(f"{packet!r} is no packet")


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + wire.variable(len(body)) + body


def _id(packet_id: int) -> bytes:
    return packet_id.to_bytes(2, "big")


def _none(version: int) -> bytes:
    return b"\0" if version == V5 else b""


def _connect(packet: p.Connect) -> bytes:
    will = packet.will
    flags = packet.clean_start << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
    body = wire.text("MQTT") + bytes((packet.version, flags)) + packet.keep_alive.to_bytes(2, "big")
    if packet.version == V5:
        body += wire.properties(
            {
                wire.SESSION_EXPIRY: packet.session_expiry or None,
                wire.RECEIVE_MAXIMUM: packet.receive_maximum if packet.receive_maximum != 65535 else None,
                wire.MAX_PACKET: packet.max_packet or None,
                wire.AUTH_METHOD: packet.authentication_method,
            }
        )
    body += wire.text(packet.client_id)
    if will is not None:
        body += _none(packet.version) + wire.text(will.topic) + wire.binary(will.payload)
    body += wire.text(packet.username) if packet.username is not None else b""
    return body + (wire.binary(packet.password) if packet.password is not None else b"")


def _connack(version: int, packet: p.ConnAck) -> bytes:
    if version != V5:
        return bytes((packet.session_present, CONNACK_311.get(Reason(packet.reason), 3)))
    return bytes((packet.session_present, packet.reason)) + wire.properties(
        {
            wire.SESSION_EXPIRY: packet.session_expiry,
            wire.RECEIVE_MAXIMUM: packet.receive_maximum if packet.receive_maximum != 65535 else None,
            wire.MAX_QOS: packet.max_qos if packet.max_qos != 2 else None,
            wire.MAX_PACKET: packet.max_packet or None,
            wire.ASSIGNED_CLIENT_ID: packet.assigned_client_id,
            wire.REASON_TEXT: packet.text,
            wire.WILDCARDS: None if packet.wildcards else 0,
            wire.SHARED: None if packet.shared else 0,
            wire.SERVER_KEEP_ALIVE: packet.keep_alive,
        }
    )


def _disconnect(version: int, packet: p.Disconnect) -> bytes:
    if version != V5 or not packet.reason:
        return b""
    return bytes((packet.reason,)) + (
        wire.properties({wire.REASON_TEXT: packet.text}) if packet.text else b""
    )
