"""The collector at a real broker: what it has not committed the broker still has."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Thread

import pytest

from ingest.chunks import READ_BYTES
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5
from kit.database import Conn, rows, scalar
from kit.settings import Ingest
from tests.ingest.doors.broker import Broker, count, subscribed
from tests.ingest.doors.helpers import Raw, reading, until
from tests.ingest.doors.processes import Process

pytestmark = pytest.mark.broker
KILLS = 5


def publish(port: int, uid: str, numbers: range, *, pause: float = 0) -> None:
    """Publish readings at QoS 1 and wait for the broker's acknowledgements."""
    with Raw(port, version=V5) as device:
        device.connect(uid, None, client_id=f"publisher-{uid}")
        for number in numbers:
            device.publish(f"meantime/{uid}/telemetry", reading(number), number)
            if pause:
                time.sleep(pause)
        for _ in numbers:
            answer = device.receive()
            assert isinstance(answer, p.Ack)
            assert answer.reason < 0x80


def test_a_killed_collector_loses_nothing_and_stores_nothing_twice(
    collector: Callable[..., Process], broker: Broker, db: Conn
) -> None:
    process, total, dice = collector(), 2000, random.Random(7)
    process.start()
    until(lambda: subscribed(db))
    publisher = Thread(
        target=publish, args=(broker.port, "p-1", range(1, total + 1)), kwargs={"pause": 0.001}
    )
    publisher.start()
    for _ in range(KILLS):
        before = count(db)
        until(lambda before=before: count(db) > before or count(db) == total)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        process.start()
    publisher.join(60)
    until(lambda: count(db) == total, "every message")
    assert [row["seq"] for row in rows(db, "select seq from ingest.telemetry order by seq")] == list(
        range(1, total + 1)
    )
    until(lambda: scalar(db, "select lost from ingest.broker_session") == 0)
    assert process.stop() == 0


def test_two_collectors_of_a_group_share_the_messages(
    collector: Callable[..., Process], broker: Broker, db: Conn
) -> None:
    one, other = (collector(suffix=suffix, group="g") for suffix in ("-1", "-2"))
    one.start()
    other.start()
    until(lambda: subscribed(db, "collector-1") and subscribed(db, "collector-2"))
    publish(broker.port, "p-1", range(1, 1001))
    until(lambda: count(db) == 1000)
    other.kill()
    publish(broker.port, "p-1", range(1001, 1501))
    other.start()
    until(lambda: count(db) == 1500, "every message, once the dead member is back")
    until(lambda: acknowledged(db, "collector-1") and acknowledged(db, "collector-2"), "the shares of both")


def acknowledged(db: Conn, name: str) -> int:
    return int(scalar(db, "select (detail->>'acked')::int from kit.process where name = %s", (name,)))


def test_a_broker_that_lost_the_session_is_reported(
    collector: Callable[..., Process], broker: Broker, db: Conn
) -> None:
    process = collector()
    process.start()
    until(lambda: subscribed(db))
    until(lambda: scalar(db, "select lost from ingest.broker_session") == 0, "the session written down")
    broker.stop()
    broker.start()  # without persistence: the session is gone
    until(lambda: scalar(db, "select lost from ingest.broker_session") == 1, "the alarm")
    until(
        lambda: (
            scalar(db, "select (detail->>'sessions_lost')::int from kit.process where name = 'collector'")
            == 1
        )
    )
    until(lambda: subscribed(db))
    publish(broker.port, "p-1", range(1, 11))
    until(lambda: count(db) == 10)


def test_a_stalled_database_leaves_the_messages_with_the_broker(
    collector: Callable[..., Process], broker: Broker, db: Conn
) -> None:
    process = collector(ingest=Ingest(buffer_messages=500, batch_messages=100))
    process.start()
    until(lambda: subscribed(db))
    with db.transaction():
        db.execute("lock table ingest.telemetry in access exclusive mode")
        publish(broker.port, "p-1", range(1, 12_001))
        with_peak = "select detail from kit.process where name = 'collector' and (detail->>'paused')::bool"
        detail = until(lambda: scalar(db, with_peak))
        assert detail["lag_ms"] > 0
    until(lambda: count(db) == 12_000)
    detail = until(
        lambda: scalar(
            db, "select detail from kit.process where name = 'collector' and not (detail->>'paused')::bool"
        )
    )
    assert detail["buffer_peak"] <= 500 + READ_BYTES // 80


def test_a_collector_waits_for_its_broker_and_for_its_database(
    collector: Callable[..., Process], broker: Broker, db: Conn
) -> None:
    broker.stop()
    process = collector()
    process.start()
    until(lambda: scalar(db, "select 1 from kit.process where name = 'collector'"))
    broker.start()
    until(lambda: subscribed(db))
    assert process.stop() == 0
