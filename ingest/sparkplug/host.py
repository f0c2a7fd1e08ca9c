"""What a Sparkplug host application says of itself, so that edge nodes which wait for a primary host publish. Pure.

Topic: `spBv1.0/STATE/<host id>`, QoS 1, retained; payload: `{"online": true, "timestamp": <ms>}`. The broker holds
`false` as the will of each connection. An edge node ignores a state whose time is before that of the last it took: will
and `true` of a connection carry the same time, that of CONNECT. Only where somebody has said `false` of a later time is
it answered with that one, or nobody would hear; such an edge node no longer takes the will.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from ingest.mqtt import packets as p
from ingest.sparkplug.names import STATE

LATEST: Final = (1 << 63) - 1  # that an edge node can be told: times are signed 64 bit there


@dataclass(frozen=True, slots=True)
class Host:
    """A host application on one connection.

    Attributes:
        name: the host id, as edge nodes have it set.
        since: when it connected, ms since the epoch; or later, where it had to answer a later denial.
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
        return _state(False, max(at, self.since))

    def answering(self, denied: int) -> Host:
        """The same, heard by those who were told of that time (ms since the epoch) that it is offline."""
        return replace(self, since=max(self.since, denied))


def denied_at(payload: bytes) -> int | None:
    """Of what time a state says that its host is offline, ms since the epoch, 0 where it names none; None: it does not
    say so."""
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(said, dict) or said.get("online") is not False:
        return None
    ts = said.get("timestamp")
    return ts if type(ts) is int and 0 <= ts <= LATEST else 0


def _state(online: bool, timestamp: int) -> bytes:
    return msgspec.json.encode({"online": online, "timestamp": timestamp})
