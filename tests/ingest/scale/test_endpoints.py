"""Several end points around one database, guests, and ThingsBoard's clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest import registry
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, V311
from kit.database import Conn, rows, scalar
from kit.errors import Misconfigured
from kit.settings import Collector, Settings
from kit.settings import Endpoint as EndpointSettings
from meantime import processes
from tests.ingest.doors.conftest import Running
from tests.ingest.doors.helpers import Raw, reading, until
from tests.ingest.doors.processes import Process
from tests.ingest.doors.test_faults import free_port

Start = Callable[..., Running]


def ack(client: Raw) -> int:
    answer = client.receive()
    assert isinstance(answer, p.Ack), answer
    return answer.reason


def states(db: Conn, uid: str) -> list[tuple[bool, str]]:
    found = db.execute(
        """select online, reason from ingest.device_state s join ingest.device d on d.id = device_id
           where uid = %s order by ts""",
        (uid,),
    )
    return found.fetchall()


def test_a_client_that_moves_to_another_end_point_is_put_out_of_the_old_one_and_stays_online(
    start: Start,
    db: Conn,
    devices: dict[str, str],
) -> None:
    one, other = start(suffix="-1"), start(suffix="-2")
    will = p.Will("meantime/p-1/status", b'{"online": false, "reason": "will"}', 1, False)
    with Raw(one.port, version=V5) as old, Raw(other.port, version=V5) as new:
        assert old.connect("p-1", devices["p-1"], will=will).reason == 0
        until(lambda: states(db, "p-1"))
        assert new.connect("p-1", devices["p-1"]).reason == 0
        farewell = old.receive()
        assert isinstance(farewell, p.Disconnect)
        assert farewell.reason == 0x8E
        new.publish("meantime/p-1/telemetry", reading(1))
        assert ack(new) == 0
        assert states(db, "p-1") == [(True, "connected"), (True, "connected")]
        assert scalar(db, "select count(*) from ingest.session") == 1
    until(lambda: states(db, "p-1")[-1] == (False, "connection_lost"))
    names = [row["name"] for row in rows(db, "select name from kit.process order by name")]
    assert names == ["endpoint-1", "endpoint-2"]


def test_a_connection_that_breaks_after_the_device_has_moved_says_nothing_of_it(
    start: Start,
    db: Conn,
    devices: dict[str, str],
) -> None:
    one, other = start(suffix="-1"), start(suffix="-2")
    will = p.Will("meantime/p-1/status", b'{"online": false, "reason": "will"}', 1, False)
    with Raw(other.port) as new:
        with Raw(one.port) as old:
            old.connect("p-1", devices["p-1"], will=will)
            new.connect("p-1", devices["p-1"])
        until(lambda: one.endpoint.detail()["connections"] == 0)
        new.publish("meantime/p-1/telemetry", reading(1))
        assert ack(new) == 0
        assert all(online for online, _ in states(db, "p-1"))


def test_end_points_of_one_machine_share_the_port(dsn: str, db: Conn, devices: dict[str, str]) -> None:
    port = free_port()
    both = Settings(database_url=dsn, endpoint=EndpointSettings(port=port, processes=2))
    with Process("ingest.endpoint", both), Process("ingest.endpoint", both, suffix="-2"):
        ready = (
            "select count(*) = 2 from kit.process where name like 'endpoint%' and (detail->>'port')::int > 0"
        )
        until(lambda: scalar(db, ready))
        reached = "select count(*) from ingest.session s join ingest.door d on d.id = s.door"
        clients = []
        for number in range(40):
            client = Raw(port)
            clients.append(client)
            assert client.connect("p-1", devices["p-1"], client_id=f"c{number}").reason == 0
            client.publish("meantime/p-1/telemetry", reading(number + 1))
            assert ack(client) == 0
        assert scalar(db, reached) == 40
        assert scalar(db, "select count(distinct door) from ingest.session") == 2
        for client in clients:
            client.socket.close()
    assert scalar(db, "select count(*) from ingest.telemetry") == 40


@pytest.mark.parametrize("version", [V311, V5])
def test_a_thingsboard_client_publishes_telemetry_and_its_other_topics_are_dropped(
    start: Start,
    db: Conn,
    devices: dict[str, str],
    version: int,
) -> None:
    with Raw(start().port, version=version) as client:
        assert client.connect(devices["p-1"], None, client_id="tb").reason == 0  # the token as user name
        client.send(p.Subscribe(9, (("v1/devices/me/rpc/request/+", 1), ("v1/devices/me/attributes", 1))))
        answer = client.receive()
        assert isinstance(answer, p.SubAck)
        assert answer.reasons == (0, 0)
        client.publish("v1/devices/me/telemetry", b'{"vibration": 2.5}', 1)
        client.publish("v1/devices/me/attributes", b'{"firmware": "1.2"}', 2)
        client.publish("v1/devices/me/telemetry", json.dumps([{"vibration": 3}]).encode(), 3)
        assert [ack(client) for _ in range(3)] == [0, 0, 0]
        until(lambda: scalar(db, "select count(*) from ingest.telemetry") == 2)
        assert scalar(db, "select count(*) from ingest.dead_letter") == 0


def test_a_mapped_topic_is_accepted_from_its_own_device_only(
    start: Start,
    db: Conn,
    devices: dict[str, str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "map.toml"
    file.write_text(
        '[[mapping]]\ntopic = "plant/{uid}/data"\n[[mapping.value]]\nmetric = "vibration"\npath = "v"\n'
    )
    with Raw(start(mappings=file).port, version=V5) as client:
        client.connect("p-1", devices["p-1"])
        client.publish("plant/p-1/data", b'{"v": 2}', 1)
        client.publish("plant/p-2/data", b'{"v": 2}', 2)
        assert sorted(ack(client) for _ in range(2)) == [0, 0x87]
        until(lambda: scalar(db, "select count(*) from ingest.telemetry") == 1)


def test_a_guest_is_registered_by_its_first_message_where_the_policy_says_so(
    start: Start,
    db: Conn,
    devices: dict[str, str],
) -> None:
    running = start(anonymous=True, unknown_devices="register")

    def come(uid: str) -> int:
        with Raw(running.port, version=V5) as client:
            answer = client.connect(uid, None, username=None)
            if answer.reason == 0:
                client.publish(f"meantime/{uid}/telemetry", reading(1))
                assert ack(client) == 0
            return answer.reason

    assert come("new-1") == 0
    until(lambda: [online for online, _ in states(db, "new-1")] == [True, False])
    assert come("new-1") == 0  # it has no token yet
    assert come("p-1") == 0x86  # this one has, and shall show it
    assert come("no such uid!") == 0x86
    registry.rotate(db, "new-1")
    assert come("new-1") == 0x86
    assert scalar(db, "select count(*) from ingest.dead_letter") == 0


def test_without_the_setting_nobody_comes_in_unnamed(start: Start, devices: dict[str, str]) -> None:
    with Raw(start(unknown_devices="register").port, version=V5) as client:
        assert client.connect("new-1", None, username=None).reason == 0x86


def test_the_family_has_as_many_doors_as_are_set() -> None:
    many = Settings(
        database_url="postgresql://",
        endpoint=EndpointSettings(processes=3),
        collector=Collector(host="broker", processes=2, group="g"),
    )
    names = processes.core(many)
    assert [name for name in names if name.startswith("endpoint")] == ["endpoint", "endpoint-2", "endpoint-3"]
    assert [name for name in names if name.startswith("collector")] == ["collector", "collector-2"]
    assert all(processes.known(name) for name in names)
    assert not processes.known("storage-2")
    alone = many.model_copy(update={"collector": Collector(host="broker", processes=2)})
    with pytest.raises(Misconfigured, match="MEANTIME_COLLECTOR__GROUP"):
        processes.core(alone)


def test_an_end_point_that_the_others_took_for_dead_and_forgot_lets_devices_in_again(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    port = start().port
    door = until(lambda: scalar(db, "select max(id) from ingest.door"))
    db.execute("delete from ingest.door")  # as another one does after an hour's silence
    until(
        lambda: scalar(db, "select max(id) from ingest.door where id > %s", (door,)), "the door, open again"
    )
    with Raw(port, version=V5) as device:
        assert device.connect("p-1", devices["p-1"]).reason == 0
