"""The parts of the ingest benchmark at the end point; each empties the tables first."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import psutil

from benchmarks import brokers
from benchmarks.bench import Bench, door, emit, median, percentile
from benchmarks.publishing import Background, Load, elsewhere, paced, publish
from kit.settings import Endpoint, Ingest

LINES, WINDOW = 8, 32_000  # connections, and messages on their way on all of them
WARM = 50_000_000  # number of the first message of a warming-up
# Messages of one measurement by readings per message: enough that it lasts two seconds, so that starting up and the
# last batches do not count for much.
QUICK = {4: 180_000, 64: 60_000}
FULL = {1: 360_000, 4: 360_000, 16: 240_000, 64: 120_000}
ROUND = 120_000  # messages of a round of a longer part
STALL_SECONDS = 4


class AtEndpoint:
    """Devices connect to the end point itself."""

    def __init__(self, made: Bench, quick: bool) -> None:
        self.bench, self.quick, self.rounds = made, quick, 1 if quick else 3
        self.counts = QUICK if quick else FULL

    def endpoint(self) -> None:
        """As fast as it goes, next to COPY of the same rows; the rate is that of acknowledgements."""
        for k, count in self.counts.items():
            ratios, rates = [], []
            load = self.bench.load(count, k, LINES)
            for _ in range(self.rounds):
                # COPY before and after, so that a machine that gets faster or slower meanwhile does not decide.
                pieces = self.bench.packed(load)
                copies = [self.bench.copy_rate(pieces, count)]
                rate, figures = self._endpoint(load)
                copies.append(self.bench.copy_rate(pieces, count))
                copy = 2 / sum(1 / each for each in copies)
                ratios.append(rate / copy)
                rates.append(rate)
            emit(
                f"ingest.endpoint.copy_ratio.k{k}",
                median(ratios),
                "ratio",
                goal=0.6,
                copy_rows_per_s=round(copy),
            )
            emit(f"ingest.endpoint.messages_per_s.k{k}", median(rates), "msg/s", messages=load.count)
            emit(f"ingest.readings_per_s.k{k}", median(rates) * k, "readings/s", door="endpoint")
            for name, value in figures.items():
                emit(f"ingest.cpu_us_per_message.{name}.k{k}", value, "µs", door="endpoint")

    def _endpoint(self, load: Load, lines: int = LINES, **changes: Any) -> tuple[float, dict[str, float]]:
        """Acknowledged messages per second, and CPU µs per message of end point and database."""
        self.bench.empty()
        port = brokers.free_port()
        settings = self.bench.settings(endpoint=Endpoint(port=port), ingest=Ingest(**changes))
        with door("ingest.endpoint", settings) as pid:
            brokers.wait_for_port(port)
            warm = replace(load, count=len(load.uids) * 4 + 4000, first=WARM, repeats=0.0)
            sent = elsewhere(
                publish, port, load, self.bench.tokens, lines, WINDOW, warm, [pid], [self.bench.pid]
            )
        self.bench.check(load.count + warm.count)
        own, server = (seconds / sent.acked * 1e6 for seconds in sent.cpu)
        return sent.acked / sent.seconds, {"endpoint": own, "endpoint_postgres": server}

    def latency(self) -> None:
        """Paced publishing: from sending to the acknowledgement, which follows the commit."""
        for rate in (2000,) if self.quick else (500, 2000, 10_000):
            self.bench.empty()
            port = brokers.free_port()
            load = self.bench.load(rate * (6 if self.quick else 20), 4, LINES)
            with door("ingest.endpoint", self.bench.settings(endpoint=Endpoint(port=port))):
                brokers.wait_for_port(port)
                times = elsewhere(paced, port, load, self.bench.tokens, LINES, rate)
            settled = times[rate:]  # the first second warms up
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                goal = {"goal": 20} if (name, rate) == ("p99", 2000) else {}
                emit(
                    f"ingest.latency_{name}_ms.{rate}",
                    percentile(settled, share) * 1000,
                    "ms",
                    messages=len(settled),
                    **goal,
                )

    def stall(self) -> None:
        """The database stands still for some seconds while devices go on: how much is held meanwhile, and how much
        memory that takes. The door has worked before, so that what it needs anyway is not counted."""
        self.bench.empty()
        port = brokers.free_port()
        first = self.bench.load(2_000, 4, LINES, first=WARM)
        load = self.bench.load(60_000, 4, LINES)
        with door("ingest.endpoint", self.bench.settings(endpoint=Endpoint(port=port))) as pid:
            brokers.wait_for_port(port)
            elsewhere(publish, port, first, self.bench.tokens, LINES, WINDOW)
            before = psutil.Process(pid).memory_info().rss
            with self.bench.conn.transaction():
                self.bench.conn.execute("lock table ingest.batch in access exclusive mode")
                publisher = Background(publish, port, load, self.bench.tokens, LINES, 65_000)
                self.bench.until(lambda: self.bench.detail("buffer") > self.bench.detail("high_water"))
                time.sleep(STALL_SECONDS)
                held = psutil.Process(pid).memory_info().rss
                buffered = self.bench.detail("buffer_bytes")
            publisher.result()
            time.sleep(1.5)  # the next beat tells
            peak, mark = self.bench.detail("buffer_peak"), self.bench.detail("high_water")
        self.bench.check(first.count + load.count)
        emit("ingest.buffer_peak_ratio", peak / mark, "ratio", goal=1.2, peak=peak, high_water=mark)
        emit(
            "ingest.stall_memory_mb", (held - before) / 2**20, "MB",
            counted_by_the_buffer_mb=round(buffered / 2**20, 2), seconds=STALL_SECONDS,
        )  # fmt: skip

    def duplicates(self) -> None:
        """One message in a hundred is sent twice. In the order without, with, with, without."""
        ratios = []
        for _ in range(self.rounds):
            plain, twice = 0.0, 0.0
            for repeats in (0.0, 0.01, 0.01, 0.0):
                rate, _ = self._endpoint(self.bench.load(ROUND, 4, LINES, repeats=repeats))
                plain, twice = (plain, twice + 1 / rate) if repeats else (plain + 1 / rate, twice)
            ratios.append(plain / twice)
        emit("ingest.duplicates_ratio", median(ratios), "ratio", goal=0.95, repeated=0.01, rounds=len(ratios))

    def connections(self) -> None:
        """Many devices, each on its own connection."""
        for lines in (200, 5000):
            load = self.bench.load(30_000 if self.quick else 180_000, 4, lines)
            rate, figures = self._endpoint(load, lines)
            emit(f"ingest.connections.{lines}", rate, "msg/s", cpu_us=round(figures["endpoint"], 2))

    def sustained(self) -> None:
        """Until the table is larger than shared_buffers: the last third against a short burst at the start."""
        seconds = 20 if self.quick else 600
        self.bench.empty()
        port = brokers.free_port()
        rates, first, began = [], 0, time.perf_counter()
        with door("ingest.endpoint", self.bench.settings(endpoint=Endpoint(port=port))):
            brokers.wait_for_port(port)
            while time.perf_counter() - began < seconds:
                load = self.bench.load(ROUND, 4, LINES, first=first)
                sent = elsewhere(publish, port, load, self.bench.tokens, LINES, WINDOW)
                rates.append(sent.acked / sent.seconds)
                first += load.count
        size, buffers = self.bench.conn.execute(
            """select sum(pg_total_relation_size(inhrelid))::bigint, pg_size_bytes(current_setting('shared_buffers'))
               from pg_inherits where inhparent = 'ingest.telemetry'::regclass"""
        ).fetchone() or (0, 1)
        third = max(1, len(rates) // 3)
        ratio = median(rates[-third:]) / median(rates[:third])
        emit(
            "ingest.sustained_ratio", ratio, "ratio", goal=0.8, seconds=seconds, rows=first,
            table_over_shared_buffers=round(size / buffers, 2), last_msg_per_s=round(median(rates[-third:])),
        )  # fmt: skip
