"""Acknowledged means committed, whatever is killed, locked, cut or poisoned meanwhile."""

from __future__ import annotations

import random
import socket
import ssl
import subprocess
import threading
import time
import tomllib
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ingest import device_types, registry
from ingest.buffer import Buffer
from ingest.chunks import READ_BYTES, Chunk
from ingest.message import Arrival
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, V311
from ingest.pipeline import Pipeline
from ingest.store import Store
from kit.clock import now
from kit.database import Conn, connect, rows, scalar
from kit.settings import Endpoint as EndpointSettings
from kit.settings import Ingest, Settings
from meantime import postgres
from tests.ingest.doors.conftest import PUMP, Running
from tests.ingest.doors.helpers import Raw, reading, until
from tests.ingest.doors.processes import Process

Start = Callable[..., Running]
TOPIC = "meantime/p-1/telemetry"
KILLS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on(dsn: str, port: int) -> Settings:
    return Settings(database_url=dsn, endpoint=EndpointSettings(port=port))


def numbers(db: Conn) -> list[int]:
    """The sequence numbers stored, with repetitions."""
    return [row["seq"] for row in rows(db, "select seq from ingest.telemetry order by seq")]


class Publisher(threading.Thread):
    """A device that sends numbered messages, a window of them in flight, and connects again whenever it must.
    What was not acknowledged it sends again, as MQTT devices do."""

    def __init__(self, port: int, uid: str, token: str, version: int) -> None:
        super().__init__()
        self.port, self.uid, self.token, self.version = port, uid, token, version
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.halt = threading.Event()
        self._open: dict[int, bytes] = {}

    def run(self) -> None:
        while not self.halt.is_set() or self._open:
            try:
                with Raw(self.port, version=self.version) as device:
                    if device.connect(self.uid, self.token).reason == 0:
                        self._publish(device)
            except (OSError, AssertionError):
                time.sleep(0.02)

    def _publish(self, device: Raw) -> None:
        for number, payload in self._open.items():
            device.publish(f"meantime/{self.uid}/telemetry", payload, number)
        while not self.halt.is_set() or self._open:
            while len(self._open) < 200 and not self.halt.is_set():
                self.sent += 1
                self._open[self.sent] = reading(self.sent)
                device.publish(f"meantime/{self.uid}/telemetry", self._open[self.sent], self.sent)
            answer = device.receive()
            if not isinstance(answer, p.Ack):
                return
            assert answer.reason == 0
            assert answer.packet_id - 1 == next(iter(self._open)) % 65535, "acknowledged out of order"
            number = next(iter(self._open))
            del self._open[number]
            self.acknowledged.add(number)


@pytest.mark.parametrize("version", [V311, V5])
def test_a_killed_end_point_has_stored_all_it_acknowledged_and_nothing_twice(
    dsn: str, db: Conn, devices: dict[str, str], version: int
) -> None:
    port, dice = free_port(), random.Random(version)
    process = Process("ingest.endpoint", on(dsn, port))
    publisher = Publisher(port, "p-1", devices["p-1"], version)
    with process:
        publisher.start()
        for _ in range(KILLS // 2):
            before = len(publisher.acknowledged)
            until(lambda before=before: len(publisher.acknowledged) > before, "an acknowledgement")  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.05))
            process.kill()
            acknowledged = set(publisher.acknowledged)
            assert acknowledged <= set(numbers(db)), "acknowledged ahead of the commit"
            process.start()
        publisher.halt.set()
        publisher.join(30)
        assert not publisher.is_alive()
        assert process.stop() == 0
    assert publisher.acknowledged == set(range(1, publisher.sent + 1))
    assert numbers(db) == list(range(1, publisher.sent + 1))


def test_a_locked_table_stops_the_reading_and_the_buffer_stays_bounded(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start(buffer_messages=500, batch_messages=100)
    detail = running.endpoint.detail
    publisher = Publisher(running.port, "p-1", devices["p-1"], V311)
    with Raw(running.port) as flood:
        flood.connect("p-2", devices["p-2"])
        publisher.start()
        until(lambda: publisher.acknowledged)
        with db.transaction():
            db.execute("lock table ingest.telemetry in access exclusive mode")
            flood.socket.setblocking(False)
            message = p.Publish("meantime/p-2/telemetry", reading(1), 1, False, b"\0\1")
            _fill(flood, message)
            until(lambda: detail()["paused"])
            assert detail()["buffer_peak"] <= 500 + READ_BYTES // len(message.payload)
            until(lambda: detail()["lag_ms"] > 100)
        flood.socket.close()
        until(lambda: not detail()["paused"])
        before = len(publisher.acknowledged)
        until(lambda: len(publisher.acknowledged) > before + 300, "acknowledgements after the lock")
    publisher.halt.set()
    publisher.join(30)
    stored = scalar(
        db,
        "select count(*) from ingest.telemetry t join ingest.device d on d.id = device_id where uid = 'p-1'",
    )
    assert stored == publisher.sent == len(publisher.acknowledged)


def _fill(device: Raw, message: p.Publish) -> None:
    """Send until the window of TCP is full, because the other side does not read."""
    for _ in range(100_000):
        try:
            device.send(message)
        except BlockingIOError:
            return
    raise AssertionError("the end point reads without end")


def test_a_terminated_database_session_loses_nothing(start: Start, db: Conn, devices: dict[str, str]) -> None:
    running = start()
    publisher = Publisher(running.port, "p-1", devices["p-1"], V5)
    publisher.start()
    for _ in range(10):
        before = len(publisher.acknowledged)
        until(lambda before=before: len(publisher.acknowledged) > before + 20)  # type: ignore[misc]
        db.execute(
            """select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()"""
        )
    publisher.halt.set()
    publisher.join(30)
    assert numbers(db) == list(range(1, publisher.sent + 1))
    assert publisher.acknowledged == set(numbers(db))
    assert running.endpoint.pipeline.counts.retries > 0


def test_a_dead_end_points_wills_are_published_by_the_next_one(
    dsn: str, start: Start, db: Conn, devices: dict[str, str]
) -> None:
    port = free_port()
    will = p.Will("meantime/p-1/status", b'{"online": false, "reason": "will"}', 1, True)
    with Process("ingest.endpoint", on(dsn, port)) as process:
        one = until(lambda: _connected(port, "p-1", devices["p-1"], will))
        other = until(lambda: _connected(port, "p-2", devices["p-2"], None))
        until(lambda: scalar(db, "select count(*) from ingest.device_state") == 2)
        process.kill()
    one.socket.close()
    other.socket.close()
    running = start(grace=2.0)
    with Raw(running.port) as back:
        back.connect("p-2", devices["p-2"])  # came back in time: nobody says it was away
        until(lambda: scalar(db, "select count(*) from ingest.session") == 1)
        found = rows(
            db,
            """select uid, reason from ingest.device_state s join ingest.device d on d.id = s.device_id
               where not s.online""",
        )
        assert sorted((row["uid"], row["reason"]) for row in found) == [
            ("p-1", "endpoint_lost"),
            ("p-1", "will"),
        ]
    assert scalar(db, "select payload from ingest.retained") == will.payload


def _connected(port: int, uid: str, token: str, will: p.Will | None) -> Raw | None:
    try:
        device = Raw(port)
        return device if device.connect(uid, token, will=will).reason == 0 else None
    except (OSError, AssertionError):
        return None


def test_an_end_point_that_starts_before_the_database_serves_when_it_is_there(
    server: postgres.Server, template: str
) -> None:
    name, port = f"t_{uuid.uuid4().hex[:12]}", free_port()
    with (
        Process("ingest.endpoint", on(server.dsn(name), port)) as process,
        psycopg.connect(server.dsn("postgres"), autocommit=True) as admin,
    ):
        answer = until(lambda: _answer(port, "nobody knows yet"))
        assert answer.reason == 3  # server unavailable
        admin.execute(
            sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        with connect(server.dsn(name), autocommit=True) as late:
            device_types.load(late, tomllib.loads(PUMP.read_text(encoding="utf-8")))
            token = registry.provision(late, "p-1", "pump-p100").token
            until(lambda: (answer := _answer(port, token)) and answer.reason == 0, "admission")
        assert process.stop() == 0
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _answer(port: int, token: str) -> p.ConnAck | None:
    try:
        with Raw(port) as device:
            return device.connect("p-1", token)
    except OSError:
        return None


def test_devices_speak_tls(start: Start, tmp_path: Path, db: Conn, devices: dict[str, str]) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    running = start(tls_certificate=certificate, tls_key=key)
    with Raw(running.port, context=ssl.create_default_context(cafile=str(certificate))) as device:
        assert device.connect("p-1", devices["p-1"]).reason == 0
        for number in range(1, 500):
            device.publish(TOPIC, reading(number), number)
        assert [device.receive() for _ in range(499)] == [
            p.Ack(p.PUBACK, number + 1) for number in range(1, 500)
        ]
    assert numbers(db) == list(range(1, 500))
    with pytest.raises(ssl.SSLError):
        Raw(running.port, context=ssl.create_default_context())


class Fussy(Store):
    """The real store, but the database refuses what says `poison`, as it would a value no one foresaw."""

    def write(self, conn: Conn, arrivals: Any, foreseen: Any = (), *, whole: bool = False) -> Any:
        with conn.transaction() if whole else nullcontext():
            written = super().write(conn, arrivals, foreseen)
            if any(b"poison" in arrival.payload for arrival in arrivals):
                conn.execute("select 1 / 0")
        return written


def test_one_poison_message_ends_in_the_dead_letter_and_its_neighbours_are_stored(
    dsn: str, db: Conn, devices: dict[str, str]
) -> None:
    released: list[Chunk] = []
    pipeline = Pipeline(
        dsn, Fussy(Ingest(), door="endpoint"), door="endpoint", buffer=Buffer(1000), released=released.extend
    )
    at = now(db)
    arrivals = [Arrival(TOPIC, reading(number), "p-1", "c", at) for number in range(1, 41)]
    arrivals.insert(17, Arrival(TOPIC, b"poison \xff", "p-1", "c", at))
    chunk = Chunk(None, arrivals, [], 1)
    pipeline.submit(chunk)
    pipeline.start()
    until(lambda: released == [chunk])
    assert pipeline.close(5)
    assert numbers(db) == list(range(1, 41))
    letter = rows(db, "select topic, device_uid, client_id, payload, reason, detail from ingest.dead_letter")
    assert [(row["payload"], row["reason"]) for row in letter] == [(b"poison \xff", "database_refused")]
    assert "division by zero" in letter[0]["detail"]


class Breaking(Store):
    """The real store whose connection is cut right after its commit, before the writer has heard of it."""

    cuts = 0

    def write(self, conn: Conn, arrivals: Any, foreseen: Any = (), *, whole: bool = False) -> Any:
        written = super().write(conn, arrivals, foreseen, whole=whole)
        if self.cuts < 3:
            self.cuts += 1
            with connect(conn.info.dsn, application="cutter", autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
            conn.execute("select 1")
        return written


def test_a_commit_of_unknown_outcome_is_written_again_and_absorbed(
    dsn: str, db: Conn, devices: dict[str, str]
) -> None:
    released: list[Chunk] = []
    store = Breaking(Ingest(), door="endpoint")
    pipeline = Pipeline(dsn, store, door="endpoint", buffer=Buffer(1000), released=released.extend)
    at = now(db)
    chunk = Chunk(None, [Arrival(TOPIC, reading(number), "p-1", "c", at) for number in range(1, 41)], [], 1)
    pipeline.submit(chunk)
    pipeline.start()
    until(lambda: released == [chunk])
    assert pipeline.close(5)
    assert store.cuts == 3
    assert pipeline.counts.retries == 3
    assert numbers(db) == list(range(1, 41))
