"""The bounded buffer between a front door and its writer: a queue with a high-water and a low-water mark.

Above the high-water mark (in messages or in bytes) the door stops reading its sockets; below the low-water mark it
reads again. What is being written still counts, so the marks bound everything held in memory and not yet committed.
Pure: no threads, no sockets; the pipeline guards it with its lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What the buffer needs to know of a piece."""

    @property
    def count(self) -> int:
        """Messages, at least 1."""

    @property
    def size(self) -> int:
        """Bytes."""


T = TypeVar("T", bound=Sized)


@dataclass
class Buffer(Generic[T]):
    """First in, first out.

    Attributes:
        high: messages above which `full` turns on.
        high_bytes: the same in bytes, so that large messages are bounded too.
        count, queued: messages held, and those of them that nobody has taken yet.
    """

    high: int
    high_bytes: int = 64 << 20
    low_share: float = 0.5
    count: int = 0
    queued: int = 0
    size: int = 0
    peak: int = 0
    full: bool = False
    _pieces: deque[T] = field(default_factory=deque)

    def add(self, piece: T) -> bool:
        """Append a piece; returns True when the door must stop reading."""
        self._pieces.append(piece)
        self.count += piece.count
        self.queued += piece.count
        self.size += piece.size
        self.peak = max(self.peak, self.count)
        if self.count > self.high or self.size > self.high_bytes:
            self.full = True
        return self.full

    def take(self, limit: int) -> list[T]:
        """The oldest pieces, until they hold `limit` messages; they count until `done` says they are stored."""
        taken: list[T] = []
        count = 0
        while self._pieces and count < limit:
            taken.append(self._pieces.popleft())
            count += taken[-1].count
        self.queued -= count
        return taken

    def done(self, pieces: list[T]) -> bool:
        """Pieces that were taken are stored. Returns True when reading may start again, once."""
        for piece in pieces:
            self.count -= piece.count
            self.size -= piece.size
        low = self.count <= self.high * self.low_share and self.size <= self.high_bytes * self.low_share
        if self.full and low:
            self.full = False
            return True
        return False

    @property
    def waiting(self) -> int:
        """Pieces not taken yet."""
        return len(self._pieces)

    @property
    def oldest(self) -> T | None:
        """The piece that waits longest."""
        return self._pieces[0] if self._pieces else None
