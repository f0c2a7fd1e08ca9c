"""One write: what is stored, what is refused, and that order, repetition and company do not matter."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import errors

from ingest import registry, storage, worker
from ingest.message import Arrival, Item, Row
from ingest.store import Columns, Store
from ingest.topics import Target
from kit.database import Conn, connect, scalar
from kit.errors import Invalid, MeantimeError
from kit.settings import Ingest
from tests.ingest.core.conftest import HOUR, NOW, arrival, dump, ms, take, telemetry


def test_a_message_becomes_a_row_and_a_batch(writer: Conn, store: Store) -> None:
    written = take(writer, store, [telemetry(vibration=2.5, flow=100), telemetry("P-2", temperature=40)])
    assert (written.messages, written.rows, written.readings, written.duplicates, written.refused) == (
        2,
        2,
        3,
        0,
        {},
    )
    assert (written.first_ts, written.last_ts) == (NOW, NOW)
    read = writer.execute(
        "select d.uid, metric, value, unit from ingest.reading r join ingest.device d on d.id = device_id order by 1, 2"
    )
    assert read.fetchall() == [
        ("P-1", "flow", 100, "m³/h"),
        ("P-1", "vibration", 2.5, "mm/s"),
        ("P-2", "temperature", 40, "°C"),
    ]
    batch = writer.execute(
        "select id, door, messages, rows, readings, duplicates, first_ts, last_ts from ingest.batch"
    )
    assert batch.fetchall() == [(written.batch_id, "endpoint", 2, 2, 3, 0, NOW, NOW)]
    assert dict(writer.execute("select name, value from ingest.total").fetchall()) == {
        "messages": 2,
        "rows": 2,
        "readings": 3,
    }


def test_fields_in_another_order_are_the_same_row(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry(vibration=2.5, flow=100)])
    again = take(writer, Store(Ingest(), door="collector"), [telemetry(flow=100, vibration=2.5)])
    assert (again.rows, again.duplicates) == (0, 1)


def test_two_messages_of_one_moment_are_both_kept(writer: Conn, store: Store) -> None:
    assert take(writer, store, [telemetry(flow=1), telemetry(flow=2), telemetry(vibration=1)]).rows == 3


def test_the_devices_own_number_is_the_key_when_it_gives_one(writer: Conn, store: Store) -> None:
    assert take(writer, store, [telemetry(seq=7, flow=1), telemetry(seq=8, flow=1)]).rows == 2
    assert take(writer, store, [telemetry(seq=7, flow=1)]).duplicates == 1


def test_duplicates_are_absorbed_within_a_batch_from_memory_and_by_the_key(
    writer: Conn, store: Store
) -> None:
    messages = [telemetry(at=NOW - n * HOUR, flow=n) for n in range(10)]
    first = take(writer, store, messages + messages)
    assert (first.rows, first.duplicates) == (10, 10)
    assert take(writer, store, messages).duplicates == 10
    before = dump(writer)
    fresh = telemetry(flow=77)
    third = take(
        writer, Store(Ingest(), door="endpoint"), [*messages, fresh]
    )  # knows nothing: the key decides
    assert (third.rows, third.duplicates) == (1, 10)
    take(writer, Store(Ingest(), door="endpoint"), [*messages, fresh])
    after = dump(writer)
    assert len(after.pop("telemetry")) == len(before.pop("telemetry")) + 1
    assert after["device_status"][0][-1] == before["device_status"][0][-1] + 1


def test_an_undone_write_leaves_nothing_and_can_be_repeated(writer: Conn, store: Store) -> None:
    messages = [telemetry(flow=1), telemetry(at=NOW - timedelta(days=100), vibration=1)]
    with writer.transaction(force_rollback=True):
        store.write(writer, messages)
    store.rolled_back()
    assert dump(writer, "telemetry") == {"telemetry": []}
    assert take(writer, store, messages).rows == 2


def test_a_write_outside_of_a_transaction_is_refused(fleet: Conn, dsn: str, store: Store) -> None:
    with pytest.raises(MeantimeError, match="transaction"):
        store.write(fleet, [telemetry(flow=1)])
    with connect(dsn) as conn:  # not autocommit: it begins one, and ends none
        store.write(conn, [telemetry(flow=1)])
        conn.rollback()
    assert scalar(fleet, "select count(*) from ingest.telemetry") == 0


def stream(chance: random.Random) -> list[Arrival]:
    """Four days of two devices: telemetry with a wrapping counter, faults, states, some refused values."""
    messages = []
    for device in ("P-1", "P-2"):
        hours = 950.0
        for step in range(96):
            at = NOW - 96 * HOUR + step * HOUR
            hours += chance.random()
            messages.append(
                telemetry(device, at, run_hours=round(hours % 1000, 4), flow=step, vibration=step % 70)
            )
            if step % 20 == 5:
                messages.append(
                    arrival(
                        f"meantime/{device}/fault", {"ts": ms(at), "code": "E1", "active": step % 40 == 5}
                    )
                )
                messages.append(
                    arrival(f"meantime/{device}/status", {"ts": ms(at), "online": step % 40 == 5})
                )
    return messages


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffled_duplicated_and_cut_anyhow_the_end_is_the_same(writer: Conn, seed: int) -> None:
    chance = random.Random(seed)
    messages = stream(chance)
    with writer.transaction(force_rollback=True):
        take(writer, Store(Ingest(), door="endpoint"), messages)
        ordered = finished(writer)
    shuffled = messages + chance.sample(messages, len(messages) // 3)
    chance.shuffle(shuffled)
    store = Store(Ingest(), door="endpoint")
    while shuffled:
        cut = chance.randint(1, 60)
        take(writer, store, shuffled[:cut])
        shuffled = shuffled[cut:]
        if chance.random() < 0.3:
            store = Store(Ingest(), door="endpoint")
            worker.recount(writer)
    again = finished(writer)
    for table, expected in ordered.items():
        assert again[table] == expected, table


def finished(conn: Conn) -> dict[str, Any]:
    """Everything stored once the worker has nothing left to do; shapes by name, for their numbers may differ."""
    while worker.roll_up(conn) or worker.recount(conn):
        pass
    found = dump(conn)
    shapes = dict(conn.execute("select id, metrics from ingest.shape").fetchall())
    found["telemetry"] = [(*row[:3], shapes[row[3]], row[4]) for row in found["telemetry"]]
    return found


@pytest.mark.parametrize(
    ("topic", "body", "uid", "reason"),
    [
        ("meantime/P-1/telemetry", b"", None, "empty"),
        ("meantime/P-1/telemetry", b"{", None, "malformed"),
        ("meantime/P-1/telemetry", b'{"values": {"\xff": 1}}', None, "bad_utf8"),
        ("meantime/P-1/telemetry", b"7", None, "bad_fields"),
        ("meantime/P-1/telemetry", b" " * 1_100_000 + b"1", None, "oversized"),
        ("meantime/P-1/telemetry", {"ts": 0, "values": {"flow": 1}}, None, "clock_not_set"),
        ("meantime/P-1/telemetry", {"ts": 1_700_000_000, "values": {"flow": 1}}, None, "clock_not_set"),
        ("meantime/P-1/telemetry", {"ts": ms(NOW - timedelta(days=500)), "values": {"flow": 1}}, None, "time_too_old"),
        ("meantime/P-1/telemetry", {"ts": ms(NOW + timedelta(days=1)), "values": {"flow": 1}}, None, "time_in_future"),
        ("meantime/P-1/telemetry", {"ts": 10**30, "values": {"flow": 1}}, None, "time_in_future"),
        ("meantime/P-1/telemetry", {"ts": -(10**30), "values": {"flow": 1}}, None, "clock_not_set"),
        ("meantime/P-1/fault", {"ts": ms(NOW + timedelta(days=1)), "code": "E1"}, None, "time_in_future"),
        ("meantime/P-1/status", {"ts": ms(NOW + timedelta(days=1)), "online": True}, None, "time_in_future"),
        ("meantime/P-1/other", {"values": {"flow": 1}}, None, "unknown_topic"),
        ("elsewhere", {"values": {"flow": 1}}, None, "unknown_topic"),
        ("meantime/P-1/telemetry", {"values": {"flow": 1}}, "P-2", "wrong_device"),
        ("v1/devices/me/telemetry", {"flow": 1}, None, "no_device"),
        ("meantime/P-99/telemetry", {"values": {"flow": 1}}, None, "unknown_device"),
        ("meantime/\0\ud800/telemetry", {"values": {"flow": 1}}, None, "unknown_device"),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_used_is_a_dead_letter(
    writer: Conn, store: Store, topic: str, body: Any, uid: str | None, reason: str
) -> None:
    bad = arrival(topic, body, uid=uid)
    written = take(writer, store, [telemetry(flow=1), bad, telemetry(flow=2)])
    assert (written.messages, written.rows, written.refused) == (3, 2, {reason: 1})
    (letter,) = writer.execute(
        "select door, payload, size, reason, detail, received_at from ingest.dead_letter"
    )
    assert letter[:4] == ("endpoint", bad.payload[:65536], len(bad.payload), reason)
    assert letter[4]
    assert letter[5] == NOW
    assert scalar(writer, "select value from ingest.total where name = %s", (f"refused:{reason}",)) == 1


@pytest.mark.parametrize(
    ("topic", "body", "item", "reason"),
    [
        ("telemetry", {"values": {"flow": 1, "nonsense": 2}}, "nonsense", "unknown_metric"),
        ("telemetry", {"values": {"flow": 1, "vibration": 60.1}}, "vibration", "out_of_range"),
        ("telemetry", {"values": {"flow": 1, "vibration": 1e300}}, "vibration", "out_of_range"),
        ("telemetry", b'{"values": {"flow": 1, "vibration": NaN}}', "vibration", "not_finite"),
        ("telemetry", b'{"values": {"flow": 1, "vibration": 1e999}}', "vibration", "not_finite"),
        ("telemetry", {"values": {"flow": 1, "vibration": True}}, "vibration", "not_a_number"),
        ("telemetry", {"values": {"flow": 1, "vibration": 10**400}}, "vibration", "not_finite"),
        ("telemetry", b'{"values": {"flow": 1, "vibration": 1, "vibration": 2}}', "vibration", "duplicate_value"),
        ("telemetry", b'{"values": {"flow": 1, "a\\u0000": 1}}', "a\ufffd", "bad_name"),
        ("telemetry", {"values": {"flow": 1, "vibration": 1}, "units": {"vibration": "°C"}}, "vibration", "wrong_unit"),
        ("fault", [{"code": "E1"}, {"code": "E404"}], "E404", "unknown_fault_code"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_leaves_the_rest(
    writer: Conn, store: Store, topic: str, body: Any, item: str, reason: str
) -> None:
    written = take(writer, store, [arrival(f"meantime/P-1/{topic}", body)])
    assert (written.rows + written.faults, written.readings + written.faults) == (1, 1)
    assert written.refused == {reason: 1}
    (found,) = writer.execute("select item, reason, ts, detail from ingest.quarantine")
    assert found[:3] == (item, reason, NOW)
    assert found[3]
    assert scalar(writer, "select count(*) from ingest.dead_letter") == 0


def test_units_are_converted_to_those_of_the_model(writer: Conn, store: Store) -> None:
    body = {
        "values": {"temperature": 212, "vibration": 1},
        "units": {"temperature": "°F", "vibration": "in/s"},
    }
    take(writer, store, [arrival("meantime/P-1/telemetry", body)])
    read = dict(writer.execute("select metric, value from ingest.reading").fetchall())
    assert read == pytest.approx({"temperature": 100, "vibration": 25.4})


def test_a_batch_of_a_store_and_forward_device_is_taken_item_by_item(writer: Conn, store: Store) -> None:
    items = [{"ts": ms(NOW - n * HOUR), "values": {"flow": n}} for n in range(5)]
    items[2]["ts"] = 5
    written = take(writer, store, [arrival("meantime/P-1/telemetry", items)])
    assert (written.rows, written.refused) == (4, {"clock_not_set": 1})
    assert scalar(writer, "select payload from ingest.dead_letter").startswith(b'{"ts": 5')


@pytest.mark.parametrize("topic", ["v1/devices/me/telemetry", "v2/t", "v2/t/j"])
def test_thingsboard_devices_are_told_by_their_login(writer: Conn, store: Store, topic: str) -> None:
    take(writer, store, [arrival(topic, {"flow": 3}, uid="P-3")])
    assert writer.execute(
        "select uid from ingest.telemetry t join ingest.device d on d.id = t.device_id"
    ).fetchall() == [("P-3",)]
    assert take(writer, store, [arrival(topic, {"flow": 3})]).refused == {"no_device": 1}


def test_the_newest_by_event_time_is_the_present(writer: Conn, store: Store) -> None:
    def status(at: Any, online: bool) -> Arrival:
        return arrival("meantime/P-1/status", {"ts": ms(at), "online": online, "reason": "connected"})

    take(writer, store, [status(NOW, True), telemetry(flow=1)])
    take(writer, store, [status(NOW - HOUR, False), telemetry(at=NOW - HOUR, flow=1)])
    assert dump(writer, "device_status")["device_status"] == [(1, True, NOW, NOW, 2)]
    take(writer, store, [status(NOW + timedelta(seconds=5), False)])
    assert dump(writer, "device_status")["device_status"] == [(1, False, NOW + timedelta(seconds=5), NOW, 2)]


def test_an_unknown_device_is_counted_until_it_is_provisioned(
    fleet: Conn, writer: Conn, store: Store
) -> None:
    take(writer, store, [telemetry("P-9", flow=1), telemetry("P-9", flow=2)])
    take(writer, store, [telemetry("P-9", flow=3)])
    assert [(u["uid"], u["messages"]) for u in registry.unknown(writer)] == [("P-9", 3)]
    registry.provision(writer, "P-9", "pump")
    assert take(writer, store, [telemetry("P-9", flow=4)]).rows == 1
    assert registry.unknown(writer) == []


def test_by_policy_an_unknown_device_registers_itself(writer: Conn) -> None:
    store = Store(Ingest(unknown_devices="register"), door="collector")
    assert take(writer, store, [telemetry("N-1", flow=1), telemetry("N-1", flow=2)]).rows == 2
    assert registry.device(writer, "N-1").model == "pump"
    refused = take(writer, store, [arrival("meantime/bad uid/telemetry", {"values": {"flow": 1}})]).refused
    assert refused == {"unknown_device": 1}


def test_a_device_that_fits_no_model_does_not_register_itself(writer: Conn) -> None:
    writer.execute("insert into ingest.model values ('fan', 'Fan', '风机', 'fan')")
    writer.execute(
        "insert into ingest.metric values ('fan', 'speed', 'Speed', '转速', 'rpm', 0, 5000, 'reading')"
    )
    store = Store(Ingest(unknown_devices="register"), door="collector")
    assert take(writer, store, [telemetry("N-1", speed=100)]).rows == 1
    assert registry.device(writer, "N-1").model == "fan"
    assert take(writer, store, [telemetry("N-2", flow=1, speed=1)]).refused == {"unregistered_model": 1}


def test_a_revoked_device_is_refused_at_once(writer: Conn, store: Store) -> None:
    assert take(writer, store, [telemetry(flow=1)]).rows == 1
    registry.revoke(writer, "P-1")
    assert take(writer, store, [telemetry(flow=2)]).refused == {"revoked_device": 1}
    registry.reinstate(writer, "P-1")
    assert take(writer, store, [telemetry(flow=3)]).rows == 1


def test_a_changed_limit_holds_from_the_next_write(writer: Conn, store: Store) -> None:
    assert take(writer, store, [telemetry(flow=399)]).rows == 1
    writer.execute("update ingest.metric set high = 300 where name = 'flow'")
    assert take(writer, store, [telemetry(flow=398)]).refused == {"out_of_range": 1}


class Failing:
    """A format whose decoder has a fault, and one that lets values through which PostgreSQL refuses."""

    def target(self, topic: str, login: str | None) -> Target | None:
        codec = {"fails": self.fails, "poison": self.poison}.get(topic)
        return None if codec is None else Target("P-1", codec)

    def fails(self, payload: bytes) -> list[Item]:
        raise ZeroDivisionError

    def poison(self, payload: bytes) -> list[Item]:
        return [Row(None, 2**70, {"flow": 1.0})]


def test_a_decoder_that_fails_does_not_stop_the_stream(writer: Conn) -> None:
    store = Store(Ingest(), door="endpoint", formats=[Failing()])
    assert take(writer, store, [telemetry(flow=1), arrival("fails", b"x")]).refused == {"decoder_error": 1}
    assert scalar(writer, "select count(*) from ingest.telemetry") == 1


def test_what_the_database_refuses_is_found_and_set_aside(writer: Conn, store: Store) -> None:
    writer.execute("set local role none")  # the owner
    writer.execute("alter table ingest.fault_event add constraint poison check (code <> 'W1')")
    messages = [telemetry(at=NOW - n * HOUR, flow=n) for n in range(9)]
    messages.insert(4, arrival("meantime/P-2/fault", {"code": "W1"}))
    messages.append(arrival("meantime/P-2/fault", {"code": "E1"}))
    written = take(writer, store, messages)
    assert (written.rows, written.faults, written.refused) == (9, 1, {"database_refused": 1})
    assert scalar(writer, "select topic from ingest.dead_letter") == "meantime/P-2/fault"


def test_old_data_makes_its_own_partition(writer: Conn, store: Store) -> None:
    old = NOW - timedelta(days=390)
    assert take(writer, store, [telemetry(at=old, flow=1)]).rows == 1
    assert any(chunk["since"] <= old < chunk["until"] for chunk in storage.chunks(writer))


def test_a_partition_that_retention_took_is_made_again(writer: Conn, store: Store) -> None:
    old = NOW - timedelta(days=390)
    take(writer, store, [telemetry(at=old, flow=1)])
    with writer.transaction():
        assert len(storage.drop_before(writer, NOW - timedelta(days=300))) == 1
    assert take(writer, store, [telemetry(at=old, flow=2)]).rows == 1


def test_more_shapes_than_a_model_may_have_are_stored_padded(
    writer: Conn, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.catalogue.MAX_SHAPES", 1)
    take(writer, store, [telemetry(flow=1), telemetry(vibration=2), telemetry(temperature=3, vibration=4)])
    assert scalar(writer, "select count(*) from ingest.shape") == 2
    read = writer.execute("select metric, value from ingest.reading order by 1, 2").fetchall()
    assert read == [("flow", 1), ("temperature", 3), ("vibration", 2), ("vibration", 4)]


def test_writers_at_the_same_time_store_each_row_once(fleet: Conn, dsn: str) -> None:
    messages = [
        telemetry(f"P-{1 + n % 4}", NOW - (n // 4) * HOUR, run_hours=500 - n // 4, flow=n % 100)
        for n in range(400)
    ]
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        mine = chance.sample(messages, len(messages))
        store = Store(Ingest(), door=f"endpoint-{seed % 2}")
        with connect(dsn, role="meantime_ingest", autocommit=True) as conn:
            while mine:
                try:
                    take(conn, store, mine[:50])
                except errors.DeadlockDetected:
                    store.rolled_back()
                    continue
                except psycopg.Error as error:
                    failures.append(error)
                    return
                mine = mine[50:]

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert scalar(fleet, "select count(*) from ingest.telemetry") == 400
    assert scalar(fleet, "select sum(messages) from ingest.device_status") == 400
    assert scalar(fleet, "select sum(value) from ingest.total where name = 'messages'") == 1600
    totals = dict(fleet.execute("select name, sum(value) from ingest.total group by name").fetchall())
    assert totals["rows"] + totals["duplicates"] == 1600


def test_typed_columns_are_stored_like_messages(writer: Conn, store: Store) -> None:
    at = np.array([(ms(NOW) - n * 3_600_000) * 1000 for n in range(100)], np.int64)
    values = np.column_stack([500 - np.arange(100.0), np.full(100, 7.0)])
    columns = Columns("pump", ("run_hours", "flow"), np.full(100, 1, np.int64), at, values)
    with writer.transaction():
        written = store.write_rows(writer, columns)
    assert (written.rows, written.readings) == (100, 200)
    assert dump(writer, "run_hours")["run_hours"] == [(1, NOW, 500.0, 500)]
    assert take(writer, store, [telemetry(run_hours=500, flow=7)]).duplicates == 1
    shorter = Columns("pump", ("run_hours", "flow"), columns.device, at, values.astype(np.float32))  # type: ignore[arg-type]
    with writer.transaction():
        assert store.write_rows(writer, shorter).duplicates == 100
    for wrong in (Columns("pump", ("nothing", "flow"), columns.device, at, values),
                  Columns("pump", ("run_hours", "flow"), columns.device, at * 2, values)):  # fmt: skip
        with pytest.raises(Invalid), writer.transaction():
            store.write_rows(writer, wrong)
