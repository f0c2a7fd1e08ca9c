"""Dead letters: listed in words, replayed after a fix, purged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ingest import dead_letters, registry
from ingest.reasons import REASONS
from ingest.store import Store
from kit.database import Conn, scalar
from kit.errors import NotFound
from kit.settings import Ingest
from tests.ingest.core.conftest import NOW, arrival, take, telemetry


def test_letters_are_listed_with_the_reason_in_both_languages(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry("P-9", flow=1), arrival("meantime/P-1/telemetry", b"{")])
    first, second = dead_letters.listing(writer)
    assert (second["reason"], second["reason_en"], second["reason_zh"]) == (
        "unknown_device",
        REASONS["unknown_device"].text_en,
        REASONS["unknown_device"].text_zh,
    )
    assert [row["id"] for row in dead_letters.listing(writer, before=first["id"])] == [second["id"]]
    assert [row["id"] for row in dead_letters.listing(writer, uid="P-9")] == [second["id"]]
    assert [row["id"] for row in dead_letters.listing(writer, reason="malformed")] == [first["id"]]


def test_after_the_fix_letters_are_replayed(writer: Conn, store: Store) -> None:
    take(
        writer,
        store,
        [telemetry("P-9", flow=1), telemetry("P-9", flow=2), arrival("meantime/P-9/telemetry", b"{")],
    )
    replayer = Store(Ingest(), door="replay")
    still = dead_letters.replay(writer, "unknown_device", replayer)
    assert still.stored == []
    assert set(still.refused.values()) == {"unknown_device"}
    assert scalar(writer, "select count(*) from ingest.dead_letter") == 3
    registry.provision(writer, "P-9", "pump")
    done = dead_letters.replay(writer, "unknown_device", replayer)
    assert len(done.stored) == 2
    assert list(done.refused.values()) == ["malformed"]
    assert scalar(writer, "select count(*) from ingest.telemetry") == 2
    assert scalar(writer, "select count(*) from ingest.dead_letter") == 3
    assert [row["reason"] for row in dead_letters.listing(writer)] == ["unknown_device"]
    assert len(dead_letters.listing(writer, replayed=True)) == 2
    assert dead_letters.replay(writer, done.stored, replayer).stored == []


def test_a_replayed_message_keeps_the_time_it_arrived(writer: Conn, store: Store) -> None:
    early = NOW - timedelta(days=3)
    take(writer, store, [arrival("v1/devices/me/telemetry", {"flow": 1}, uid="P-9", at=early)])
    registry.provision(writer, "P-9", "pump")
    assert len(dead_letters.replay(writer, "unknown_device", Store(Ingest(), door="replay")).stored) == 1
    assert scalar(writer, "select ts from ingest.telemetry") == early


def test_a_payload_that_was_cut_is_not_replayed(writer: Conn, store: Store) -> None:
    take(writer, store, [arrival("meantime/P-1/telemetry", b'{"values": {"flow": 1}}' + b" " * 1_100_000)])
    done = dead_letters.replay(writer, "oversized", Store(Ingest(), door="replay"))
    assert list(done.refused.values()) == ["oversized"]


def test_letters_are_purged_by_age_reason_or_number(writer: Conn, store: Store) -> None:
    old = NOW - timedelta(days=30)
    take(
        writer,
        store,
        [arrival("x", b"1", at=old), arrival("x", b"2"), arrival("meantime/P-1/telemetry", b"{")],
    )
    assert dead_letters.purge(writer) == 0
    assert dead_letters.purge(writer, before=NOW - timedelta(days=1)) == 1
    assert dead_letters.purge(writer, reason="malformed") == 1
    (left,) = dead_letters.listing(writer)
    assert dead_letters.purge(writer, ids=[left["id"]]) == 1
    assert scalar(writer, "select value from ingest.total where name = 'refused:malformed'") == 1


def test_the_quarantine_is_listed_in_words(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry(flow=1, vibration=99)])
    (found,) = dead_letters.quarantine(writer, uid="P-1")
    assert (found["item"], found["reason_en"]) == ("vibration", "Physically impossible")
    assert dead_letters.quarantine(writer, reason="bad_name") == []


def test_a_flood_of_poison_from_many_strangers_costs_no_statement_each(
    writer: Conn, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = [arrival(f"meantime/X-{n % 50}/telemetry", {"values": {"flow": n}}) for n in range(500)]
    flood += [arrival("meantime/P-1/telemetry", b"{broken\0\t\\N")] * 500
    statements: list[Any] = []
    execute = writer.execute
    monkeypatch.setattr(
        writer, "execute", lambda *given, **more: statements.append(given) or execute(*given, **more)
    )
    assert take(writer, store, flood).refused == {"unknown_device": 500, "malformed": 500}
    assert len(statements) < 50
    found = writer.execute("select distinct payload from ingest.dead_letter where reason = 'malformed'")
    assert [bytes(payload) for (payload,) in found] == [b"{broken\0\t\\N"]
    assert scalar(writer, "select array_agg(distinct messages) from ingest.unknown_device") == [10]


def test_letters_that_stay_refused_hide_none_of_those_behind_them(writer: Conn, store: Store) -> None:
    hopeless = [arrival("meantime/X-1/telemetry", b"{broken")] * 3
    take(writer, store, [*hopeless, telemetry("X-1", flow=3)])
    registry.add(writer, "X-1", "pump")
    first = dead_letters.replay(writer, "unknown_device", store, limit=2)
    assert (first.stored, set(first.refused.values())) == ([], {"malformed"})
    second = dead_letters.replay(writer, "unknown_device", store, limit=2, after=first.last or 0)
    assert len(second.stored) == 1
    assert dead_letters.replay(writer, "unknown_device", store, after=second.last or 0).last is None


def test_one_letter_is_shown_with_its_payload(writer: Conn, store: Store) -> None:
    take(writer, store, [arrival("meantime/P-1/telemetry", b"{broken")])
    found = dead_letters.letter(writer, dead_letters.listing(writer)[0]["id"])
    assert (bytes(found["payload"]), found["reason_en"]) == (b"{broken", REASONS["malformed"].text_en)
    with pytest.raises(NotFound, match="no dead letter 0"):
        dead_letters.letter(writer, 0)


def test_refusals_of_long_ago_are_forgotten_and_recent_ones_are_not(writer: Conn, store: Store) -> None:
    for days in (100, 1):
        at = NOW - timedelta(days=days)
        take(writer, store, [arrival("meantime/X-1/telemetry", b"{}", at=at),
                             arrival(f"meantime/X-{days}/telemetry", b"{}", at=at),
                             arrival("meantime/P-1/telemetry", {"values": {"nonsense": 1}}, at=at)])  # fmt: skip
    count = "select (select count(*) from ingest.dead_letter), (select count(*) from ingest.quarantine)"
    assert writer.execute(count).fetchall() == [(4, 2)]
    while dead_letters.prune(writer, timedelta(days=90), most=1):
        pass
    assert writer.execute(count).fetchall() == [(2, 1)]
    assert writer.execute("select uid from ingest.unknown_device").fetchall() == [("X-1",)]
