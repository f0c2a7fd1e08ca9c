"""What the end point answers to CONNECT and SUBSCRIBE. Pure: packets in, decisions and packets out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ingest.customs import matches
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V5, Reason

LONGEST_CLIENT_ID = 256


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits an end point grants. `keep_alive` in seconds, `max_packet` in bytes."""

    keep_alive: int
    receive_maximum: int
    max_packet: int


def objection(packet: p.Connect) -> tuple[Reason, str] | None:
    """Why this CONNECT cannot be accepted, whoever sends it; None when it can."""
    if packet.authentication_method is not None:
        return Reason.BAD_AUTHENTICATION_METHOD, "extended authentication is not offered"
    if not packet.client_id and packet.version != V5 and not packet.clean_start:
        return Reason.CLIENT_ID_NOT_VALID, "an empty client id needs a clean session"
    if len(packet.client_id) > LONGEST_CLIENT_ID:
        return Reason.CLIENT_ID_NOT_VALID, f"the client id has more than {LONGEST_CLIENT_ID} characters"
    return None


def password_of(packet: p.Connect) -> str | None:
    """The password as text.

    Raises:
        UnicodeDecodeError: it is none.
    """
    return packet.password.decode() if packet.password is not None else None


def keep_alive(packet: p.Connect, terms: Terms) -> int:
    """Seconds of silence the device may keep, 0 for no limit. Only MQTT 5 can be told other than it asked."""
    if packet.version != V5:
        return packet.keep_alive
    return min(packet.keep_alive or terms.keep_alive, terms.keep_alive)


def welcome(packet: p.Connect, client_id: str, terms: Terms) -> p.ConnAck:
    """The CONNACK of an admitted device. No session is ever present: none outlives its connection."""
    granted = keep_alive(packet, terms)
    return p.ConnAck(
        assigned_client_id=None if packet.client_id else client_id,
        keep_alive=granted if granted != packet.keep_alive else None,
        receive_maximum=terms.receive_maximum,
        max_packet=terms.max_packet,
        max_qos=1,
        session_expiry=0 if packet.session_expiry else None,
        shared=False,
    )


@lru_cache(1000)
def said(version: int, answer: p.ConnAck) -> bytes:
    """The bytes of an answer. Devices of a kind all hear the same."""
    return encode(version, answer)


def subscribe(
    packet: p.Subscribe, own: str, other: Callable[[str], bool]
) -> tuple[p.SubAck, list[str], set[str]]:
    """What a device may hear: what is said to it and of it (below `own`), and what `other` allows; granted at QoS 0.

    Returns: the answer, the granted filters, and the topics whose retained messages it now gets.
    """
    mine = {own + "command", own + "status"}
    allowed = {f"{own}+": mine, f"{own}#": mine} | {name: {name} for name in mine}
    granted = [(name, options) for name, options in packet.filters if name in allowed or other(name)]
    mine_or_other = {name for name, _ in granted}
    reasons = tuple(0 if name in mine_or_other else Reason.NOT_AUTHORIZED for name, _ in packet.filters)
    # Retain handling 2 (bits 4 and 5, MQTT 5 only) means: do not send retained messages.
    topics = {topic for name, options in granted if options >> 4 & 3 != 2 for topic in allowed.get(name, ())}
    return p.SubAck(packet.packet_id, reasons), [name for name, _ in granted], topics


def hears(filters: set[str], topic: str, own: str) -> bool:
    """Whether granted filters match a topic."""
    if topic in filters:
        return True
    if topic.startswith(own):
        return f"{own}#" in filters or f"{own}+" in filters
    return any(matches(name, topic) for name in filters)
