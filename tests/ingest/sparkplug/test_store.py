"""Sparkplug messages through the store: rows, states, faults; and what a gap, a restart or a redelivery does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from ingest.message import Arrival
from ingest.sparkplug.codec import Metric, Type, decode
from ingest.sparkplug.translate import rebirth
from ingest.store import Store, Written
from kit.database import Conn, rows, scalar
from kit.settings import Ingest
from tests.ingest.core.conftest import NOW, dump, ms, take
from tests.ingest.sparkplug.edge import PUMP, Edge


def stored(conn: Conn, uid: str = "G:E:a") -> list[dict[str, float]]:
    """The readings of a device, oldest first."""
    found = rows(
        conn,
        """select s.metrics, t."values" from ingest.telemetry t join ingest.device d on d.id = t.device_id
           join ingest.shape s on s.id = t.shape_id where d.uid = %s order by t.ts, t.seq""",
        (uid,),
    )
    return [dict(zip(row["metrics"], row["values"], strict=True)) for row in found]


def letters(conn: Conn) -> list[str]:
    found = conn.execute("select reason from ingest.dead_letter where replayed_at is null order by id")
    return [reason for (reason,) in found]


def hear(conn: Conn, arrivals: Iterable[Arrival], **settings: Any) -> Written:
    """By a store that remembers nothing, as after a restart."""
    return take(conn, Store(Ingest(**settings), door="collector"), arrivals)


def test_data_by_alias_is_stored_by_name_type_and_unit_of_its_birth(plant: Conn, store: Store) -> None:
    edge = Edge()
    written = take(plant, store, [
        edge.birth(), edge.device_birth("a", (1.5, 212, -3 & 0xFFFF)),
        edge.data("a", vibration=2.5), edge.data("a", temperature=32, flow=7),
    ])  # fmt: skip
    assert stored(plant) == [
        {"temperature": pytest.approx(100), "vibration": 1.5}, {"vibration": 2.5},
        {"flow": 7, "temperature": pytest.approx(0)},
    ]  # fmt: skip
    assert written.refused == {"out_of_range": 1}  # a flow of -3
    assert written.commands == []
    assert letters(plant) == []


def test_births_and_deaths_are_states_of_the_node_and_of_all_its_devices(plant: Conn, store: Store) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5)), edge.device_birth("b", (1, 70, 5))])
    take(plant, store, [edge.send("DDEATH", "b"), edge.death()])
    found = rows(
        plant,
        """select uid, online, reason from ingest.device_state s join ingest.device d on d.id = device_id
           order by uid, ts""",
    )
    assert [tuple(row.values()) for row in found] == [
        ("G:E", True, "birth"), ("G:E", False, "death"), ("G:E:a", True, "birth"), ("G:E:a", False, "death"),
        ("G:E:b", True, "birth"), ("G:E:b", False, "death"),
    ]  # fmt: skip


def test_the_births_survive_a_restart_of_the_writer(plant: Conn) -> None:
    edge = Edge()
    hear(plant, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    assert hear(plant, [edge.data("a", vibration=2)]).commands == []
    assert [row.get("vibration") for row in stored(plant)] == [1, 2]


def test_a_gap_asks_once_for_a_rebirth_and_what_waited_is_read_after_it(plant: Conn, store: Store) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    edge.data("a", vibration=9)  # lost
    written = take(plant, store, [edge.data("a", vibration=3), edge.data("a", vibration=4)])
    ((topic, payload),) = written.commands
    assert topic == "spBv1.0/G/NCMD/E"
    assert decode(payload).find("Node Control/Rebirth") is True
    assert letters(plant) == ["no_birth", "no_birth"]
    assert hear(plant, [edge.data("a", vibration=5)]).commands == []  # asked a moment ago, by whoever

    take(plant, store, [edge.birth(), edge.device_birth("a", (6, 70, 5))])
    assert [row["vibration"] for row in stored(plant)] == [1, 3, 4, 5, 6]
    assert letters(plant) == []


def test_data_before_any_birth_waits_and_asks(plant: Conn, store: Store) -> None:
    edge = Edge()
    edge.birth(), edge.device_birth("a", (1, 70, 5))  # nobody listened
    assert len(take(plant, store, [edge.data("a", vibration=3)]).commands) == 1
    named = edge.send("DDATA", "a", Metric("Vibration", datatype=Type.FLOAT, raw=4.0))
    take(plant, store, [named])  # by name it needs no birth
    assert [row["vibration"] for row in stored(plant)] == [4]
    assert letters(plant) == ["no_birth"]


def test_a_device_whose_birth_was_never_heard_is_asked_for_though_its_node_was_born(
    plant: Conn, store: Store
) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    edge.aliases["b", "Vibration"] = 99
    (asked,) = take(plant, store, [edge.data("b", vibration=2)]).commands
    assert asked[0] == "spBv1.0/G/NCMD/E"
    assert letters(plant) == ["no_birth"]
    reborn = [edge.data("b", vibration=3), edge.birth(), edge.device_birth("b", (4, 70, 5))]
    plant.execute("update ingest.sparkplug_node set asked_at = null")
    assert take(plant, store, reborn).commands == []  # the births came with it: nothing is left to ask for
    assert [row["vibration"] for row in stored(plant, "G:E:b")] == [2, 3, 4]


def test_a_death_that_names_no_connection_is_believed(plant: Conn, store: Store) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    take(plant, store, [edge.death()._replace(payload=b"")])
    assert scalar(plant, "select bool_or(online) from ingest.device_status") is False


def test_redelivery_changes_nothing(plant: Conn) -> None:
    edge = Edge()
    messages = [edge.birth(), edge.device_birth("a", (1, 70, 5))]
    messages += [edge.data("a", vibration=n % 50) for n in range(300)]
    hear(plant, messages)
    before = dump(plant), rows(plant, "select node, seq, born, births from ingest.sparkplug_node")
    again = hear(plant, messages[-120:])
    assert (again.rows, again.duplicates, again.commands) == (0, 120, [])
    assert (dump(plant), rows(plant, "select node, seq, born, births from ingest.sparkplug_node")) == before
    hear(plant, [edge.data("a", vibration=44)])
    assert stored(plant)[-1] == {"vibration": 44}


def test_a_transaction_undone_moves_no_sequence(plant: Conn, store: Store) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    message = edge.data("a", vibration=2)
    with plant.transaction(force_rollback=True):
        store.write(plant, [message])
    store.rolled_back()
    assert take(plant, store, [message]).rows == 1
    assert take(plant, store, [edge.data("a", vibration=3)]).commands == []


def test_history_is_stored_at_its_own_time_and_is_not_the_present(plant: Conn, store: Store) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    last = scalar(plant, "select max(last_ts) from ingest.device_status")
    old = NOW - timedelta(days=2)
    past = [Metric(None, 1, ms(old) + n, raw=float(n), historical=True) for n in (10, 20)]
    take(plant, store, [edge.send("DDATA", "a", *past)])
    assert [row["vibration"] for row in stored(plant)] == [10, 20, 1]
    assert scalar(plant, "select max(last_ts) from ingest.device_status") == last


def test_a_fault_is_raised_and_cleared(plant: Conn, store: Store) -> None:
    edge = Edge()
    named = (*PUMP[:1], ("Faults/E1", Type.BOOLEAN, None))
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, True), named)])
    take(plant, store, [edge.send("DDATA", "a", Metric(None, 2, raw=False))])
    found = plant.execute("select code, active from ingest.fault_event order by ts").fetchall()
    assert found == [("E1", True), ("E1", False)]


def test_null_transient_text_and_not_a_number(plant: Conn, store: Store) -> None:
    edge = Edge()
    take(plant, store, [edge.birth(), edge.send(
        "DDATA", "a", Metric("Vibration", datatype=Type.FLOAT, null=True), Metric("Flow", raw=1.0, transient=True),
        Metric("Temperature", datatype=Type.DOUBLE, raw=float("nan")), Metric("Flow", raw="high"),
        Metric("Properties/Maker", raw="x"),
    )])  # fmt: skip
    assert stored(plant) == []
    found = plant.execute("select item, reason from ingest.quarantine order by item").fetchall()
    assert found == [("flow", "not_a_number"), ("temperature", "not_finite")]


def test_an_edge_node_speaks_for_its_own_devices_only(plant: Conn, store: Store) -> None:
    edge = Edge(login="G:E")
    take(plant, store, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    edge.login = "P-1"
    take(plant, store, [edge.data("a", vibration=2)])
    assert len(stored(plant)) == 1
    assert letters(plant) == ["wrong_device"]
    edge.login, edge.seq = "G:E", edge.seq - 1  # the stranger's message moved nothing
    assert take(plant, store, [edge.data("a", vibration=3)]).commands == []


def test_bytes_that_are_no_payload_are_refused_and_stop_nothing(plant: Conn, store: Store) -> None:
    edge = Edge()
    bad = Arrival("spBv1.0/G/DDATA/E/a", b"\xff\xff", None, "edge", NOW)
    take(plant, store, [edge.birth(), bad, edge.device_birth("a", (1, 70, 5))])
    assert (letters(plant), len(stored(plant))) == (["malformed"], 1)


def test_unknown_devices_are_registered_by_policy(plant: Conn) -> None:
    edge = Edge()
    hear(plant, [edge.birth(), edge.device_birth("new", (1, 70, 5))], unknown_devices="register")
    assert len(stored(plant, "G:E:new")) == 1


def test_two_writers_may_share_an_edge_node(plant: Conn) -> None:
    edge, one, other = Edge(), Store(Ingest(), door="collector"), Store(Ingest(), door="collector")
    take(plant, one, [edge.birth(), edge.device_birth("a", (1, 70, 5))])
    take(plant, other, [edge.data("a", vibration=2)])
    edge.aliases.clear()
    take(
        plant, other, [edge.device_birth("a", (3,), (("Flow", Type.INT16, None),))]
    )  # alias 1 now means flow
    assert take(plant, one, [edge.data("a", flow=4)]).commands == []
    assert stored(plant)[-1] == {"flow": 4}


def test_the_command_has_a_time_and_no_sequence() -> None:
    found = decode(rebirth())
    assert found.seq is None
    assert found.ts is not None
