"""What NATS JetStream takes and gives as the log between doors and database.

    python -m benchmarks.log [--messages N] [--readings K] [--replicas 1 3]

Three servers on loopback, all on this machine; the client is the product's own (`ingest.log`). Into the log: arrivals
of 500 devices are cut into records of their partitions and appended, 5,000 messages at a time, as a door does; a
message counts once the servers have acknowledged its record. Out: all partitions are read from the beginning and
unpacked, as a storage worker does, without storing. CPU is that of the client and of the three servers together.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import emit
from benchmarks.brokers import free_port, program, wait_for_port
from benchmarks.publishing import Load, cpu
from ingest import formats
from ingest.log.choice import chosen
from ingest.log.seam import Log, Partitions, unpack
from ingest.message import Arrival
from kit.errors import Unavailable
from kit.settings import Ingest, JetStream, Settings

NODES = 3
BATCH = 5_000
PATIENCE = 60.0


class Cluster:
    """Three servers with a store of their own each."""

    def __init__(self, folder: Path) -> None:
        found = program("nats-server")
        if found is None:
            raise SystemExit("nats-server is not on PATH (Debian: apt-get install nats-server)")
        ports, routes = ([free_port() for _ in range(NODES)] for _ in range(2))
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self._program, self._ports = found, ports
        self._files = [folder / f"n{n}.conf" for n in range(NODES)]
        for n, file in enumerate(self._files):
            file.write_text(
                f"server_name: n{n}\nlisten: 127.0.0.1:{ports[n]}\n"
                f'jetstream {{ store_dir: "{folder}/n{n}", max_file_store: 20GB }}\n'
                f"cluster {{ name: bench, listen: 127.0.0.1:{routes[n]}, routes: [{others}] }}\n"
            )
        self._processes = [self._spawn(n) for n in range(NODES)]
        for port in ports:
            wait_for_port(port)

    def _spawn(self, n: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self._program, "-c", str(self._files[n])], stderr=subprocess.DEVNULL)

    def kill(self, n: int) -> None:
        """kill -9 of one server."""
        self._processes[n].kill()
        self._processes[n].wait(10)

    def start(self, n: int) -> None:
        """Start it again."""
        self._processes[n] = self._spawn(n)
        wait_for_port(self._ports[n])

    def cpu(self) -> float:
        """CPU seconds of all servers so far."""
        return sum(cpu(process.pid) for process in self._processes)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(20)


def _patiently(call: Callable[[], Any]) -> Any:
    """While the servers elect their leaders: try again."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _measure(
    name: str, cluster: Cluster, count: int, context: dict[str, Any], run: Callable[[], int]
) -> None:
    client, servers, began = time.process_time(), cluster.cpu(), time.perf_counter()
    done = run()
    seconds = time.perf_counter() - began
    if done != count:
        raise SystemExit(f"{name}: {done} of {count} messages came through")
    context = context | {
        "messages": count, "seconds": round(seconds, 2),
        "client_us": round((time.process_time() - client) / count * 1e6, 2),
        "servers_us": round((cluster.cpu() - servers) / count * 1e6, 2),
    }  # fmt: skip
    emit(name, count / seconds, "messages/s", **context)


def _append(log: Log, partitions: Partitions, arrivals: list[Arrival]) -> int:
    for at in range(0, len(arrivals), BATCH):
        log.append(partitions.split(arrivals[at : at + BATCH]))
    return len(arrivals)


def _drain(log: Log, partitions: int, count: int) -> int:
    at, found, idle = dict.fromkeys(range(partitions), 0), 0, 0
    while found < count and idle < 20:
        before = found
        for partition in at:
            for offset, data in log.read(partition, at[partition], 50, 0.1):
                at[partition] = offset
                found += len(unpack(offset, data).arrivals)
        idle = idle + 1 if found == before else 0
    return found


def run(cluster: Cluster, replicas: int, count: int, readings: int, partitions: int) -> None:
    """Into the log and out of it."""
    given = JetStream(
        url=cluster.url, prefix=f"bench{replicas}", partitions=partitions, replicas=replicas, gigabytes=1.0
    )
    where = chosen(Settings(jetstream=given))
    assert where is not None
    log, sorter = where.open("benchmark"), Partitions(formats.topics(Ingest()), partitions)
    load = Load(count, readings, [f"d{n}" for n in range(500)], 1_700_000_000_000)
    now = datetime.now(UTC)
    arrivals = [Arrival(*load.message(n), None, None, now) for n in range(count)]
    context = {"replicas": replicas, "partitions": partitions, "readings": readings}
    try:
        for partition in range(partitions):  # make the streams before the clock runs
            _patiently(partial(log.read, partition, 0, 1, 0.01))
        name = f"ingest.log.{{}}.r{replicas}"
        _measure(name.format("in"), cluster, count, context, lambda: _append(log, sorter, arrivals))
        _measure(name.format("out"), cluster, count, context, lambda: _drain(log, partitions, count))
    finally:
        log.close()


def main() -> int:
    """The command line; see above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--readings", type=int, default=4, help="in each message")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--replicas", type=int, nargs="*", default=[1, 3], choices=[1, 3])
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="meantime-log-"))
    cluster = Cluster(folder)
    try:
        for replicas in given.replicas:
            run(cluster, replicas, given.messages, given.readings, given.partitions)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
