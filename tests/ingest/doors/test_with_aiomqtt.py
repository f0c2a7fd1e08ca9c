"""A device written with aiomqtt, as most are: it goes through what a device goes through in its life."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest import registry
from kit.database import Conn, connect, rows, scalar
from tests.ingest.doors.conftest import Running
from tests.ingest.doors.helpers import DEADLINE, reading, until
from tests.ingest.doors.processes import Process
from tests.ingest.doors.test_faults import free_port, on

Start = Callable[..., Running]
VERSIONS = (ProtocolVersion.V311, ProtocolVersion.V5)
BOTH = pytest.mark.parametrize("version", VERSIONS, ids=["3.1.1", "5"])
TOPIC = "meantime/p-1/telemetry"
LIMIT = 262_144  # bytes of a packet


def device(port: int, token: str, version: ProtocolVersion, **more: Any) -> aiomqtt.Client:
    """The client as its documentation shows it; the session is kept where that can be asked for."""
    kept = {"clean_session": False} if version == ProtocolVersion.V311 else {"clean_start": False}
    given = {"username": "p-1", "password": token, "identifier": "p-1", "timeout": DEADLINE} | kept | more
    return aiomqtt.Client("127.0.0.1", port, protocol=version, **given)


@asynccontextmanager
async def connected(make: Callable[[], aiomqtt.Client]) -> AsyncIterator[aiomqtt.Client]:
    """The client once the end point lets it in; it may still have to come up."""
    end = asyncio.get_running_loop().time() + DEADLINE
    while True:
        client = make()
        try:
            await client.__aenter__()
            break
        except aiomqtt.MqttError:
            assert asyncio.get_running_loop().time() < end, "the end point did not come up"
            await asyncio.sleep(0.05)
    try:
        yield client
    finally:
        with suppress(aiomqtt.MqttError):  # where the connection has ended already, as some tests do to it
            await client.__aexit__(None, None, None)


def stored(db: Conn) -> set[int]:
    return {row["seq"] for row in rows(db, "select seq from ingest.telemetry")}


@BOTH
def test_what_is_acknowledged_is_there_though_the_end_point_is_killed_and_the_device_goes_on(
    dsn: str, db: Conn, devices: dict[str, str], version: ProtocolVersion
) -> None:
    port, sent = free_port(), 40
    acknowledged: set[int] = set()

    async def live(server: Process) -> None:
        waiting = list(range(1, sent + 1))
        killed = False
        while waiting:
            async with connected(lambda: device(port, devices["p-1"], version)) as client:
                await client.subscribe("meantime/p-1/command", qos=1)  # no session outlives the connection
                while waiting:
                    await client.publish(TOPIC, reading(waiting[0]), qos=1)
                    acknowledged.add(waiting.pop(0))
                    if len(acknowledged) == sent // 2:
                        under_way = asyncio.create_task(client.publish(TOPIC, reading(waiting[0]), qos=1))
                        await asyncio.sleep(
                            0
                        )  # it is said, and will be said again: nobody has acknowledged it
                        server.kill()
                        under_way.cancel()
                        assert acknowledged <= stored(db)
                        killed = True
                        server.start()
                        break
        assert killed

    with Process("ingest.endpoint", on(dsn, port)) as server:
        asyncio.run(asyncio.wait_for(live(server), 4 * DEADLINE))
    assert acknowledged == set(range(1, sent + 1))
    assert stored(db) == acknowledged
    assert scalar(db, "select count(*) from ingest.telemetry") == sent


@BOTH
def test_a_wrong_token_is_an_error_that_says_so(
    start: Start, devices: dict[str, str], version: ProtocolVersion
) -> None:
    port = start().port

    async def knock() -> None:
        async with device(port, devices["p-2"], version):
            pass

    with pytest.raises(aiomqtt.MqttError, match=r"(?i)bad user ?name or password"):
        asyncio.run(knock())


@BOTH
def test_a_command_is_heard_at_once_and_kept_for_who_comes_back(
    start: Start, devices: dict[str, str], version: ProtocolVersion
) -> None:
    port, topic = start().port, "meantime/p-1/command"

    async def hear(say: bytes | None) -> tuple[Any, bool]:
        async with device(port, devices["p-1"], version) as client:
            await client.subscribe(topic, qos=1)
            if say is not None:
                async with device(port, devices["p-1"], version, identifier="tool") as other:
                    await other.publish(topic, say, qos=1, retain=True)
            message = await asyncio.wait_for(anext(aiter(client.messages)), DEADLINE)
            return message.payload, message.retain

    assert asyncio.run(hear(b'{"do": "blink"}')) == (b'{"do": "blink"}', False)
    assert asyncio.run(hear(None)) == (b'{"do": "blink"}', True)


@BOTH
def test_a_will_tells_of_a_device_that_fell_over(
    start: Start, db: Conn, devices: dict[str, str], version: ProtocolVersion
) -> None:
    port = start().port
    will = aiomqtt.Will("meantime/p-1/status", json.dumps({"online": False, "reason": "will"}), 1, True)

    async def fall() -> None:
        async with connected(lambda: device(port, devices["p-1"], version, will=will)) as client:
            await client.publish("meantime/p-1/status", '{"online": true}', qos=1, retain=True)
            client._client.socket().shutdown(2)  # aiomqtt has no public way to fall over

    asyncio.run(fall())
    reasons = "select reason from ingest.device_state where not online"
    until(lambda: {"reason": "will"} in rows(db, reasons), "the will")
    until(lambda: scalar(db, "select online from ingest.device_status") is False, "being offline")


def test_a_backlog_in_arrays_is_stored_once_though_it_is_sent_twice(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    port = start().port
    day = [json.loads(reading(number)) for number in range(1440)]

    async def send() -> None:
        async with device(port, devices["p-1"], ProtocolVersion.V5) as client:
            for first in range(0, len(day), 120):
                await client.publish(TOPIC, json.dumps(day[first : first + 120]), qos=1)

    asyncio.run(send())
    asyncio.run(send())
    assert scalar(db, "select count(*) from ingest.telemetry") == len(day)


@pytest.mark.parametrize(
    ("version", "what"),
    [
        *((version, what) for version in VERSIONS for what in ("too large", "qos 2")),
        (ProtocolVersion.V5, "alias"),
    ],
)
def test_what_cannot_be_taken_is_an_error_for_the_sender_and_the_next_connection_is_welcome(
    start: Start, db: Conn, devices: dict[str, str], version: ProtocolVersion, what: str
) -> None:
    port = start().port
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 1
    given: dict[str, Any] = {
        "too large": {"payload": b"[" + b" " * LIMIT + b"]", "qos": 1},
        "qos 2": {"payload": reading(1), "qos": 2},
        "alias": {"payload": reading(1), "qos": 1, "properties": alias},
    }[what]

    async def fail() -> None:
        async with device(port, devices["p-1"], version) as client:
            said = asyncio.create_task(client.publish(TOPIC, timeout=4 * DEADLINE, **given))
            try:
                await anext(aiter(client.messages))  # where aiomqtt tells of the end of the connection
            finally:
                said.cancel()

    async def go_on() -> None:
        async with device(port, devices["p-1"], version) as client:
            await client.publish(TOPIC, reading(2), qos=1)

    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(asyncio.wait_for(fail(), DEADLINE))
    asyncio.run(go_on())
    assert stored(db) == {2}


@BOTH
def test_over_tls_a_device_that_checks_the_certificate_gets_in(
    start: Start, db: Conn, devices: dict[str, str], tmp_path: Path, version: ProtocolVersion
) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "crt.pem"],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    port = start(tls_certificate=tmp_path / "crt.pem", tls_key=tmp_path / "key.pem").port

    context = ssl.create_default_context(cafile=str(tmp_path / "crt.pem"))

    async def publish() -> None:
        async with device(port, devices["p-1"], version, tls_context=context) as client:
            await client.publish(TOPIC, reading(1), qos=1)

    asyncio.run(publish())
    assert stored(db) == {1}


def test_five_hundred_devices_at_once_all_get_their_acknowledgements(
    start: Start, dsn: str, db: Conn, devices: dict[str, str]
) -> None:
    port, count = start().port, 500
    with connect(dsn, autocommit=True) as conn:
        tokens = {f"m-{at}": registry.provision(conn, f"m-{at}", "pump-p100").token for at in range(count)}

    async def one(uid: str, token: str) -> None:
        async with aiomqtt.Client(
            "127.0.0.1", port, username=uid, password=token, identifier=uid, timeout=4 * DEADLINE
        ) as client:
            await asyncio.gather(
                *(client.publish(f"meantime/{uid}/telemetry", reading(at), qos=1) for at in range(4))
            )

    async def herd() -> None:
        await asyncio.gather(*(one(uid, token) for uid, token in tokens.items()))

    asyncio.run(herd())
    assert scalar(db, "select count(*) from ingest.telemetry") == 4 * count
