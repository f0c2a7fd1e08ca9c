"""What a Sparkplug host application says of itself, so that edge nodes which wait for a primary host publish. Pure.

Topic: `spBv1.0/STATE/<host id>`, QoS 1, retained; payload: `{"online": true, "timestamp": <ms>}`. The broker holds
`false` as the will of each connection. An edge node takes a `false` as meant for the `true` that it knows only if its
time is not before that one's: will and `true` of a connection carry the same time, that of CONNECT.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ingest.mqtt import packets as p
from ingest.sparkplug.names import STATE


@dataclass(frozen=True, slots=True)
class Host:
    """A host application on one connection.

    Attributes:
        name: the host id, as edge nodes have it set.
        since: when it connected, ms since the epoch.
    """

    name: str
    since: int

    @property
    def topic(self) -> str:
        """Where its state stands."""
        return STATE + self.name

    @property
    def will(self) -> p.Will:
        """What the broker says when the connection ends without a word."""
        return p.Will(self.topic, _state(False, self.since), 1, True)

    def birth(self) -> bytes:
        """Online."""
        return _state(True, self.since)

    def death(self, at: int) -> bytes:
        """Offline, because it leaves at that time (ms since the epoch)."""
        return _state(False, at)


def denies(payload: bytes) -> bool:
    """Whether a state says that its host is offline."""
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(said, dict) and said.get("online") is False


def _state(online: bool, timestamp: int) -> bytes:
    return msgspec.json.encode({"online": online, "timestamp": timestamp})
