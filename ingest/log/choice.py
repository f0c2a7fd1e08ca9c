"""Which log the settings choose."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.log.seam import Log
from kit.errors import Misconfigured
from kit.settings import JetStream, Kafka, Settings


@dataclass(frozen=True)
class Chosen:
    """What doors and storage workers need to know of the log.

    Attributes:
        key: of the log's offsets in the database.
        partitions: fixed once used.
        processes: storage workers on this machine.
    """

    given: JetStream | Kafka
    key: str
    partitions: int
    processes: int

    def open(self, name: str) -> Log:
        """Connect; `name` shows at the log's servers."""
        if isinstance(self.given, Kafka):
            from ingest.log.kafka import Kafka as Client

            return Client(self.given, name=name)
        from ingest.log.jetstream import JetStream as Other

        return Other(self.given, name=name)


def chosen(settings: Settings) -> Chosen | None:
    """The log that is set, or None: then the database is the log.

    Raises:
        Misconfigured: two are set.
    """
    jetstream, kafka = settings.jetstream, settings.kafka
    if jetstream.url is not None and kafka.servers is not None:
        raise Misconfigured(
            "MEANTIME_JETSTREAM__URL and MEANTIME_KAFKA__SERVERS are both set: choose one log."
        )
    if jetstream.url is not None:
        return Chosen(jetstream, jetstream.prefix, jetstream.partitions, jetstream.processes)
    if kafka.servers is not None:
        return Chosen(kafka, f"kafka/{kafka.topic}", kafka.partitions, kafka.processes)
    return None
