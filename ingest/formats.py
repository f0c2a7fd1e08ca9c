"""The topics a door understands, from the settings: our own, ThingsBoard's, Sparkplug B, and the mappings' ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest import mapping
from ingest.message import Item, Refused
from ingest.sparkplug import names
from ingest.topics import Format, Target, Topics
from kit.settings import Ingest


@dataclass(frozen=True)
class Sparkplug:
    """Sparkplug topics as a `topics.Format`: the message belongs to its edge node, which logs in for its devices.

    Attributes:
        template: how a uid is made, see `ingest.sparkplug.names`.
    """

    template: str

    def target(self, topic: str, login: str | None) -> Target | None:
        """The edge node of a topic, or None. Raises as `sparkplug.names.address`."""
        address = names.address(topic)
        if address is None:
            return None
        return Target(names.uid(self.template, address.group, address.edge, ""), _undecoded, translate=True)


def _undecoded(payload: bytes) -> list[Item]:
    raise Refused("decoder_error", f"{len(payload)} bytes of Sparkplug B, not translated.")


def topics(settings: Ingest, formats: Sequence[Format] = ()) -> Topics:
    """All formats of the settings, after those given."""
    mapped = mapping.load(settings.mappings) if settings.mappings is not None else []
    return Topics(settings.topic_prefix, [*formats, *mapped, Sparkplug(settings.sparkplug_uid)])


def filters(settings: Ingest) -> tuple[str, ...]:
    """What a collector subscribes to, without Sparkplug's."""
    mapped = mapping.load(settings.mappings) if settings.mappings is not None else []
    return (f"{settings.topic_prefix}/#", *dict.fromkeys(entry.filter for entry in mapped))
