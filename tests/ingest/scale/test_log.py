"""The durable log between doors and database: order, offsets, and nothing lost when any of its parts is killed."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import formats
from ingest.log.choice import Chosen, chosen
from ingest.log.jetstream import JetStream as JetStreamLog
from ingest.log.seam import RECORD_BYTES, Log, Partitions, unpack
from ingest.message import Arrival
from kit.database import Conn, rows, scalar
from kit.errors import Misconfigured, Unavailable
from kit.settings import Endpoint, Ingest, JetStream, Kafka, Settings
from meantime import processes
from tests.ingest.core.conftest import NOW
from tests.ingest.doors.helpers import Raw, reading, until
from tests.ingest.doors.processes import Process
from tests.ingest.doors.test_faults import Publisher, free_port, numbers
from tests.ingest.scale.conftest import Cluster
from tests.ingest.scale.kafka_brokers import MockKafka

pytestmark = pytest.mark.slow  # real servers, several processes each

TOPICS = formats.topics(Ingest())


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    def one(number: int) -> Arrival:
        uid = draw(st.sampled_from(("a", "b", "c", "d")))
        topic = draw(
            st.sampled_from(
                (f"meantime/{uid}/telemetry", f"meantime/{uid}/fault", f"spBv1.0/G/DDATA/{uid}/x")
            )
        )
        size = draw(st.sampled_from((0, 10, RECORD_BYTES)))
        return Arrival(topic, b"%d " % number + bytes(size), draw(st.sampled_from((None, uid))), "c", NOW)

    return [one(number) for number in range(draw(st.integers(0, 12)))]


@given(arrivals(), st.integers(1, 5))
def test_records_hold_every_arrival_once_and_each_device_in_order(given_: list[Arrival], count: int) -> None:
    read: dict[int, list[Arrival]] = defaultdict(list)
    for partition, data in Partitions(TOPICS, count).split(given_):
        assert 0 <= partition < count
        record = unpack(1, data)
        assert record.arrivals
        read[partition] += record.arrivals
    assert sorted(a for part in read.values() for a in part) == sorted(given_)
    for part in read.values():
        for topic in {arrival.topic for arrival in part}:
            of_topic = [a for a in given_ if a.topic == topic and a in part]
            assert [a for a in part if a.topic == topic] == of_topic


def test_an_edge_node_and_its_devices_are_in_one_partition() -> None:
    partitions = Partitions(TOPICS, 64)
    names = ("spBv1.0/G/NBIRTH/E", "spBv1.0/G/DDATA/E/a", "spBv1.0/G/DDATA/E/b")
    assert len({partitions.of(Arrival(name, b"", None, None, NOW)) for name in names}) == 1


EITHER = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("jetstream", marks=pytest.mark.nats),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ],
)
"""What every log must do; JetStream's is the real server, Kafka's the mock cluster of its client."""


@pytest.fixture
def kind() -> str:
    return "jetstream"


@pytest.fixture
def where(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of a log of three partitions that nobody else uses."""
    name = f"T{uuid.uuid4().hex[:8]}"
    if kind == "jetstream":
        url = request.getfixturevalue("nats").url
        return {"jetstream": JetStream(url=url, prefix=name, partitions=3, replicas=3, gigabytes=0.05)}
    cluster: MockKafka = request.getfixturevalue("kafka")
    return {"kafka": Kafka(servers=cluster.servers, topic=cluster.topic(name), partitions=3)}


@pytest.fixture
def chosen_log(where: dict[str, Any]) -> Chosen:
    found = chosen(Settings(**where))
    assert found is not None
    return found


@pytest.fixture
def log(chosen_log: Chosen) -> Iterator[Log]:
    opened = chosen_log.open("test")
    yield opened
    opened.close()


def read(log: Log, partition: int, after: int, count: int, *, limit: int = 50) -> list[tuple[int, bytes]]:
    """So many records; a read may bring fewer than are there."""
    found: list[tuple[int, bytes]] = []

    def enough() -> bool:
        came = log.read(partition, found[-1][0] if found else after, limit, 0.5)
        assert len(came) <= limit
        found.extend(came)
        return len(found) >= count

    until(enough, "the records")
    return found


def patiently(call: Callable[[], object]) -> object:
    """As the product does: while the cluster elects its leaders, try again."""

    def tried() -> list[object]:
        try:
            return [call()]
        except Unavailable:
            return []

    return until(tried, "the log")[0]


@EITHER
def test_a_partition_is_read_from_any_offset_in_order(log: Log) -> None:
    offsets = [patiently(lambda n=n: log.append([(0, b"%d" % n)])[0]) for n in range(20)]  # type: ignore[misc]
    assert offsets == sorted(set(offsets))  # type: ignore[type-var]
    assert patiently(lambda: log.append([(1, b"x"), (2, b"y"), (1, b"z")])) == [1, 1, 2]
    first, *rest = read(log, 0, 0, 20)
    assert first == (1, b"0")
    assert [data for _, data in rest] == [b"%d" % n for n in range(1, 20)]
    assert read(log, 0, 17, 3) == rest[16:]
    assert read(log, 0, 17, 2, limit=1) == rest[16:18]
    assert read(log, 0, 19, 1) == rest[18:]
    assert log.read(0, 20, 50, 0.1) == []


@EITHER
def test_partitions_read_in_turn_do_not_lose_each_others_records(log: Log) -> None:
    for n in range(120):
        patiently(lambda n=n: log.append([(n % 3, b"%d" % n), ((n + 1) % 3, b"+%d" % n)]))  # type: ignore[misc]
    found: dict[int, list[tuple[int, bytes]]] = {0: [], 1: [], 2: []}

    def all_read() -> bool:
        for partition, records in found.items():
            records += log.read(partition, records[-1][0] if records else 0, 7, 0.05)
        return sum(map(len, found.values())) == 240

    until(all_read, "all records")
    for records in found.values():
        assert [offset for offset, _ in records] == list(range(1, 81))
    assert {data for records in found.values() for _, data in records} == {
        word % n for n in range(120) for word in (b"%d", b"+%d")
    }


@EITHER
def test_a_partition_that_nobody_reads_any_more_takes_no_memory_and_is_there_again(log: Log) -> None:
    for n in range(300):
        patiently(lambda n=n: log.append([(0, b"%d" % n), (1, b"%d" % n)]))  # type: ignore[misc]
    assert read(log, 0, 0, 1, limit=1) == [(1, b"0")]
    assert len(read(log, 1, 0, 300)) == 300
    assert [offset for offset, _ in read(log, 0, 1, 299)] == list(range(2, 301))


@pytest.mark.nats
def test_what_is_lost_between_server_and_reader_is_read_again(log: Log) -> None:
    assert isinstance(log, JetStreamLog)
    for n in range(20):
        patiently(lambda n=n: log.append([(0, b"%d" % n)]))  # type: ignore[misc]
    assert [offset for offset, _ in read(log, 0, 0, 5, limit=5)] == [1, 2, 3, 4, 5]
    _, reader = log._readers[0]
    # As when a connection breaks under them: the server has sent them, nobody has got them.
    lost = asyncio.run_coroutine_threadsafe(reader.fetch(3, timeout=5), log._loop).result(10)
    assert len(lost) == 3
    assert [offset for offset, _ in read(log, 0, 5, 15)] == list(range(6, 21))


@pytest.mark.nats
def test_forgotten_records_are_gone_from_jetstream(log: Log) -> None:
    for n in range(20):
        patiently(lambda n=n: log.append([(0, b"%d" % n)]))  # type: ignore[misc]
    log.forget(0, 10)
    assert read(log, 0, 0, 1, limit=1)[0][0] == 11


@EITHER
def test_a_log_that_is_not_there_is_unavailable(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"ingest.log.{kind}.TIMEOUT", 0.3)
    nobody = f"127.0.0.1:{free_port()}"
    settings = (
        Settings(kafka=Kafka(servers=nobody))
        if kind == "kafka"
        else Settings(jetstream=JetStream(url=f"nats://{nobody}"))
    )
    where = chosen(settings)
    assert where is not None
    log = where.open("test")
    with pytest.raises(Unavailable):
        log.append([(0, b"x")])
    with pytest.raises(Unavailable):
        log.read(0, 0, 1, 0.1)
    log.close()


def test_one_log_at_a_time_is_chosen() -> None:
    assert chosen(Settings()) is None
    both = Settings(jetstream=JetStream(url="nats://n"), kafka=Kafka(servers="k"))
    with pytest.raises(Misconfigured, match="choose one"):
        chosen(both)
    names = processes.core(Settings(kafka=Kafka(servers="k", processes=2)))
    assert [name for name in names if name.startswith("stream")] == ["stream", "stream-2"]


@pytest.mark.parametrize(
    ("module", "settings", "extra"),
    [
        ("nats", Settings(jetstream=JetStream(url="nats://n")), "meantime.jetstream."),
        ("confluent_kafka", Settings(kafka=Kafka(servers="k")), "meantime.kafka."),
    ],
)
def test_a_log_without_its_client_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, module: str, settings: Settings, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    where = chosen(settings)
    assert where is not None
    with pytest.raises(Misconfigured, match=extra):
        where.open("test")


def listening(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


@EITHER
def test_a_message_too_large_for_the_log_is_a_dead_letter_and_blocks_nobody(
    dsn: str, db: Conn, devices: dict[str, str], where: dict[str, Any]
) -> None:
    port = free_port()
    settings = Settings(database_url=dsn, endpoint=Endpoint(port=port, max_packet_bytes=2 << 20), **where)
    with Process("ingest.endpoint", settings), Process("ingest.log.worker", settings):
        until(lambda: listening(port), "the end point")
        with Raw(port) as device:
            device.connect("p-1", devices["p-1"])
            device.publish("meantime/p-1/telemetry", b" " * 1_000_000, 1)
            device.publish("meantime/p-1/telemetry", reading(1), 2)
            assert [device.receive(), device.receive()] != [None, None]
        until(lambda: numbers(db) == [1], "the row behind it")
    (letter,) = rows(db, "select reason, size, length(payload) as kept from ingest.dead_letter")
    assert letter == {"reason": "oversized", "size": 1_000_000, "kept": 65536}


@pytest.mark.nats
def test_what_a_door_acknowledges_is_stored_whatever_is_killed(
    dsn: str, db: Conn, devices: dict[str, str], nats: Cluster, where: dict[str, Any]
) -> None:
    port, dice = free_port(), random.Random(3)
    settings = Settings(database_url=dsn, endpoint=Endpoint(port=port), **where)
    door, worker = Process("ingest.endpoint", settings), Process("ingest.log.worker", settings)
    publisher = Publisher(port, "p-1", devices["p-1"], 5)
    with door, worker:
        publisher.start()
        for number in range(9):
            before = len(publisher.acknowledged)
            until(lambda before=before: len(publisher.acknowledged) > before, "an acknowledgement")  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.2))
            if number % 3 == 0:
                node = nats.nodes[number // 3]
                node.kill()
                until(
                    lambda before=len(publisher.acknowledged): len(publisher.acknowledged) > before,
                    "two of three",
                )
                node.start()
            elif number % 3 == 1:
                worker.kill()
                worker.start()
            else:
                door.kill()
                door.start()
        publisher.halt.set()
        publisher.join(60)
        assert not publisher.is_alive()
        assert len(publisher.acknowledged) == publisher.sent
        until(
            lambda: len(numbers(db)) >= publisher.sent, "every row", seconds=60
        )  # the servers elect leaders first
        assert numbers(db) == list(range(1, publisher.sent + 1))
        moved = {row["partition"]: row["offset"] for row in rows(db, "select * from ingest.log_offset")}
        assert moved
        assert worker.stop() == 0
        assert door.stop() == 0


@pytest.mark.nats
def test_the_partitions_of_a_dead_worker_go_to_the_others(
    dsn: str, db: Conn, devices: dict[str, str], where: dict[str, Any]
) -> None:
    port = free_port()
    settings = Settings(database_url=dsn, endpoint=Endpoint(port=port), **where)
    shares = """select coalesce(sum((detail->>'partitions')::int), 0) = 3 and min((detail->>'partitions')::int) > 0
                from kit.process where name like 'stream%%' and beat_at > clock_timestamp() - interval '5 seconds'
                having count(*) = %s"""
    one, other = (Process("ingest.log.worker", settings, suffix=suffix) for suffix in ("", "-2"))
    with Process("ingest.endpoint", settings), one, other:
        until(lambda: scalar(db, shares, (2,)), "both at work")
        other.kill()
        until(lambda: scalar(db, shares, (1,)), "one at work")
        for uid in devices:
            with Raw(port) as device:
                device.connect(uid, devices[uid])
                device.publish(f"meantime/{uid}/telemetry", reading(1))
                assert device.receive() is not None
        until(lambda: len(numbers(db)) == 3, "the rows of all devices")
