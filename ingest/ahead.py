"""Between the buffer and the writer: what waits is decoded in small pieces while PostgreSQL stores what came before.

Only the writer touches the database, in the order of arrival; the decoder needs nothing but memory. A thread that
decodes keeps the interpreter to itself meanwhile. So it begins only when the writer has handed its rows to PostgreSQL
(`go`), and its pieces are small, so that neither the writer, when PostgreSQL has answered, nor the door's loop waits
long for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ingest.buffer import Buffer
from ingest.chunks import Batch, Chunk, Piece
from ingest.message import Arrival
from kit import logs

log = logs.get(__name__)

# Decoded at once: messages of so many bytes together (`Buffer` counts what their objects take, too).
PIECE_BYTES = 300_000
LEAST, MOST = 100, 1000  # messages of a piece


class Ahead:
    """The way from a door to its writer; any thread may call.

    Args:
        foresee: decodes messages without the database; what it returns is handed to the store with them.
        batch: most messages in one batch.
        linger: seconds that a message waits for company.
    """

    def __init__(
        self,
        buffer: Buffer[Chunk],
        foresee: Callable[[Sequence[Arrival]], Any],
        *,
        door: str,
        batch: int,
        linger: float,
    ) -> None:
        self.buffer = buffer
        self._foresee, self._door, self._batch, self._linger = foresee, door, batch, linger
        self._changed = threading.Condition()
        self._ready: deque[Piece] = deque()
        self._count = 0  # messages in `_ready`
        self._closing = self._decoding = False
        self._going = False  # PostgreSQL is at work
        self._thread = threading.Thread(target=self._run, name=f"{door}-decoder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, chunk: Chunk) -> bool:
        """Queue a chunk; returns True when the door must stop reading."""
        with self._changed:
            first = not self.buffer.waiting
            full = self.buffer.add(chunk)
            if first or self.buffer.queued >= self._piece():
                self._changed.notify_all()
            return full

    def done(self, chunks: list[Chunk]) -> bool:
        """The door has dealt with stored chunks; returns True when it may read again."""
        with self._changed:
            return self.buffer.done(chunks)

    def oldest(self) -> float | None:
        """Monotonic time of arrival of what nobody writes yet."""
        with self._changed:
            first = self._ready[0].chunks[0] if self._ready else self.buffer.oldest
        return first.at if first is not None else None

    def close(self) -> None:
        """No more will come: `next` gives what is left and then None."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def go(self) -> None:
        """The writer waits for PostgreSQL now: until it asks for the next batch, what comes may be decoded."""
        with self._changed:
            self._going = True
            self._changed.notify_all()

    def next(self) -> Batch | None:
        """The next batch for the writer; waits for a first message, then a moment for company. None: closed."""
        with self._changed:
            self._going = False
            self._changed.wait_for(self._anything)
            if not self._ready:
                self._linger_a_moment()
            pieces = list(self._ready)
            if not self._decoding and self._count < self._batch and self.buffer.waiting:
                pieces.append(Piece(self.buffer.take(self._batch - self._count)))
            self._ready.clear()
            self._count = 0
        return Batch(pieces) if pieces else None

    def _anything(self) -> bool:
        return bool(self._ready) or (not self._decoding and bool(self.buffer.waiting or self._closing))

    def _linger_a_moment(self) -> None:
        """So that messages on their way share a transaction; who has waited already waits no more."""
        oldest = self.buffer.oldest
        left = self._linger - (time.monotonic() - oldest.at) if oldest is not None else 0.0
        if left > 0:
            self._changed.wait_for(lambda: self.buffer.queued >= self._batch or self._closing, left)

    def _piece(self) -> int:
        """How many messages to decode at once: fewer of large ones."""
        return min(MOST, max(LEAST, PIECE_BYTES * self.buffer.count // max(1, self.buffer.size)))

    def _worth_while(self) -> bool:
        return self._going and self.buffer.queued >= self._piece() and self._count < self._batch

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._worth_while())
                if self._closing:
                    return
                self._decoding = True
                piece = Piece(self.buffer.take(min(self._piece(), self._batch - self._count)))
            try:
                piece.foreseen = self._foresee(piece.arrivals)
            except Exception as error:  # the writer finds it again and deals with it
                log.error("decoding ahead failed", door=self._door, error=repr(error), exc_info=error)
            with self._changed:
                self._decoding = False
                self._ready.append(piece)
                self._count += len(piece.arrivals)
                self._changed.notify_all()
