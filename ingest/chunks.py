"""What passes through a pipeline: chunks from the door, batches to the store, effects of the door's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import psycopg

from ingest.message import Arrival
from kit.database import Conn
from kit.errors import Misconfigured, Unavailable

READ_BYTES = 65_536
# What the objects around a message take in memory, roughly.
OVERHEAD = 250


@dataclass(frozen=True, slots=True)
class Effect:
    """A row of the door's own that commits with the messages around it, such as a retained message or the end
    of a session: `write(conn, values)` is called once per transaction with the values of all its effects."""

    write: Callable[[Conn, list[Any]], None]
    value: Any


@dataclass(slots=True)
class Chunk:
    """What one read of one connection brought: messages, and the acknowledgements that they wait for.

    Attributes:
        source: where `released` sends the acknowledgements; None for messages the door makes itself.
        acks: bytes of the acknowledgements, in receive order.
        at: monotonic time of arrival, for the lag.
    """

    source: Any
    arrivals: list[Arrival]
    acks: list[bytes]
    size: int
    effects: tuple[Effect, ...] = ()
    at: float = field(default_factory=time.monotonic)

    @property
    def count(self) -> int:
        return len(self.arrivals) or 1


class Piece:
    """Chunks that are decoded together; `foreseen` is what came of it, None: nobody has tried."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks = chunks
        self.arrivals = [arrival for chunk in chunks for arrival in chunk.arrivals]
        self.foreseen: Any = None


class Batch:
    """Pieces that are written together. `foreseen` is for as many of the first arrivals as it speaks of."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.chunks = [chunk for piece in pieces for chunk in piece.chunks]
        self.arrivals = [arrival for piece in pieces for arrival in piece.arrivals]
        self.effects = [effect for chunk in self.chunks for effect in chunk.effects]
        known = takewhile(lambda piece: piece.foreseen is not None, pieces)
        self.foreseen = [piece.foreseen for piece in known]


@dataclass
class Counts:
    """What happened since the process started; written by the writer thread, read by the pulse."""

    stored: int = 0
    batches: int = 0
    retries: int = 0
    buried: int = 0
    commit_ms: float = 0.0
    error: str | None = None


def apply(conn: Conn, effects: list[Effect]) -> None:
    """Write the effects, those of one kind together, in order."""
    kinds: dict[Callable[[Conn, list[Any]], None], list[Any]] = {}
    for effect in effects:
        kinds.setdefault(effect.write, []).append(effect.value)
    for write, values in kinds.items():
        write(conn, values)


def is_poison(error: BaseException) -> bool:
    """True when the message is at fault and not the database: bad data (22), broken constraint (23), a limit of
    the server such as an index row too long (54), or an error that is no database error at all."""
    if isinstance(error, psycopg.Error):
        state = error.sqlstate
        return state[:2] in ("22", "23", "54") if state else isinstance(error, psycopg.DataError)
    return not isinstance(error, Unavailable | Misconfigured | OSError | MemoryError)
