"""What a device may say and hear at the end point besides its own topics: ThingsBoard's, Sparkplug's, mapped ones."""

from __future__ import annotations

from ingest import formats
from ingest.message import Refused
from ingest.sparkplug import names
from ingest.topics import THINGSBOARD_TOPICS
from kit.settings import Ingest

# Attributes, remote calls, claims: ThingsBoard's clients say and ask them unasked. They are acknowledged and dropped.
_THINGSBOARD = ("v1/devices/me/", "v2/a", "v2/r/", "v2/fw/", "v2/sw/")
_COMMANDS = ("NCMD", "DCMD")
_STATE = (
    "spBv1.0/STATE/",
    "STATE/",
)  # whether a primary host is there; nobody tells here, asking is no offence


class Customs:
    """The rules of one end point."""

    def __init__(self, settings: Ingest) -> None:
        self._topics = formats.topics(settings)
        self._template = settings.sparkplug_uid

    def may_say(self, uid: str, topic: str) -> bool:
        """Whether a topic outside `<prefix>/<uid>/` is one that this device speaks on."""
        try:
            return self._topics.target(topic, uid).uid == uid
        except Refused:
            return False

    def ignores(self, topic: str) -> bool:
        """Whether a message on this topic is acknowledged and dropped."""
        return topic.startswith(_THINGSBOARD) and topic not in THINGSBOARD_TOPICS

    def may_hear(self, uid: str, wanted: str) -> bool:
        """Whether a topic filter outside `<prefix>/<uid>/` is granted."""
        if wanted.startswith((*_THINGSBOARD, *_STATE)):
            return True
        parts = wanted.split("/")
        if len(parts) < 4 or parts[0] != names.NAMESPACE or parts[2] not in _COMMANDS:
            return False
        return "+" not in parts[1] + parts[3] and self._node(parts) == uid

    def addressee(self, topic: str) -> str:
        """The uid of the edge node that a command topic speaks to."""
        return self._node(topic.split("/"))

    def _node(self, parts: list[str]) -> str:
        return names.uid(self._template, parts[1], parts[3], "")


def matches(wanted: str, topic: str) -> bool:
    """Whether a topic filter matches a topic."""
    levels, given = wanted.split("/"), topic.split("/")
    for at, level in enumerate(levels):
        if level == "#":
            return True
        if at >= len(given) or level not in ("+", given[at]):
            return False
    return len(levels) == len(given)
