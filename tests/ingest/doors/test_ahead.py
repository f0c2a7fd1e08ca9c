"""Decoding ahead: what was foreseen of messages stays with them, and their order is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ingest.ahead import Ahead
from ingest.buffer import Buffer
from ingest.chunks import Batch, Chunk
from ingest.message import Arrival
from tests.ingest.doors.helpers import until

NOW = datetime.now(UTC)


class Bench:
    """A decoder that only remembers what it was given."""

    def __init__(self, batch: int = 4000) -> None:
        self.seen: list[Arrival] = []
        self.number = 0
        self.ahead = Ahead(Buffer(100_000), self._foresee, door="test", batch=batch, linger=0)
        self.ahead.start()

    def _foresee(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        self.seen += arrivals
        return list(arrivals)

    def submit(self, messages: int) -> None:
        for _ in range(messages // 100):
            numbers = range(self.number, self.number + 100)
            self.number += 100
            arrivals = [Arrival("t", str(n).encode(), None, None, NOW) for n in numbers]
            self.ahead.submit(Chunk(None, arrivals, [], 30_000))

    def next(self) -> Batch:
        batch = self.ahead.next()
        assert batch is not None
        return batch


def test_what_is_decoded_while_another_batch_is_written_comes_with_the_batch_it_belongs_to() -> None:
    bench = Bench()
    bench.submit(3000)
    batches = [bench.next()]
    for _ in range(3):
        bench.ahead.go()
        bench.submit(3000)
        until(lambda: len(bench.seen) >= 2000, "decoding")
        bench.seen.clear()
        batches.append(bench.next())
    assert not batches[0].foreseen  # the writer came first
    for batch in batches[1:]:
        foreseen = [arrival for piece in batch.foreseen for arrival in piece]
        assert foreseen
        assert foreseen == batch.arrivals[: len(foreseen)]
    bench.ahead.close()
    left = []
    while (batch_left := bench.ahead.next()) is not None:
        left.append(batch_left)
    said = [arrival.payload for batch in (*batches, *left) for arrival in batch.arrivals]
    assert said == [str(n).encode() for n in range(bench.number)]


def test_nothing_is_decoded_before_the_writer_has_handed_its_rows_over() -> None:
    bench = Bench(batch=1000)
    bench.submit(5000)
    assert len(bench.next().arrivals) == 1000
    assert not bench.seen
    bench.ahead.go()
    until(lambda: len(bench.seen) == 1000, "decoding")  # no more than a batch ahead
    assert bench.next().arrivals == bench.seen
    bench.ahead.close()
