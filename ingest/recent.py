"""The keys of the rows written last: a redelivery is recognised in memory, before it costs the batch a detour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ingest.rows import Block

CAPACITY = 100_000  # keys remembered, at least; at most twice as many


class Recent:
    """Two generations of keys: when the younger is full, the older goes."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, keys: Iterable[bytes]) -> None:
        """Remember keys whose rows are committed."""
        self._young.update(keys)
        if len(self._young) > self._capacity:
            self._old, self._young = self._young, set()

    def unseen(self, blocks: Sequence[Block]) -> tuple[list[Block], list[bytes]]:
        """Leave out rows that were stored lately or come twice; also returns all their keys."""
        by_block = [block.keys() for block in blocks]
        keys = [key for found in by_block for key in found]
        fresh = set(keys)
        if len(fresh) == len(keys) and fresh.isdisjoint(self._young) and fresh.isdisjoint(self._old):
            return list(blocks), keys
        fresh = fresh - self._young - self._old
        kept = [
            block.take(np.array([_take(fresh, key) for key in found], np.bool_))
            for block, found in zip(blocks, by_block, strict=True)
        ]
        return kept, keys


def _take(fresh: set[bytes], key: bytes) -> bool:
    """Whether the key is in `fresh`; the second time it is not."""
    if key in fresh:
        fresh.remove(key)
        return True
    return False
