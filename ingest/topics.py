"""Which device and which codec a topic means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest import payload
from ingest.message import Codec, Refused

CODECS: dict[str, Codec] = {
    "telemetry": payload.telemetry,
    "fault": payload.faults,
    "status": payload.states,
}
THINGSBOARD = "v1/devices/me/telemetry"
THINGSBOARD_TOPICS = frozenset((THINGSBOARD, "v2/t", "v2/t/j"))  # the others are its short forms


@dataclass(frozen=True, slots=True)
class Target:
    """Where a message goes.

    Attributes:
        quick: `payload.quick` may be tried first.
        translate: it has to be put into messages of ours first, with the state of its sender (`ingest.sparkplug`).
    """

    uid: str
    codec: Codec
    quick: bool = False
    translate: bool = False


class Format(Protocol):
    """One more way to read topics: a mapping, Sparkplug B."""

    def target(self, topic: str, login: str | None) -> Target | None:
        """The target of a topic, or None when it is not of this format.

        Raises:
            Refused: it is, but cannot be used.
        """
        ...


class Topics:
    """All formats of a door.

    Args:
        prefix: of our own topics, `<prefix>/<uid>/telemetry|fault|status`.
        formats: asked in turn for any other topic.
    """

    def __init__(self, prefix: str, formats: Sequence[Format] = ()) -> None:
        self._prefix = prefix.strip("/").split("/")
        self._formats = formats

    def target(self, topic: str, login: str | None) -> Target:
        """The target of a message on `topic` from the device logged in as `login` (None: behind a broker).

        Raises:
            Refused: unknown_topic, no_device, wrong_device.
        """
        found = self._own(topic) or self._thingsboard(topic, login)
        if found is None:
            found = next((t for f in self._formats if (t := f.target(topic, login)) is not None), None)
        if found is None:
            own = "/".join([*self._prefix, "<uid>", "telemetry|fault|status"])
            raise Refused("unknown_topic", f"Expected {own}, {THINGSBOARD} or a mapped topic.")
        if login is not None and found.uid != login:
            raise Refused("wrong_device", f"Logged in as {login}, published for {found.uid}.")
        return found

    def _own(self, topic: str) -> Target | None:
        parts = topic.split("/")
        if len(parts) != len(self._prefix) + 2 or parts[:-2] != self._prefix or parts[-1] not in CODECS:
            return None
        return Target(parts[-2], CODECS[parts[-1]], quick=parts[-1] == "telemetry")

    def _thingsboard(self, topic: str, login: str | None) -> Target | None:
        if topic not in THINGSBOARD_TOPICS:
            return None
        if login is None:
            raise Refused(
                "no_device", f"{topic} tells the device by its login; behind a broker there is none."
            )
        return Target(login, payload.thingsboard)
