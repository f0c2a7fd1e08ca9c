"""Who is here: online and offline as messages on `<prefix>/<uid>/status`, wills, and the end of sessions.

What belongs together is queued as one chunk, so it commits together: the will, the offline state, the end of the
session row. A chunk of the door's own waits in the same line as the device's messages, so their order holds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ingest import sessions
from ingest.chunks import OVERHEAD, Chunk, Effect
from ingest.message import Arrival, Refused
from ingest.mqtt.packets import Will
from ingest.sparkplug import names

KEPT = (["status"], ["command"])  # below a device's own topic, and nothing deeper


class Presence:
    """Makes the chunks; `submit` queues them."""

    def __init__(self, prefix: str, submit: Callable[[Chunk], None]) -> None:
        self._prefix, self._submit = prefix, submit

    def online(self, uid: str, at: datetime) -> None:
        """A device has connected."""
        self._submit(Chunk(None, [self._state(uid, True, "connected", at)], [], OVERHEAD))

    def gone(
        self, ended: sessions.Ended, reason: str, at: datetime, *, will: Will | None, last: bool
    ) -> None:
        """A connection has ended; `last` says that the device has no other one."""
        arrivals = []
        effects = [Effect(sessions.end, ended)]
        if will is not None:
            said = b"" if last and _is_death(will.topic) else will.payload
            arrivals.append(Arrival(will.topic, said, ended.uid, ended.client_id, at))
            kept = will.retain and self.keeps(will.topic)
            effects += [Effect(sessions.retain, (will.topic, will.payload))] if kept else []
        if last:
            arrivals.append(self._state(ended.uid, False, reason, at))
        self._submit(Chunk(None, arrivals, [], 2 * OVERHEAD, tuple(effects)))

    def never_was(self, ended: sessions.Ended) -> None:
        """A session was remembered for a connection that did not come about."""
        self._submit(Chunk(None, [], [], OVERHEAD, (Effect(sessions.end, ended),)))

    def keeps(self, topic: str) -> bool:
        """Whether a retained message on this topic is kept: of others nobody would ever hear."""
        own = f"{self._prefix}/"
        return topic.startswith(own) and topic.removeprefix(own).split("/")[1:] in KEPT

    def uid_of(self, topic: str) -> str:
        """The device a topic belongs to."""
        return topic.removeprefix(self._prefix + "/").split("/", 1)[0]

    def _state(self, uid: str, online: bool, reason: str, at: datetime) -> Arrival:
        # `reason` is one of our own words, so nothing needs escaping; a herd makes many of these.
        said = (
            f'{{"online": {"true" if online else "false"}, "ts": "{at.isoformat()}", "reason": "{reason}"}}'
        )
        return Arrival(f"{self._prefix}/{uid}/status", said.encode(), uid, None, at)


def _is_death(topic: str) -> bool:
    """Whether a will is an edge node's. It says which connection has ended (bdSeq), as a broker cannot know; here the
    connection is known, and some nodes (Tahu's helper for Python) say a number that their birth did not."""
    try:
        address = names.address(topic)
    except Refused:
        return False
    return address is not None and address.kind == "NDEATH"
