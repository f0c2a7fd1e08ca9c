"""The shipped mosquitto configuration on a real mosquitto: it starts, queues, and keeps devices apart."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

DEPLOY = Path(__file__).parents[2] / "deploy"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
QUEUED = 1500  # more than mosquitto's default queue of 1000
pytestmark = [pytest.mark.broker, pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")]


def until(done: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


@dataclass
class Broker:
    port: int

    def client(self, name: str, *, clean: bool = True) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
        client.username_pw_set(name, f"{name}-secret")
        client.max_queued_messages_set(0)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        until(client.is_connected, f"{name} connecting")
        return client


def leave(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "mosquitto refuses the configuration"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path / "data"
    data.mkdir()
    passwords = tmp_path / "passwd"
    passwords.write_text("".join(f"{name}:{name}-secret\n" for name in ("collector", "pump-1")))
    assert MOSQUITTO is not None
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    rules = shutil.copy(DEPLOY / "mosquitto.acl", tmp_path / "acl")
    conf = (DEPLOY / "mosquitto.conf").read_text()
    for shipped, here in (
        ("listener 1883", f"listener {port} 127.0.0.1"),
        ("/mosquitto/data/passwd", str(passwords)),
        ("/mosquitto/config/acl", str(rules)),
        ("persistence_location /mosquitto/data/", f"persistence_location {data}/\nuser root"),
    ):
        conf = conf.replace(shipped, here)
    (tmp_path / "mosquitto.conf").write_text(conf)
    process = subprocess.Popen([MOSQUITTO, "-c", tmp_path / "mosquitto.conf"])
    try:
        until(lambda: answers(port, process), "mosquitto listening")
        yield Broker(port)
    finally:
        process.terminate()
        process.wait(10)


def test_it_queues_for_an_absent_collector_and_a_device_writes_below_its_own_uid_only(broker: Broker) -> None:
    collector = broker.client("collector", clean=False)
    subscribed: list[int] = []
    collector.on_subscribe = lambda *args: subscribed.append(1)
    collector.subscribe("meantime/#", qos=1)
    until(lambda: bool(subscribed), "the subscription")
    leave(collector)
    device = broker.client("pump-1")
    device.publish("meantime/pump-2/telemetry", b"forged", qos=1)
    sent = [device.publish("meantime/pump-1/telemetry", str(n).encode(), qos=1) for n in range(QUEUED)]
    until(lambda: all(message.is_published() for message in sent), "the broker's acknowledgements")
    leave(device)
    got: list[bytes] = []
    again = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="collector", clean_session=False)
    again.on_message = lambda client, userdata, message: got.append(bytes(message.payload))
    again.username_pw_set("collector", "collector-secret")
    again.connect("127.0.0.1", broker.port)
    again.loop_start()
    until(lambda: len(got) >= QUEUED, "the queued messages")
    leave(again)
    assert got == [str(n).encode() for n in range(QUEUED)]


def test_the_collector_alone_speaks_for_the_sparkplug_host_and_devices_hear_it(broker: Broker) -> None:
    heard: list[bytes] = []
    device = broker.client("pump-1")
    device.on_message = lambda client, userdata, message: heard.append(bytes(message.payload))
    device.subscribe("spBv1.0/STATE/plant", qos=1)
    forged = device.publish("spBv1.0/STATE/plant", b"forged", qos=1, retain=True)
    until(forged.is_published, "the device's try")
    collector = broker.client("collector")
    collector.publish("spBv1.0/STATE/plant", b"online", qos=1, retain=True)
    until(lambda: bool(heard), "the state at the device")
    leave(device)
    leave(collector)
    assert heard == [b"online"]


def test_nobody_enters_without_an_account(broker: Broker) -> None:
    stranger = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="stranger")
    refused: list[bool] = []
    stranger.on_connect = lambda client, userdata, flags, reason, properties: refused.append(
        reason.is_failure
    )
    stranger.connect("127.0.0.1", broker.port)
    stranger.loop_start()
    until(lambda: bool(refused), "an answer")
    leave(stranger)
    assert refused[0]
