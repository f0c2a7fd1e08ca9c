"""Edge nodes that wait for a primary host: the collector says when it is there, and the broker when it is not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from ingest import collector as collecting
from ingest.collector import filters, host
from ingest.mqtt import Stream
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V5
from ingest.sparkplug.host import Host, denied_at
from kit.database import Conn, scalar
from kit.errors import Misconfigured
from kit.settings import Collector, Settings
from tests.ingest.doors.broker import Broker, subscribed
from tests.ingest.doors.helpers import DEADLINE, until
from tests.ingest.doors.processes import Process

TOPIC = "spBv1.0/STATE/plant"
Start = Callable[..., Process]


class Observer:
    """An edge node's view: every state of the host `plant`, in order."""

    def __init__(self, port: int, name: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self._granted = False
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        self.client.on_message = lambda client, data, message: self.seen.append(json.loads(message.payload))
        self.client.on_subscribe = lambda *args: setattr(self, "_granted", True)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(TOPIC, qos=1)
        self.client.loop_start()
        until(lambda: self._granted, "the observer's subscription")

    def states(self) -> list[bool]:
        return [state["online"] for state in self.seen]

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def observer(broker: Broker) -> Iterator[Observer]:
    watching = Observer(broker.port, "observer")
    yield watching
    watching.leave()


@pytest.fixture
def online(collector: Start, observer: Observer) -> Process:
    """A collector that has said that its host `plant` is there."""
    process = collector(sparkplug_host="plant")
    process.start()
    until(lambda: observer.states() == [True], "online")
    return process


def retained(port: int) -> dict[str, Any]:
    """What an edge node that connects now is told."""
    late = Observer(port, "late")
    try:
        found: dict[str, Any] = until(lambda: late.seen and late.seen[0], "the retained state")
        return found
    finally:
        late.leave()


@pytest.mark.broker
def test_the_host_is_online_while_the_collector_lives_and_offline_once_it_is_killed(
    online: Process,
    broker: Broker,
    observer: Observer,
) -> None:
    assert retained(broker.port) == observer.seen[0]
    online.kill()
    until(lambda: observer.states() == [True, False], "offline by the will")
    assert observer.seen[1]["timestamp"] == observer.seen[0]["timestamp"]
    assert retained(broker.port)["online"] is False
    online.start()  # the session has kept what was said meanwhile: that will
    until(lambda: observer.states()[2:3] == [True], "online again")
    until(lambda: retained(broker.port)["online"], "online for those who come late")
    assert observer.seen[2]["timestamp"] > observer.seen[0]["timestamp"]


@pytest.mark.broker
def test_whoever_says_that_the_host_is_offline_is_answered(
    online: Process,
    broker: Broker,
    observer: Observer,
    db: Conn,
) -> None:
    observer.client.publish(TOPIC, json.dumps({"online": False, "timestamp": 1}), qos=1, retain=True)
    until(lambda: observer.states() == [True, False, True], "the answer")
    assert observer.seen[2] == observer.seen[0]
    assert retained(broker.port)["online"] is True
    until(lambda: subscribed(db))
    assert scalar(db, "select count(*) from ingest.dead_letter") == 0


@pytest.mark.broker
def test_a_denial_of_a_later_time_is_answered_with_that_time_which_edge_nodes_do_not_ignore(
    online: Process,
    observer: Observer,
) -> None:
    later = observer.seen[0]["timestamp"] + 3_600_000  # by a clock that is fast
    observer.client.publish(TOPIC, json.dumps({"online": False, "timestamp": later}), qos=1, retain=True)
    until(lambda: observer.states() == [True, False, True], "the answer")
    assert online.stop() == 0
    until(lambda: observer.states() == [True, False, True, False], "offline")
    assert [state["timestamp"] for state in observer.seen[1:]] == [later, later, later]


@pytest.mark.broker
def test_a_collector_that_is_told_to_stop_says_that_its_host_leaves(
    online: Process,
    broker: Broker,
    observer: Observer,
) -> None:
    assert online.stop() == 0
    until(lambda: observer.states() == [True, False], "offline")
    assert observer.seen[1]["timestamp"] > observer.seen[0]["timestamp"]  # its own word, not the will


@pytest.mark.broker
def test_no_state_is_published_where_no_host_is_set(
    collector: Start,
    observer: Observer,
    db: Conn,
) -> None:
    process = collector()
    process.start()
    until(lambda: subscribed(db))
    assert process.stop() == 0
    observer.client.publish(TOPIC, '{"online": null}', qos=1)
    until(lambda: observer.states() == [None], "the end mark")


class Keeper:
    """A broker of one connection that grants everything but what Sparkplug publishes, and writes down what comes."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(DEADLINE)
        self.port = int(self.server.getsockname()[1])
        self.heard: list[p.Packet] = []
        self.thread = Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.server.accept()
        connection.settimeout(DEADLINE)
        stream = Stream(version=V5)
        with self.server, connection:
            while data := connection.recv(65536):
                for packet in stream.feed(data):
                    self.heard.append(packet)
                    if isinstance(packet, p.Connect):
                        connection.sendall(encode(V5, p.ConnAck()))
                    elif isinstance(packet, p.Subscribe):
                        reasons = tuple(
                            0x87 if "BIRTH" in name or "DATA" in name else 1 for name, _ in packet.filters
                        )
                        connection.sendall(encode(V5, p.SubAck(packet.packet_id, reasons)))


def test_a_collector_that_may_not_read_sparkplug_is_no_host_to_wait_for(
    dsn: str, db: Conn, devices: dict[str, str]
) -> None:
    keeper, stop = Keeper(), Event()
    there = Collector(host="127.0.0.1", port=keeper.port, sparkplug_host="plant")
    door = Thread(target=collecting.run, args=(Settings(database_url=dsn, collector=there), stop))
    door.start()
    until(lambda: subscribed(db))
    stop.set()
    for thread in (door, keeper.thread):
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert [type(packet) for packet in keeper.heard] == [p.Connect, p.Subscribe, p.Disconnect]


def made(**given: Any) -> Settings:
    return Settings(collector=Collector(host="broker", **given))


def test_of_a_group_only_the_member_that_reads_sparkplug_is_the_host() -> None:
    group = made(group="g", sparkplug_host="plant")
    assert host(group, "", 5) == host(group, "-1", 5) == Host("plant", 5)
    assert host(group, "-2", 5) is None
    assert not any(name.startswith("spBv1.0") for name in filters(group, "-2"))
    assert host(made(), "", 5) is None


def test_a_host_that_does_not_listen_is_refused() -> None:
    with pytest.raises(Misconfigured, match="does not listen"):
        host(made(sparkplug=False, sparkplug_host="plant"), "", 5)


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "a\0"])
def test_a_host_id_is_one_level_of_a_topic(name: str) -> None:
    with pytest.raises(ValidationError):
        made(sparkplug_host=name)


@pytest.mark.parametrize(
    ("payload", "denied"),
    [
        (b'{"online":false,"timestamp":1}', 1),
        (b'{"online":false}', 0),
        (b'{"online":false,"timestamp":"now"}', 0),
        (b'{"online":false,"timestamp":9223372036854775808}', 0),
        (b'{"online":true,"timestamp":1}', None),
        (b'{"online":0}', None),
        (b"OFFLINE", None),
        (b"[false]", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_only_a_false_denies(payload: bytes, denied: int | None) -> None:
    assert denied_at(payload) == denied
