"""The filter of recent keys beside a plain set: it never calls a row known that is not, and forgets only the oldest."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.recent import SLOTS, Recent
from ingest.rows import Block

Row = tuple[int, int, int]  # device, ts, seq
# The last two devices share a slot, so one's news makes the other's look old.
ROWS = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, SLOTS + 3]), st.integers(1, 6), st.integers(0, 2)), max_size=12
)


def block(rows: list[Row]) -> Block:
    device, ts, seq = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    nothing: Any = None
    distinct = len({row[:2] for row in rows}) == len(rows)
    return Block(nothing, device, ts, seq, ts, np.zeros((len(ts), 1)), distinct)


def rows_of(blocks: list[Block]) -> list[Row]:
    return [row for b in blocks for row in zip(b.device.tolist(), b.ts.tolist(), b.seq.tolist(), strict=True)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.lists(ROWS, max_size=3), st.booleans()), max_size=6))
def test_what_was_committed_or_comes_twice_is_left_out_and_everything_else_stays(
    writes: list[tuple[list[list[Row]], bool]],
) -> None:
    recent, known = Recent(), set[Row]()
    for groups, commits in writes:
        kept, keys = recent.unseen([block(rows) for rows in groups])
        every = {row for rows in groups for row in rows}
        assert sorted(rows_of(kept)) == sorted(every - known)
        if commits:
            recent.add(keys)
            known |= every


def test_the_oldest_keys_are_forgotten_and_at_least_as_many_as_promised_remain() -> None:
    recent = Recent(capacity=100)
    for first in range(0, 1000, 10):
        _, keys = recent.unseen([block([(1, first + n + 1, 0) for n in range(10)])])
        recent.add(keys)
    kept, _ = recent.unseen([block([(1, n, 0) for n in range(1, 1001)])])
    remembered = 1000 - len(rows_of(kept))
    assert 100 <= remembered < 1000
    assert [ts for _, ts, _ in rows_of(kept)] == list(range(1, 1001 - remembered))
