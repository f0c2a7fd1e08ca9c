"""A cluster of three NATS servers on loopback, any of which can be killed; and brokers that speak Kafka's protocol."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ingest.doors.conftest import devices, settings, start  # noqa: F401
from tests.ingest.doors.helpers import until
from tests.ingest.scale.kafka_brokers import MockKafka, Tansu


def _ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Node:
    """One server."""

    def __init__(self, folder: Path, number: int, ports: list[int], routes: list[int]) -> None:
        self.port = ports[number]
        self._file = folder / f"n{number}.conf"
        others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self._file.write_text(
            f"server_name: n{number}\nlisten: 127.0.0.1:{self.port}\n"
            f'jetstream {{ store_dir: "{folder}/n{number}", max_file_store: 4GB }}\n'
            f"cluster {{ name: c, listen: 127.0.0.1:{routes[number]}, routes: [{others}] }}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert program is not None
        self._process = subprocess.Popen([program, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        until(self._answers, "the NATS server")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                return probe.recv(16).startswith(b"INFO")
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


class Cluster:
    """Three nodes."""

    def __init__(self, folder: Path) -> None:
        ports, routes = _ports(3), _ports(3)
        self.nodes = [Node(folder, number, ports, routes) for number in range(3)]
        self.url = ",".join(f"nats://127.0.0.1:{node.port}" for node in self.nodes)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


@pytest.fixture(scope="session")
def kafka() -> MockKafka:
    return MockKafka()


@pytest.fixture(scope="session")
def tansu() -> Iterator[Tansu]:
    broker = Tansu()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("nats"))
    for node in cluster.nodes:
        node.start()
    yield cluster
    cluster.stop()
