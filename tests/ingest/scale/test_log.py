"""The durable log between doors and database: order, offsets, and nothing lost when any of its parts is killed."""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import formats
from ingest.log.jetstream import JetStream
from ingest.log.seam import RECORD_BYTES, Log, Partitions, unpack
from ingest.message import Arrival
from kit.database import Conn, rows, scalar
from kit.errors import Unavailable
from kit.settings import Endpoint, Ingest, Settings
from kit.settings import JetStream as Given
from tests.ingest.core.conftest import NOW
from tests.ingest.doors.helpers import Raw, reading, until
from tests.ingest.doors.processes import Process
from tests.ingest.doors.test_faults import Publisher, free_port, numbers
from tests.ingest.scale.conftest import Cluster

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


@pytest.fixture
def given_log(nats: Cluster) -> Given:
    return Given(url=nats.url, prefix=f"T{uuid.uuid4().hex[:8]}", partitions=3, replicas=3, gigabytes=0.05)


@pytest.fixture
def log(given_log: Given) -> Iterator[Log]:
    opened = JetStream(given_log, name="test")
    yield opened
    opened.close()


def patiently(call: Callable[[], object]) -> object:
    """As the product does: while the cluster elects its leaders, try again."""

    def tried() -> list[object]:
        try:
            return [call()]
        except Unavailable:
            return []

    return until(tried, "the log")[0]


@pytest.mark.nats
def test_a_partition_is_read_from_any_offset_in_order(log: Log) -> None:
    offsets = [patiently(lambda n=n: log.append([(0, b"%d" % n)])[0]) for n in range(20)]  # type: ignore[misc]
    assert offsets == sorted(set(offsets))  # type: ignore[type-var]
    assert patiently(lambda: log.append([(1, b"x"), (2, b"y"), (1, b"z")])) == [1, 1, 2]
    first, *rest = log.read(0, 0, 50, 1.0)
    assert first == (1, b"0")
    assert [data for _, data in rest] == [b"%d" % n for n in range(1, 20)]
    assert log.read(0, 17, 50, 1.0) == rest[16:]
    assert log.read(0, 17, 2, 1.0) == rest[16:18]
    assert log.read(0, 19, 50, 1.0) == rest[18:]
    assert log.read(0, 20, 50, 0.1) == []
    log.forget(0, 10)
    assert log.read(0, 0, 1, 1.0)[0][0] == 11


@pytest.mark.nats
def test_what_a_door_acknowledges_is_stored_whatever_is_killed(
    dsn: str, db: Conn, devices: dict[str, str], nats: Cluster, given_log: Given
) -> None:
    port, dice = free_port(), random.Random(3)
    settings = Settings(database_url=dsn, endpoint=Endpoint(port=port), jetstream=given_log)
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
    dsn: str, db: Conn, devices: dict[str, str], given_log: Given
) -> None:
    port = free_port()
    settings = Settings(database_url=dsn, endpoint=Endpoint(port=port), jetstream=given_log)
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
