"""How fast the ingest doors store, against limits measured in the same run.

    python -m benchmarks.ingest [--quick] [--only NAME …]

Prints one JSON object a line. Every rate of a door counts rows that are committed (PUBACK follows the commit), with
authentication on and TLS off, into the embedded PostgreSQL with fsync on; at the end of each part the rows are counted.
Collector parts need mosquitto and mosquitto_sub (Debian: apt-get install mosquitto mosquitto-clients).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import psutil

from benchmarks import brokers, peers
from benchmarks.bench import Bench, bench, door, emit, median, percentile
from benchmarks.brokers import Broker
from benchmarks.publishing import Background, Load, cpu, cpu_of_children, elsewhere, paced, publish
from kit.settings import Collector, Endpoint, Ingest

LINES, WINDOW = 8, 16_000
WARM = 50_000_000  # number of the first message of a warming-up
COUNTS = {1: 60_000, 4: 60_000, 16: 40_000, 64: 16_000}
NAMES = ("collector", "endpoint", "latency", "stall", "duplicates", "connections", "sustained", "peers")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="within four minutes: fewer messages, one round")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not (brokers.program("mosquitto") and brokers.program("mosquitto_sub")):
        print("no mosquitto or no mosquitto_sub: the collector and its peers are left out", file=sys.stderr)
        given.only = [name for name in given.only if name not in ("collector", "peers")]
    with bench(5000) as made:
        run = Run(made, given.quick)
        for name in given.only:
            began = time.perf_counter()
            getattr(run, name)()
            print(f"# {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)


class Run:
    """The parts of the benchmark; each empties the tables first."""

    def __init__(self, made: Bench, quick: bool) -> None:
        self.bench, self.rounds = made, 1 if quick else 3
        self.quick, self.factor = quick, 1 if quick else 6
        self._started: float | None = None
        self.ks = (4, 64) if quick else (1, 4, 16, 64)

    def count(self, k: int) -> int:
        return COUNTS[k] * self.factor

    # --- the end point

    def endpoint(self) -> None:
        """As fast as it goes, next to COPY of the same rows; the rate is that of acknowledgements."""
        for k in self.ks:
            ratios, rates = [], []
            for _ in range(self.rounds):
                load = self.bench.load(self.count(k), k, LINES)
                copy = self.bench.copy_rate(load)
                rate, figures = self._endpoint(load)
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
        self._check(load.count + warm.count)
        own, server = (seconds / sent.acked * 1e6 for seconds in sent.cpu)
        return sent.acked / sent.seconds, {"endpoint": own, "endpoint_postgres": server}

    def _check(self, rows: int) -> None:
        stored = self.bench.conn.execute("select count(*) from ingest.telemetry").fetchone()
        if stored != (rows,):
            raise AssertionError(f"{stored} rows are stored, {rows} were sent")

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
        """The database stands still for some seconds while devices go on: how much is held meanwhile."""
        self.bench.empty()
        port = brokers.free_port()
        load = self.bench.load(COUNTS[4], 4, LINES)
        settings = self.bench.settings(endpoint=Endpoint(port=port))
        with door("ingest.endpoint", settings) as pid:
            brokers.wait_for_port(port)
            before = psutil.Process(pid).memory_info().rss
            with self.bench.conn.transaction():
                self.bench.conn.execute("lock table ingest.batch in access exclusive mode")
                publisher = Background(publish, port, load, self.bench.tokens, LINES, 65_000)
                time.sleep(4)
                held = psutil.Process(pid).memory_info().rss
            publisher.result()
            time.sleep(1.5)  # the next beat tells
            peak, mark = self.bench.conn.execute(
                """select (detail->>'buffer_peak')::int, (detail->>'high_water')::int from kit.process
                   where name = 'endpoint'"""
            ).fetchone() or (0, 1)
        self._check(load.count)
        emit("ingest.buffer_peak_ratio", peak / mark, "ratio", goal=1.2, peak=peak, high_water=mark)
        emit("ingest.stall_memory_mb", (held - before) / 2**20, "MB", seconds=4)

    def duplicates(self) -> None:
        """One message in a hundred is sent twice."""
        ratios = []
        for _ in range(self.rounds):
            plain, _ = self._endpoint(self.bench.load(self.count(4), 4, LINES))
            twice, _ = self._endpoint(self.bench.load(self.count(4), 4, LINES, repeats=0.01))
            ratios.append(twice / plain)
        emit("ingest.duplicates_ratio", median(ratios), "ratio", goal=0.95, repeated=0.01, rounds=len(ratios))

    def connections(self) -> None:
        """Many devices, each on its own connection."""
        for lines in (200, 5000):
            load = self.bench.load(COUNTS[4] * self.factor // 2, 4, lines)
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
                load = self.bench.load(COUNTS[4], 4, LINES, first=first)
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

    # --- the collector

    def collector(self) -> None:
        """Draining a backlog and live, next to mosquitto_sub and a reader that only acknowledges."""
        for k in self.ks:
            load = self.bench.load(self.count(k), k)
            for mode in ("drain", "live"):
                rounds = [self._round(load, mode) for _ in range(self.rounds)]
                ratio = median([each["collector"] / each["mosquitto_sub"] for each in rounds])
                goal = {"goal": 1.8 if mode == "drain" else 1.0} if k == 4 else {}
                rates = {
                    f"{name}_per_s": round(median([each[name] for each in rounds])) for name in rounds[0]
                }
                emit(f"ingest.collector.{mode}_ratio.k{k}", ratio, "ratio", **goal, **rates)
                emit(
                    f"ingest.collector.{mode}_readings_per_s.k{k}", rates["collector_per_s"] * k, "readings/s"
                )

    def _round(self, load: Load, mode: str) -> dict[str, float]:
        rates = {"mosquitto_sub": self._sub(load, mode), "collector": self._collect(load, mode)}
        if mode == "drain":
            rates["reader"] = self._reader(load)
        return rates

    def _sub(self, load: Load, mode: str) -> float:
        broker = Broker(self.bench.folder)
        try:
            command = brokers.sub_command(broker.port, "sub", load.count)
            brokers.subscribe(broker.port, "sub")
            publisher = Background(publish, broker.port, load, None, 4, WINDOW)
            if mode == "drain":
                publisher.result()
                began = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=120)
                return float(load.count / (time.perf_counter() - began))
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=120)
            ended, sent = time.perf_counter(), publisher.result()
            return float(load.count / (sent.seconds + max(0.0, ended - publisher.ended)))
        finally:
            broker.stop()

    def _collect(self, load: Load, mode: str) -> float:
        self.bench.empty()
        broker = Broker(self.bench.folder)
        where = Collector(host="127.0.0.1", port=broker.port, client_id="meantime")
        try:
            brokers.subscribe(broker.port, "meantime")
            publisher = Background(publish, broker.port, load, None, 4, WINDOW)
            if mode == "drain":
                publisher.result()
            before = cpu_of_children(self.bench.pid)
            with door("ingest.collector", self.bench.settings(collector=where)) as pid:
                self.bench.wait(load.count)
                ended, own = time.perf_counter(), cpu(pid)
                server = cpu_of_children(self.bench.pid) - before
            sent = publisher.result()
            self._check(load.count)
            if mode == "live":
                return float(load.count / (sent.seconds + max(0.0, ended - publisher.ended)))
            own = (own - self._start_cpu()) / load.count * 1e6
            emit(f"ingest.cpu_us_per_message.collector.k{load.k}", own, "µs", start="not included")
            emit(f"ingest.cpu_us_per_message.collector_postgres.k{load.k}", server / load.count * 1e6, "µs")
            return self.bench.door_rate()
        finally:
            broker.stop()

    def _start_cpu(self) -> float:
        """CPU seconds that a collector takes to start, measured once at a broker with nothing to say."""
        if self._started is None:
            broker = Broker(self.bench.folder)
            where = Collector(host="127.0.0.1", port=broker.port, client_id="idle")
            with door("ingest.collector", self.bench.settings(collector=where)) as pid:
                time.sleep(4)
                self._started = cpu(pid)
            broker.stop()
        return self._started

    def _reader(self, load: Load) -> float:
        broker = Broker(self.bench.folder)
        try:
            brokers.subscribe(broker.port, "reader")
            elsewhere(publish, broker.port, load, None, 4, WINDOW)
            took, _ = elsewhere(brokers.read, broker.port, "reader", load.count)
            return float(load.count / took)
        finally:
            broker.stop()

    def peers(self) -> None:
        """paho and aiomqtt draining the same backlog into the same table by the same store."""
        load = self.bench.load(20_000 * self.factor, 4)
        for name, drain in (("paho", peers.paho), ("aiomqtt", peers.aiomqtt)):
            self.bench.empty()
            broker = Broker(self.bench.folder)
            try:
                brokers.subscribe(broker.port, name)
                elsewhere(publish, broker.port, load, None, 4, WINDOW)
                took, used = elsewhere(drain, broker.port, self.bench.dsn, name, load.count)
            finally:
                broker.stop()
            self._check(load.count)
            emit(
                f"ingest.peer.{name}.messages_per_s",
                load.count / took,
                "msg/s",
                k=4,
                acknowledges=peers.WHEN[name],
            )
            emit(f"ingest.cpu_us_per_message.{name}.k4", used / load.count * 1e6, "µs")


if __name__ == "__main__":
    main()
