"""An edge node at both doors: what it says is stored, and after a gap it is asked to be born again."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from ingest import collector as collecting
from ingest import registry
from ingest.message import Arrival
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, V311
from ingest.sparkplug.codec import decode
from kit.database import Conn, scalar
from kit.settings import Collector, Settings
from tests.ingest.doors.conftest import Running, devices, settings, start  # noqa: F401
from tests.ingest.doors.helpers import Raw, until
from tests.ingest.sparkplug.edge import PUMP, Edge

TEMPERATURE = ("Bearing Temperature", PUMP[1][1], "°F")
NAMED = (PUMP[0], TEMPERATURE)


@pytest.fixture
def gateway(db: Conn, devices: dict[str, str]) -> str:  # noqa: F811
    """The token of edge node G:E, whose device is G:E:a."""
    registry.provision(db, "G:E:a", "pump-p100")
    return registry.provision(db, "G:E", "pump-p100").token


def publish(client: Raw, *messages: Arrival, qos: int = 1) -> None:
    for number, message in enumerate(messages, 1):
        client.publish(message.topic, message.payload, number, qos)


def count(db: Conn) -> int:
    return int(scalar(db, "select count(*) from ingest.telemetry"))


def command(client: Raw) -> p.Publish:
    """The next message that is no acknowledgement."""
    while isinstance(packet := client.receive(), p.Ack):
        pass
    assert isinstance(packet, p.Publish), packet
    return packet


@pytest.mark.parametrize("version", [V311, V5])
def test_an_edge_node_at_the_end_point_is_asked_for_a_rebirth_after_a_gap(
    start: Callable[..., Running],  # noqa: F811
    db: Conn,
    gateway: str,
    version: int,
) -> None:
    edge = Edge()
    will = p.Will("spBv1.0/G/NDEATH/E", edge.death().payload, 1, False)
    with Raw(start().port, version=version) as client:
        assert client.connect("G:E", gateway, will=will).reason == 0
        client.send(
            p.Subscribe(1, (("spBv1.0/G/NCMD/E/#", 0), ("spBv1.0/G/DCMD/E/+", 0), ("spBv1.0/X/NCMD/E", 0)))
        )
        answer = client.receive()
        assert isinstance(answer, p.SubAck)
        assert [reason >= 0x80 for reason in answer.reasons] == [False, False, True]
        publish(client, edge.birth(), edge.device_birth("a", (1, 70), NAMED))
        edge.data("a", vibration=2)  # lost
        publish(client, edge.data("a", vibration=3))
        asked = command(client)
        assert asked.topic == "spBv1.0/G/NCMD/E"
        assert decode(asked.payload).find("Node Control/Rebirth") is True
        publish(client, edge.birth(), edge.device_birth("a", (4, 70), NAMED))
        until(lambda: count(db) == 3)  # the birth twice, and what waited for it
        client.socket.shutdown(socket.SHUT_RDWR)
    until(
        lambda: (
            scalar(
                db,
                "select online from ingest.device_status join ingest.device on id = device_id where uid = 'G:E:a'",
            )
            is False
        ),
        "the death of the device with its node",
    )


def test_another_devices_sparkplug_topic_is_refused(
    start: Callable[..., Running],  # noqa: F811
    gateway: str,
    devices: dict[str, str],  # noqa: F811
) -> None:
    with Raw(start().port, version=V5) as client:
        client.connect("p-1", devices["p-1"])
        publish(client, Edge().birth())
        answer = client.receive()
        assert isinstance(answer, p.Ack)
        assert answer.reason == 0x87


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = tmp_path / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
    process = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(file)])
    until(lambda: _answers(port))
    yield port
    process.terminate()
    process.wait(10)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.broker
def test_an_edge_node_behind_a_broker_is_asked_for_a_rebirth_when_the_collector_comes_late(
    dsn: str, db: Conn, gateway: str, broker: int
) -> None:
    edge, stop = Edge(), Event()
    settings = Settings(database_url=dsn, collector=Collector(host="127.0.0.1", port=broker, group="g"))  # noqa: F811
    door = Thread(target=collecting.run, args=(settings, stop))
    with Raw(broker, version=V5) as client:
        client.connect("edge", None)
        client.send(p.Subscribe(1, (("spBv1.0/G/NCMD/E", 0),)))
        assert isinstance(client.receive(), p.SubAck)
        publish(client, edge.birth(), edge.device_birth("a", (1, 70), NAMED), qos=0)
        door.start()
        until(
            lambda: scalar(
                db, "select (detail->>'connections')::int from kit.process where name = 'collector'"
            )
        )
        publish(client, edge.data("a", vibration=2), qos=0)
        asked = command(client)
        assert decode(asked.payload).find("Node Control/Rebirth") is True
        publish(client, edge.birth(), edge.device_birth("a", (3, 70), NAMED), qos=0)
        until(lambda: count(db) == 2)
    stop.set()
    door.join(10)
    assert not door.is_alive()
