"""The keys of the rows written last: a redelivery is recognised in memory, before it costs the batch a detour.

Most rows are newer than everything their device has said so far: one comparison tells that they are not known. Only
the others are looked up. What is not remembered any more is found by the table's key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.rows import Block

CAPACITY = 100_000  # keys remembered, at least
RUN = 5000  # keys that are sorted together; smaller runs are merged
SLOTS = 1 << 20  # devices that are told apart by their newest time; a clash only costs a look


class Keys(NamedTuple):
    """Keys in order, and the range of their times in µs."""

    keys: npt.NDArray[np.bytes_]
    first: int
    last: int


class Recent:
    """The last keys of one store, in sorted runs."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._runs: deque[Keys] = deque()
        self._count = 0
        self._newest = np.zeros(SLOTS, np.int64)

    def add(self, blocks: Iterable[Block]) -> None:
        """Remember the keys of rows that are committed."""
        for run in map(_keys, blocks):
            self._count += len(run.keys)
            while self._runs and len(self._runs[-1].keys) <= len(run.keys) < RUN:
                run = _merged(self._runs.pop(), run)
            self._runs.append(run)
        while self._runs and self._count - len(self._runs[0].keys) >= self._capacity:
            self._count -= len(self._runs.popleft().keys)

    @staticmethod
    def prepare(blocks: Sequence[Block]) -> None:
        """Work out the keys that `add` will need."""
        for block in blocks:
            _ = block.keys

    def unseen(self, blocks: Sequence[Block]) -> tuple[list[Block], list[Block]]:
        """Leave out rows that were stored lately or come twice; also returns all that there were, for `add`."""
        kept: list[Block] = []
        seen: list[Block] = []
        for block in filter(len, blocks):
            old = self._old(block)
            if len(old) or not block.distinct:
                double = np.r_[False, block.keys[1:] == block.keys[:-1]]
                double[old] |= self._known(block.keys[old], block.ts[old], seen)
                kept.append(block.take(~double) if double.any() else block)
            else:
                kept.append(block)
            seen.append(block)
        return kept, seen

    def _old(self, block: Block) -> npt.NDArray[Any]:
        """Where the rows are that are no newer than what their device has said before."""
        slot = block.device % SLOTS
        old = np.flatnonzero(block.ts <= self._newest[slot])
        last = np.flatnonzero(np.r_[block.device[1:] != block.device[:-1], True])
        np.maximum.at(self._newest, slot[last], block.ts[last])
        return old

    def _known(
        self, keys: npt.NDArray[np.bytes_], ts: npt.NDArray[np.int64], more: Sequence[Block]
    ) -> npt.NDArray[np.bool_]:
        """Which of the keys are remembered, or among `more`."""
        found = np.zeros(len(keys), np.bool_)
        if not len(keys):
            return found
        first, last = ts.min(), ts.max()
        for run in (*self._runs, *map(_keys, more)):
            if run.first <= last and first <= run.last:
                at = np.minimum(np.searchsorted(run.keys, keys), len(run.keys) - 1)
                found |= run.keys[at] == keys
        return found


def _keys(block: Block) -> Keys:
    return Keys(block.keys, int(block.ts.min()), int(block.ts.max()))


def _merged(one: Keys, other: Keys) -> Keys:
    keys = np.sort(np.concatenate([one.keys, other.keys]))
    return Keys(keys, min(one.first, other.first), max(one.last, other.last))
