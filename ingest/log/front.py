"""The doors' end of the log: a pipeline whose commit is the acknowledgement of the log."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any

from ingest import formats
from ingest.buffer import Buffer
from ingest.chunks import Chunk, Effect
from ingest.log.choice import chosen
from ingest.log.seam import MOST_BYTES, Log, Partitions
from ingest.message import Arrival, Refused
from ingest.pipeline import Pipeline
from ingest.store import Store
from kit.database import Conn, url
from kit.settings import Settings


class _Undecoded:
    """In place of the store: what goes into the log is decoded by the workers behind it."""

    meanwhile: Callable[[], None]

    def foresee(self, arrivals: Sequence[Arrival]) -> Any:
        pass

    def write(
        self, conn: Conn, arrivals: Sequence[Arrival], foreseen: Sequence[Any] = (), *, whole: bool = False
    ) -> Any:
        raise AssertionError("a door with a log writes no messages into the database")

    def committed(self, written: Any) -> None:
        pass

    def rolled_back(self) -> None:
        pass


class LogPipeline(Pipeline):
    """Arrivals go into the log; the door's own rows (sessions, retained messages) still go into the database."""

    def __init__(self, log: Log, partitions: Partitions, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log, self._partitions = log, partitions

    def _transaction(
        self, arrivals: list[Arrival], effects: list[Effect], foreseen: Sequence[Any] = ()
    ) -> None:
        began = time.perf_counter()
        fit = [arrival for arrival in arrivals if len(arrival.payload) <= MOST_BYTES]
        if fit:
            self._log.append(self._partitions.split(fit))
        for arrival in arrivals if len(fit) < len(arrivals) else ():
            if (size := len(arrival.payload)) > MOST_BYTES:
                self._bury(
                    arrival, Refused("oversized", f"{size} bytes; the log takes at most {MOST_BYTES}.")
                )
        if effects:
            super()._transaction([], effects)
        self.counts.commit_ms = (time.perf_counter() - began) * 1000

    def close(self, seconds: float) -> bool:
        """As `Pipeline.close`; closes the log too."""
        done = super().close(seconds)
        self._log.close()
        return done


def told(payload: str) -> list[tuple[str, bytes]]:
    """The command in a notification of `COMMANDS`."""
    topic, _, data = payload.rpartition(" ")
    return [(topic, b64decode(data))]


def pipeline(
    settings: Settings,
    door: str,
    released: Callable[[list[Chunk]], None],
    command: Callable[[list[tuple[str, bytes]]], None],
) -> Pipeline:
    """The pipeline of a door: into the database, or into the log where one is set."""
    given = settings.ingest
    arguments: dict[str, Any] = {
        "door": door, "buffer": Buffer[Chunk](given.buffer_messages), "released": released,
        "batch": given.batch_messages, "linger": given.linger_ms / 1000, "command": command,
    }  # fmt: skip
    where = chosen(settings)
    if where is None:
        return Pipeline(url(settings), Store(given, door=door), **arguments)
    partitions = Partitions(formats.topics(given), where.partitions)
    return LogPipeline(where.open(door), partitions, url(settings), _Undecoded(), **arguments)
