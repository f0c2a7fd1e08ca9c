"""Following a fact table while others write to it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kit import follow
from kit.database import Conn, connect

TABLE = """create table public.fact (id bigint generated always as identity,
                                     xid xid8 not null default pg_current_xact_id(), n int not null)"""


@pytest.fixture
def facts(db: Conn) -> Conn:
    db.execute(TABLE)
    return db


def collect(into: list[int], name: str = "test", limit: int = 7) -> follow.Follower:
    def handle(conn: Conn, found: list[dict[str, Any]]) -> None:
        into.extend(fact["n"] for fact in found)

    return follow.Follower(name, "public.fact", handle, limit=limit)


def test_every_fact_is_seen_once_under_concurrent_writers(facts: Conn, dsn: str) -> None:
    writers, each = 6, 60

    def write(writer: int) -> None:
        with connect(dsn, autocommit=True) as conn:
            for n in range(each):
                with conn.transaction():
                    conn.execute("insert into public.fact (n) values (%s)", (writer * each + n,))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    seen: list[int] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        follow.step(facts, collect(seen))
    follow.catch_up(facts, [collect(seen)])
    assert sorted(seen) == list(range(writers * each))


def test_a_fact_committed_late_with_a_low_id_is_not_skipped(facts: Conn, dsn: str) -> None:
    seen: list[int] = []
    with connect(dsn) as slow:
        slow.execute("insert into public.fact (n) values (1)")
        facts.execute("insert into public.fact (n) values (2)")
        follow.catch_up(facts, [collect(seen)])
        slow.commit()
    follow.catch_up(facts, [collect(seen)])
    assert sorted(seen) == [1, 2]


def test_effects_and_position_are_undone_together(facts: Conn) -> None:
    facts.execute("create table public.effect (n int)")
    facts.execute("insert into public.fact (n) select generate_series(1, 3)")

    def half(conn: Conn, found: list[dict[str, Any]]) -> None:
        for fact in found:
            conn.execute("insert into public.effect values (%s)", (fact["n"],))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow.step(facts, follow.Follower("half", "public.fact", half))
    assert facts.execute("select count(*) from public.effect").fetchone() == (0,)
    assert follow.catch_up(facts, [collect([], "half")]) == 3


def test_a_poisonous_fact_is_set_aside_and_the_stream_goes_on(facts: Conn) -> None:
    facts.execute("insert into public.fact (n) select generate_series(1, 5)")
    seen: list[int] = []

    def handle(conn: Conn, found: list[dict[str, Any]]) -> None:
        if any(fact["n"] == 3 for fact in found):
            raise ValueError("three")
        seen.extend(fact["n"] for fact in found)

    follow.catch_up(facts, [follow.Follower("picky", "public.fact", handle)])
    assert seen == [1, 2, 4, 5]
    assert facts.execute("select error from kit.failed_fact").fetchall() == [("ValueError('three')",)]


def test_skipping_to_the_end_leaves_the_past_unhandled(facts: Conn) -> None:
    seen: list[int] = []
    facts.execute("insert into public.fact (n) values (1), (2)")
    with facts.transaction():
        follow.skip_to_end(facts, collect(seen))
    facts.execute("insert into public.fact (n) values (3)")
    follow.catch_up(facts, [collect(seen)])
    assert seen == [3]
