"""The end point as a device sees it, with real clients of both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, V311, Reason
from kit.database import Conn, rows, scalar
from tests.ingest.doors.conftest import Running
from tests.ingest.doors.helpers import Raw, reading, until

Start = Callable[..., Running]
TOPIC = "meantime/p-1/telemetry"


def stored(db: Conn) -> int:
    return int(scalar(db, "select count(*) from ingest.telemetry"))


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
def test_paho_gets_its_acknowledgement_and_the_row_is_there(
    start: Start, db: Conn, devices: dict[str, str], version: int
) -> None:
    running = start()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="c", protocol=version)
    client.username_pw_set("p-1", devices["p-1"])
    connected = Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", running.port)
    client.loop_start()
    assert connected.wait(10)
    for number in range(20):
        client.publish(TOPIC, reading(number), qos=1).wait_for_publish(10)
        assert stored(db) == number + 1
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("version", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5])
def test_aiomqtt_gets_its_acknowledgements_and_the_rows_are_there(
    start: Start, db: Conn, devices: dict[str, str], version: aiomqtt.ProtocolVersion
) -> None:
    running = start()

    async def publish() -> None:
        async with aiomqtt.Client(
            "127.0.0.1", running.port, username="p-1", password=devices["p-1"], protocol=version
        ) as client:
            await asyncio.gather(*(client.publish(TOPIC, reading(number), qos=1) for number in range(15)))

    asyncio.run(publish())
    assert stored(db) == 15
