"""The parts of the ingest benchmark at a broker: the collector next to what reads without storing, and its peers."""

from __future__ import annotations

import subprocess
import time

from benchmarks import brokers, peers
from benchmarks.bench import Bench, door, emit, median
from benchmarks.brokers import Broker
from benchmarks.publishing import Background, Load, cpu, cpu_of_children, elsewhere, publish
from kit.settings import Collector, Settings

LINES, WINDOW = 4, 16_000
QUICK = {4: 120_000, 64: 30_000}
FULL = {1: 360_000, 4: 360_000, 16: 240_000, 64: 96_000}


class AtBroker:
    """mosquitto stands between the devices and Meantime; each part empties the tables first."""

    def __init__(self, made: Bench, quick: bool) -> None:
        self.bench, self.quick, self.rounds = made, quick, 1 if quick else 3
        self.counts = QUICK if quick else FULL

    def collector(self) -> None:
        """Draining a backlog and live, next to mosquitto_sub and a reader that only acknowledges."""
        for k, count in self.counts.items():
            load = self.bench.load(count, k)
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
        rates = {
            "mosquitto_sub": self._sub(load, mode),
            "collector": self._drain(load) if mode == "drain" else self._live(load),
        }
        if mode == "drain":
            rates["reader"] = self._reader(load)
        return rates

    def _sub(self, load: Load, mode: str) -> float:
        broker = Broker(self.bench.folder)
        try:
            command = brokers.sub_command(broker.port, "sub", load.count)
            brokers.subscribe(broker.port, "sub")
            publisher = Background(publish, broker.port, load, None, LINES, WINDOW)
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

    def _drain(self, load: Load) -> float:
        """Rows per second of a backlog that waits at the broker; emits the CPU time, from the first batch on."""
        self.bench.empty()
        broker = Broker(self.bench.folder)
        try:
            brokers.subscribe(broker.port, "meantime")
            elsewhere(publish, broker.port, load, None, LINES, WINDOW)
            with door("ingest.collector", self._settings(broker)) as pid:
                self.bench.wait(1)
                first, *before = self._spent(pid, broker)
                self.bench.wait(load.count)
                last, *after = self._spent(pid, broker)
            self.bench.check(load.count)
        finally:
            broker.stop()
        names = ("collector", "collector_postgres", "collector_mosquitto")
        for name, then, now in zip(names, before, after, strict=True):
            emit(f"ingest.cpu_us_per_message.{name}.k{load.k}", (now - then) / (last - first) * 1e6, "µs")
        return self.bench.door_rate()

    def _live(self, load: Load) -> float:
        """The same while devices publish, to a collector that is there already."""
        self.bench.empty()
        self.bench.conn.execute("delete from kit.process where name = 'collector'")
        broker = Broker(self.bench.folder)
        try:
            with door("ingest.collector", self._settings(broker)):
                self.bench.until(lambda: self.bench.detail("connections", "collector") > 0)
                publisher = Background(publish, broker.port, load, None, LINES, WINDOW)
                self.bench.wait(load.count)
                ended, sent = time.perf_counter(), publisher.result()
            self.bench.check(load.count)
            return float(load.count / (sent.seconds + max(0.0, ended - publisher.ended)))
        finally:
            broker.stop()

    def _settings(self, broker: Broker) -> Settings:
        where = Collector(host="127.0.0.1", port=broker.port, client_id="meantime")
        return self.bench.settings(collector=where)

    def _spent(self, pid: int, broker: Broker) -> tuple[int, float, float, float]:
        """Rows stored so far, and CPU seconds of the collector, of PostgreSQL and of the broker."""
        return self.bench.stored(), cpu(pid), cpu_of_children(self.bench.pid), cpu(broker.process.pid)

    def _reader(self, load: Load) -> float:
        broker = Broker(self.bench.folder)
        try:
            brokers.subscribe(broker.port, "reader")
            elsewhere(publish, broker.port, load, None, LINES, WINDOW)
            took, _ = elsewhere(brokers.read, broker.port, "reader", load.count)
            return float(load.count / took)
        finally:
            broker.stop()

    def peers(self) -> None:
        """paho and aiomqtt draining the same backlog into the same table by the same store."""
        load = self.bench.load(20_000 if self.quick else 120_000, 4)
        for name, drain in (("paho", peers.paho), ("aiomqtt", peers.aiomqtt)):
            self.bench.empty()
            broker = Broker(self.bench.folder)
            try:
                brokers.subscribe(broker.port, name)
                elsewhere(publish, broker.port, load, None, LINES, WINDOW)
                took, used = elsewhere(drain, broker.port, self.bench.dsn, name, load.count)
            finally:
                broker.stop()
            self.bench.check(load.count)
            emit(
                f"ingest.peer.{name}.messages_per_s",
                load.count / took,
                "msg/s",
                k=4,
                acknowledges=peers.WHEN[name],
            )
            emit(f"ingest.cpu_us_per_message.{name}.k4", used / load.count * 1e6, "µs")
