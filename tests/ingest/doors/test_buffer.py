"""The bounded buffer as a ledger: nothing lost, order kept, both marks obeyed."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest.buffer import Buffer


@dataclass(frozen=True)
class Piece:
    number: int
    count: int
    size: int


class Ledger(RuleBasedStateMachine):
    """Adds, takes and stores at random, beside a plain list that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer: Buffer[Piece] = Buffer(high=100, high_bytes=1000)
        self.queued: list[Piece] = []
        self.taken: list[list[Piece]] = []
        self.number = 0

    @rule(count=st.integers(1, 40), size=st.integers(0, 400))
    def add(self, count: int, size: int) -> None:
        self.number += 1
        piece = Piece(self.number, count, size)
        self.queued.append(piece)
        full = self.buffer.add(piece)
        over = self.buffer.count > 100 or self.buffer.size > 1000
        assert full or not over

    @rule(limit=st.integers(1, 60))
    def take(self, limit: int) -> None:
        got = self.buffer.take(limit)
        assert got == self.queued[: len(got)]
        assert sum(piece.count for piece in got[:-1]) < limit
        del self.queued[: len(got)]
        if got:
            self.taken.append(got)
        else:
            assert not self.queued

    @rule()
    def store(self) -> None:
        if self.taken:
            was_full = self.buffer.full
            again = self.buffer.done(self.taken.pop(0))
            low = self.buffer.count <= 50 and self.buffer.size <= 500
            assert again == (was_full and low)
            assert self.buffer.full == (was_full and not low)

    @invariant()
    def counts_what_is_held(self) -> None:
        held = self.queued + [piece for pieces in self.taken for piece in pieces]
        assert self.buffer.count == sum(piece.count for piece in held)
        assert self.buffer.size == sum(piece.size for piece in held)
        assert self.buffer.waiting == len(self.queued)
        assert self.buffer.oldest == (self.queued[0] if self.queued else None)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(deadline=None, max_examples=50)
