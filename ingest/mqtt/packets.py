"""What MQTT clients and servers say to each other, for 3.1.1 (`version` 4) and 5 alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

V311, V5 = 4, 5


class Reason(IntEnum):
    """MQTT 5 reason codes that we send or understand; `CONNACK_311` gives the older ones."""

    SUCCESS = 0x00
    WITH_WILL = 0x04
    NO_SUBSCRIPTION = 0x11
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_CREDENTIALS = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BAD_AUTHENTICATION_METHOD = 0x8C
    SHUTTING_DOWN = 0x8B
    KEEP_ALIVE_TIMEOUT = 0x8D
    TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE = 0x98
    QOS_NOT_SUPPORTED = 0x9B


# MQTT 3.1.1 knows five refusals; whatever has no older name is "server unavailable".
CONNACK_311 = {
    Reason.SUCCESS: 0,
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.BAD_CREDENTIALS: 4,
    Reason.NOT_AUTHORIZED: 5,
}


class Malformed(Exception):
    """Bytes that are no MQTT, or MQTT that is not allowed; `reason` says which, the text says where."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes for a client that goes without saying DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """CONNECT. `keep_alive` in seconds, 0 for none; `session_expiry` in seconds (MQTT 5)."""

    version: int
    client_id: str
    clean_start: bool = True
    keep_alive: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    session_expiry: int = 0
    receive_maximum: int = 65535
    max_packet: int = 0
    authentication_method: str | None = None


@dataclass(frozen=True, slots=True)
class ConnAck:
    """CONNACK. The limits are of the side that sends it; 0 and None mean: not stated."""

    session_present: bool = False
    reason: int = Reason.SUCCESS
    assigned_client_id: str | None = None
    keep_alive: int | None = None
    receive_maximum: int = 65535
    max_packet: int = 0
    max_qos: int = 2
    session_expiry: int | None = None
    wildcards: bool = True
    shared: bool = True
    text: str | None = None


@dataclass(slots=True)
class Publish:
    """PUBLISH. Not frozen, because one is made per message and freezing doubles the cost; nobody changes it.

    `packet_id` is kept as the two bytes of the wire (b"" at QoS 0): all we do with it is to send it back.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: bytes = b""
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Ack:
    """PUBACK, PUBREC, PUBREL, PUBCOMP (by `kind`, the packet type) and UNSUBACK without its codes."""

    kind: int
    packet_id: int
    reason: int = Reason.SUCCESS


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE: (filter, options byte) pairs; the two low bits of the options are the QoS asked for."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SubAck:
    packet_id: int
    reasons: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnsubAck:
    """UNSUBACK; `reasons` exist in MQTT 5 only."""

    packet_id: int
    reasons: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PingReq:
    pass


@dataclass(frozen=True, slots=True)
class PingResp:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    """DISCONNECT; in 3.1.1 only the client sends it, without a reason."""

    reason: int = Reason.SUCCESS
    text: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH, of MQTT 5's extended authentication, which we do not offer."""

    reason: int = Reason.SUCCESS


Packet = (
    Connect
    | ConnAck
    | Publish
    | Ack
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
