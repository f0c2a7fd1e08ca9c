"""The bound of the dead letters: what they take is measured, and the oldest are forgotten beyond it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from ingest import letter_store, storage
from ingest.store import Store
from ingest.worker import bound_letters
from kit.database import Conn, connect, scalar
from tests.ingest.core.conftest import arrival, take

DICE = random.Random(7)


def rubbish(size: int, count: int) -> list[Any]:
    """Messages that nobody can use and no compression makes smaller."""
    return [arrival("meantime/P-1/telemetry", b"{" + DICE.randbytes(size - 1)) for _ in range(count)]


def ids(conn: Conn) -> list[int]:
    return [number for (number,) in conn.execute("select id from ingest.dead_letter order by id")]


def test_what_letters_take_is_near_what_their_files_take(fleet: Conn, store: Store) -> None:
    take(fleet, store, rubbish(200, 5000) + rubbish(30_000, 100))
    measured = letter_store.measure(fleet)
    files = scalar(fleet, "select pg_total_relation_size('ingest.dead_letter')")
    assert measured.letters == 5100
    assert 0.7 < measured.bytes / files < 1.1


def test_below_the_bound_nothing_is_forgotten(writer: Conn, store: Store) -> None:
    take(writer, store, rubbish(1000, 50))
    kept = letter_store.measure(writer)
    assert bound_letters(writer, kept.bytes) is False
    assert letter_store.status(writer) == {
        "dead_letters": 50,
        "dead_letter_bytes": kept.bytes,
        "dead_letter_bytes_most": kept.bytes,
        "dead_letters_forgotten": 0,
    }


def test_beyond_the_bound_the_oldest_are_forgotten_and_no_more_than_needed(
    writer: Conn, store: Store
) -> None:
    take(writer, store, rubbish(1000, 50))
    all_of_them, each = ids(writer), letter_store.measure(writer).bytes // 50
    assert bound_letters(writer, 30 * each + each // 2) is False
    assert ids(writer) == all_of_them[20:]
    assert letter_store.measure(writer).bytes <= 30 * each + each // 2
    assert letter_store.status(writer)["dead_letters_forgotten"] == 20


def test_a_letter_larger_than_the_bound_goes_too(writer: Conn, store: Store) -> None:
    take(writer, store, rubbish(60_000, 1))
    bound_letters(writer, 1000)
    assert ids(writer) == []


def test_forgetting_goes_on_in_pieces_until_the_bound_is_kept(writer: Conn, store: Store) -> None:
    take(writer, store, rubbish(500, 40))
    all_of_them, kept = ids(writer), letter_store.measure(writer)
    gone = letter_store.forget(writer, kept.bytes, most=7)
    assert (gone.letters, ids(writer)) == (7, all_of_them[7:])
    assert letter_store.forget(writer, 1, most=7).letters == 1
    assert letter_store.status(writer)["dead_letters_forgotten"] == 8


@pytest.fixture
def other(dsn: str) -> Iterator[Conn]:
    with connect(dsn, application="test", autocommit=True) as conn:
        yield conn


def test_letters_that_are_being_replayed_are_left_alone_and_nobody_waits(
    fleet: Conn, other: Conn, store: Store
) -> None:
    take(fleet, store, rubbish(500, 10))
    all_of_them = ids(fleet)
    with other.transaction():
        other.execute("select from ingest.dead_letter where id = %s for update", (all_of_them[0],))
        fleet.execute("set lock_timeout = '1s'")
        assert letter_store.forget(fleet, 1).letters == 1
    assert ids(fleet) == [all_of_them[0], *all_of_them[2:]]


def test_a_round_that_forgets_says_so_once(
    writer: Conn, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    take(writer, store, rubbish(1000, 30))
    capsys.readouterr()
    bound_letters(writer, letter_store.measure(writer).bytes // 2)
    bound_letters(writer, 1 << 20)
    told = [line for line in "".join(capsys.readouterr()).splitlines() if "oldest are forgotten" in line]
    assert len(told) == 1
    assert "letters=15" in told[0]


def test_the_status_of_the_storage_has_the_dead_letters(writer: Conn, store: Store) -> None:
    take(writer, store, rubbish(1000, 3))
    found = storage.status(writer)
    assert (found["dead_letters"], found["dead_letter_bytes_most"]) == (3, None)
    assert found["dead_letter_bytes"] > 3000
