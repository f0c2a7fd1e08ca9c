"""The end point as a device sees it, with real clients of both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest import registry
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


def test_a_token_alone_as_user_name_is_enough(start: Start, devices: dict[str, str]) -> None:
    with Raw(start().port) as device:
        assert device.connect(devices["p-1"], None, client_id="x").reason == 0


@pytest.mark.parametrize(("version", "code"), [(V311, 4), (V5, Reason.BAD_CREDENTIALS)])
def test_a_wrong_password_is_refused_and_the_stranger_is_listed(
    start: Start, db: Conn, version: int, code: int
) -> None:
    running = start()
    for _ in range(2):
        with Raw(running.port, version=version) as device:
            assert device.connect("stranger", "wrong").reason == code
            assert device.receive() is None
    with Raw(running.port, version=version) as device:
        assert device.connect("secret-token-of-somebody", None, client_id="thermostat").reason == code
        assert device.receive() is None
    assert rows(db, "select uid, door, messages from ingest.unknown_device order by uid") == [
        {"uid": "stranger", "door": "endpoint", "messages": 2},
        {"uid": "thermostat", "door": "endpoint", "messages": 1},
    ]
    assert running.endpoint.detail()["turned_away"] == 3


def test_publishing_as_another_is_refused_and_stores_nothing(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    with Raw(running.port, version=V5) as device:
        device.connect("p-1", devices["p-1"])
        device.publish(TOPIC, reading(0), 1)
        device.publish("meantime/p-2/telemetry", reading(1), 2)
        device.publish(TOPIC, reading(2), 3)
        answers = [device.receive() for _ in range(3)]
    assert answers == [p.Ack(p.PUBACK, 2), p.Ack(p.PUBACK, 3, Reason.NOT_AUTHORIZED), p.Ack(p.PUBACK, 4)]
    assert stored(db) == 2
    with Raw(running.port) as device:
        device.connect("p-1", devices["p-1"])
        device.publish("meantime/p-2/telemetry", reading(1))
        assert device.receive() is None  # 3.1.1 cannot be told
    assert stored(db) == 2
    assert running.endpoint.refused == 2


def test_qos_0_is_stored_without_an_answer(start: Start, db: Conn, devices: dict[str, str]) -> None:
    with Raw(start().port) as device:
        device.connect("p-1", devices["p-1"])
        device.publish(TOPIC, reading(0), qos=0)
        device.send(p.PingReq())
        assert device.receive() == p.PingResp()
        until(lambda: stored(db) == 1)


def test_qos_2_ends_the_connection_with_its_reason(start: Start, db: Conn, devices: dict[str, str]) -> None:
    with Raw(start().port, version=V5) as device:
        assert device.connect("p-1", devices["p-1"]).max_qos == 1
        device.publish(TOPIC, reading(0), qos=2)
        assert device.receive() == p.Disconnect(Reason.QOS_NOT_SUPPORTED)
    assert stored(db) == 0


def test_a_duplicate_client_id_takes_the_older_connection_over(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    with Raw(running.port, version=V5) as first, Raw(running.port, version=V5) as second:
        will = p.Will("meantime/p-1/status", b'{"online": false, "reason": "will"}', 1, True)
        first.connect("p-1", devices["p-1"], will=will)
        second.connect("p-1", devices["p-1"])
        assert first.receive() == p.Disconnect(Reason.TAKEN_OVER)
        assert first.receive() is None
        second.publish(TOPIC, reading(1))
        assert second.receive() == p.Ack(p.PUBACK, 2)
        until(lambda: running.endpoint.detail()["connections"] == 1)
        # The device never went: no will, no offline, and the session row is that of the second connection.
        assert rows(db, "select distinct online from ingest.device_state") == [{"online": True}]
        assert scalar(db, "select count(*) from ingest.session where will_topic is null") == 1


def test_two_devices_with_the_same_client_id_do_not_disturb_each_other(
    start: Start, devices: dict[str, str]
) -> None:
    running = start()
    with Raw(running.port) as one, Raw(running.port) as other:
        one.connect("p-1", devices["p-1"], client_id="same")
        other.connect("p-2", devices["p-2"], client_id="same")
        one.publish(TOPIC, reading(1))
        assert one.receive() == p.Ack(p.PUBACK, 2)


def test_the_will_is_published_after_an_unclean_end_and_not_after_goodbye(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    will = p.Will("meantime/p-1/status", b'{"online": false, "reason": "will"}', 1, True)
    with Raw(running.port) as device:
        device.connect("p-1", devices["p-1"], will=will)
        device.send(p.Disconnect())
        assert device.receive() is None
    until(lambda: scalar(db, "select count(*) from ingest.session") == 0)
    assert [row["reason"] for row in states(db)] == ["connected", "disconnected"]
    with Raw(running.port) as device:
        device.connect("p-1", devices["p-1"], will=will)
    until(lambda: scalar(db, "select count(*) from ingest.session") == 0)
    assert {row["reason"] for row in states(db)[2:]} == {"connected", "will", "connection_lost"}
    assert scalar(db, "select online from ingest.device_status") is False
    with Raw(running.port) as other:
        other.connect("p-1", devices["p-1"], client_id="watcher")
        other.send(p.Subscribe(1, (("meantime/p-1/status", 0),)))
        assert other.receive() == p.SubAck(1, (0,))
        assert other.receive() == p.Publish(will.topic, will.payload, 0, True)


def states(db: Conn) -> list[dict[str, object]]:
    return rows(db, "select online, reason from ingest.device_state order by id")


def test_a_retained_status_survives_a_restart_and_an_empty_one_removes_it(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    status, payload = "meantime/p-1/status", b'{"online": true, "reason": "reported"}'
    first = start()
    with Raw(first.port) as device:
        device.connect("p-1", devices["p-1"])
        device.publish(status, payload, retain=True)
        assert device.receive() == p.Ack(p.PUBACK, 2)
    first.stop()
    with Raw(start().port) as device:
        device.connect("p-1", devices["p-1"])
        device.send(p.Subscribe(1, (("meantime/p-1/#", 0),)))
        assert device.receive() == p.SubAck(1, (0,))
        assert device.receive() == p.Publish(status, payload, 0, True)
        device.publish(status, b"", retain=True)
        assert device.receive() == p.Ack(p.PUBACK, 2)
    assert scalar(db, "select count(*) from ingest.retained") == 0


def test_a_device_hears_only_what_is_said_to_it(start: Start, devices: dict[str, str]) -> None:
    with Raw(start().port, version=V5) as device:
        device.connect("p-1", devices["p-1"])
        asked = [
            "meantime/p-1/command",
            "meantime/p-2/status",
            "#",
            "$share/g/meantime/p-1/command",
            "meantime/p-1/+",
        ]
        device.send(p.Subscribe(7, tuple((name, 1) for name in asked)))
        no = Reason.NOT_AUTHORIZED
        assert device.receive() == p.SubAck(7, (0, no, no, no, 0))
        device.send(p.Unsubscribe(8, ("meantime/p-1/+", "never")))
        assert device.receive() == p.UnsubAck(8, (0, Reason.NO_SUBSCRIPTION))


def test_two_connections_of_a_device_hear_its_retained_messages(
    start: Start, devices: dict[str, str]
) -> None:
    running = start()
    with Raw(running.port) as one, Raw(running.port) as other:
        one.connect("p-1", devices["p-1"], client_id="one")
        other.connect("p-1", devices["p-1"], client_id="other")
        one.send(p.Subscribe(1, (("meantime/p-1/command", 0),)))
        assert one.receive() == p.SubAck(1, (0,))
        other.publish("meantime/p-1/command", b'{"do": "report"}', retain=True)
        assert one.receive() == p.Publish("meantime/p-1/command", b'{"do": "report"}')


def test_a_retained_message_larger_than_the_device_can_take_is_not_sent(
    start: Start, devices: dict[str, str]
) -> None:
    with Raw(start().port, version=V5) as device:
        device.connect("p-1", devices["p-1"], max_packet=100)
        device.publish("meantime/p-1/command", b"x" * 200, 1, retain=True)
        device.publish("meantime/p-1/status", b'{"online": true}', 2, retain=True)
        assert [device.receive() for _ in range(2)] == [p.Ack(p.PUBACK, 2), p.Ack(p.PUBACK, 3)]
        device.send(p.Subscribe(1, (("meantime/p-1/#", 0),)))
        assert device.receive() == p.SubAck(1, (0,))
        assert device.receive() == p.Publish("meantime/p-1/status", b'{"online": true}', 0, True)


def test_messages_right_behind_connect_are_not_lost(start: Start, db: Conn, devices: dict[str, str]) -> None:
    with Raw(start().port) as device:
        device.send(
            p.Connect(V311, "c", username="p-1", password=devices["p-1"].encode()),
            *(
                p.Publish(TOPIC, reading(number), 1, False, number.to_bytes(2, "big"))
                for number in range(1, 6)
            ),
        )
        assert isinstance(device.receive(), p.ConnAck)
        assert [device.receive() for _ in range(5)] == [p.Ack(p.PUBACK, number) for number in range(1, 6)]
    assert stored(db) == 5


def test_who_speaks_no_mqtt_is_hung_up_on(start: Start) -> None:
    running = start()
    tls_hello, ping, no_connect = b"\x16\x03\x01\x02\x00\x01", b"\xc0\x00", b"\x10\x01\x00"
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 20, tls_hello, ping, no_connect):
        with Raw(running.port) as device:
            device.socket.sendall(noise)
            assert device.receive() is None
    until(lambda: running.endpoint.detail()["connections"] == 0)


def test_an_old_protocol_version_is_named_in_the_refusal(start: Start) -> None:
    with Raw(start().port) as device:
        device.socket.sendall(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00")
        assert device.receive() == p.ConnAck(reason=1)


def test_a_malformed_or_oversized_packet_ends_the_connection_with_its_reason(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    wrong = [
        (b"\x30\x80\x80\x40", Reason.PACKET_TOO_LARGE),
        (b"\x00\x00", Reason.MALFORMED),
        (b"\x30\x06\x00\x03a\xffb\x00", Reason.MALFORMED),
        (b"\x30\x06\x00\x03a/#\x00", Reason.TOPIC_NAME_INVALID),
        (b"\x20\x02\x00\x00", Reason.MALFORMED),
    ]
    for number, (data, reason) in enumerate(wrong):
        with Raw(running.port, version=V5) as device:
            assert device.connect("p-1", devices["p-1"]).max_packet == 262_144
            device.publish(TOPIC, reading(number))
            device.socket.sendall(data)
            said = [device.receive(), device.receive(), device.receive()]
            assert p.Disconnect(reason) in said
    until(lambda: stored(db) == len(wrong), "what came before the broken packets")
    assert running.endpoint.malformed == len(wrong)


def test_more_in_flight_than_allowed_ends_the_connection(
    start: Start, db: Conn, dsn: str, devices: dict[str, str]
) -> None:
    running = start(buffer_messages=100)
    with Raw(running.port, version=V5) as device:
        assert device.connect("p-1", devices["p-1"]).receive_maximum == 100
        with db.transaction():
            db.execute("lock table ingest.device_status, ingest.telemetry, ingest.batch")
            packets = [p.Publish(TOPIC, reading(n), 1, False, n.to_bytes(2, "big")) for n in range(1, 400)]
            device.send(*packets)
            assert device.receive() == p.Disconnect(Reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_silence_beyond_the_keep_alive_ends_the_connection(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    with Raw(start(keep_alive_seconds=5).port, version=V5) as device:
        assert device.connect("p-1", devices["p-1"], keep_alive=1).keep_alive is None
        assert device.receive() == p.Disconnect(Reason.KEEP_ALIVE_TIMEOUT)
    until(lambda: [row["reason"] for row in states(db)] == ["connected", "keep_alive"])


def test_a_longer_keep_alive_than_granted_is_cut(start: Start, devices: dict[str, str]) -> None:
    with Raw(start(keep_alive_seconds=5).port, version=V5) as device:
        assert device.connect("p-1", devices["p-1"], keep_alive=600).keep_alive == 5


def test_more_connections_than_allowed_are_refused(start: Start, devices: dict[str, str]) -> None:
    running = start(max_connections=1)
    with Raw(running.port) as first, Raw(running.port) as second:
        assert first.connect("p-1", devices["p-1"]).reason == 0
        assert isinstance(second.receive(), p.ConnAck)
        assert second.receive() is None


def test_a_will_on_anothers_topic_is_refused(start: Start, db: Conn, devices: dict[str, str]) -> None:
    with Raw(start().port, version=V5) as device:
        answer = device.connect("p-1", devices["p-1"], will=p.Will("meantime/p-2/status", b"{}"))
        assert answer.reason == Reason.NOT_AUTHORIZED
    until(lambda: scalar(db, "select count(*) from ingest.session") == 0)


def test_a_revoked_device_is_put_out_within_seconds(start: Start, db: Conn, devices: dict[str, str]) -> None:
    running = start()
    with Raw(running.port, version=V5) as one, Raw(running.port, version=V5) as other:
        one.connect("p-1", devices["p-1"])
        other.connect("p-2", devices["p-2"])
        until(lambda: scalar(db, "select count(*) from kit.process"))
        registry.revoke(db, "p-1")
        assert one.receive() == p.Disconnect(Reason.NOT_AUTHORIZED)
        other.send(p.PingReq())
        assert other.receive() == p.PingResp()
        with Raw(running.port, version=V5) as again:
            assert again.connect("p-1", devices["p-1"]).reason == Reason.BAD_CREDENTIALS


def test_a_revoked_device_is_offline_and_leaves_no_dead_letter(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    will = p.Will("meantime/p-1/status", b'{"online": false, "reason": "will"}', 1, False)
    with Raw(running.port, version=V5) as device:
        device.connect("p-1", devices["p-1"], will=will)
        online = "select online from ingest.device_status"
        until(lambda: scalar(db, online))
        registry.revoke(db, "p-1")
        assert device.receive() == p.Disconnect(Reason.NOT_AUTHORIZED)
    assert scalar(db, online) is False
    until(lambda: scalar(db, "select count(*) from ingest.session") == 0)
    assert scalar(db, "select reason from ingest.device_state order by ts desc, id desc limit 1") == "revoked"
    assert scalar(db, "select count(*) from ingest.dead_letter") == 0


def test_a_known_device_with_a_wrong_password_is_no_unknown_device(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    for uid in ("p-1", "stranger"):
        with Raw(running.port, version=V5) as device:
            assert device.connect(uid, "wrong").reason == Reason.BAD_CREDENTIALS
    until(lambda: scalar(db, "select count(*) from ingest.unknown_device"))
    assert db.execute("select uid from ingest.unknown_device").fetchall() == [("stranger",)]


def test_a_herd_is_admitted_and_refused_one_by_one_in_one_query(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    shown = [
        ("p-1", devices["p-1"]),
        ("p-1", devices["p-2"]),
        (devices["p-3"], None),
        ("nul\0", "x"),
        ("p-2", ""),
    ]
    found = registry.authenticate_all(db, shown)
    assert [device and device.uid for device in found] == ["p-1", None, "p-3", None, None]
    assert registry.authenticate_all(db, []) == []
    assert [one and one.id for one in registry.guests(db, ["new", "p-1", "no such!"])] == [0, None, None]


def test_a_graceful_stop_stores_acknowledges_and_says_goodbye(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start(linger_ms=400)
    with Raw(running.port, version=V5) as device:
        device.connect("p-1", devices["p-1"])
        device.publish(TOPIC, reading(1))
        until(lambda: running.endpoint.received == 2)
        running.stop()
        assert device.receive() == p.Ack(p.PUBACK, 2)
        assert device.receive() == p.Disconnect(Reason.SHUTTING_DOWN)
    assert stored(db) == 1


def test_the_pulse_shows_the_live_figures(start: Start, db: Conn, devices: dict[str, str]) -> None:
    with Raw(start().port) as device:
        device.connect("p-1", devices["p-1"])
        device.publish(TOPIC, reading(1))
        assert device.receive() == p.Ack(p.PUBACK, 2)
        detail = until(
            lambda: scalar(
                db, "select detail from kit.process where name = 'endpoint' and (detail->>'acked')::int = 1"
            )
        )
    assert (detail["connections"], detail["buffer"], detail["high_water"], detail["paused"]) == (
        1,
        0,
        40_000,
        False,
    )
