"""The collector at a real broker: what it has not committed the broker still has."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ingest.chunks import READ_BYTES
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5
from kit.database import Conn, rows, scalar
from kit.settings import Collector, Ingest, Settings
from tests.ingest.doors.helpers import Raw, reading, until
from tests.ingest.doors.processes import Process

pytestmark = pytest.mark.broker
KILLS = 5


class Broker:
    """mosquitto on a free port, with the queue limits that a collector needs."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._file = folder / "mosquitto.conf"
        self._file.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n"
            "max_inflight_messages 1000\npersistence false\nlog_type none\n"
        )
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._file)])
        until(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def collector(dsn: str, broker: Broker, devices: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """`collector(suffix="-1", group="g")` makes a collector process, not started yet."""
    made: list[Process] = []

    def make(*, suffix: str = "", ingest: Ingest | None = None, **changes: Any) -> Process:
        settings = Settings(
            database_url=dsn,
            collector=Collector(host="127.0.0.1", port=broker.port, **changes),
            ingest=ingest or Ingest(),
        )
        made.append(Process("ingest.collector", settings, suffix=suffix))
        return made[-1]

    yield make
    for process in made:
        process.__exit__()


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


def subscribed(db: Conn, name: str = "collector") -> bool:
    return bool(scalar(db, "select (detail->>'connections')::int from kit.process where name = %s", (name,)))


def count(db: Conn) -> int:
    return int(scalar(db, "select count(*) from ingest.telemetry"))


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
