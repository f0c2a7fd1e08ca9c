"""Several analytics processes: each partition has one owner, and a kill changes nothing that is found."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import pytest

from analytics import explain, partitions, worker
from analytics.definitions import HOUR
from kit import follow
from kit.database import Conn, connect, scalar
from kit.settings import Analytics, Settings
from meantime import processes
from tests.analytics import machines, stored
from tests.analytics.machines import VIBRATION, Fault
from tests.analytics.test_worker import forget

FOUR = Settings(analytics=Analytics(partitions=4))
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.analytics.test_processes"])
Start = Callable[[str], BaseProcess]


def serve(dsn: str, suffix: str) -> None:
    worker.make_worker(dsn, FOUR, suffix=suffix).run(threading.Event())


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come about within {seconds} s"
        time.sleep(0.01)
    return found


@pytest.fixture
def start(dsn: str) -> Iterator[Start]:
    """Start an analytics process; all are killed at the end."""
    running: list[BaseProcess] = []

    def begin(suffix: str) -> BaseProcess:
        running.append(_context.Process(target=serve, args=(dsn, suffix)))
        running[-1].start()
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.join()


def owners(conn: Conn) -> dict[int, str]:
    """partition → the process that holds it."""
    return dict(
        conn.execute(
            """select l.objid::int, a.application_name from pg_locks l join pg_stat_activity a using (pid)
               where l.locktype = 'advisory' and l.granted and l.objsubid = 2
                 and l.classid = (hashtext(%s)::bigint & 4294967295)::oid
                 and l.database = (select oid from pg_database where datname = current_database())""",
            (partitions.WORK,),
        ).fetchall()
    )


def done(conn: Conn, batch: int, count: int = 4) -> Callable[[], bool]:
    """Whether all partitions have come to a batch."""
    query = "select count(*) from kit.follower where name ~ '^analytics.batch' and id >= %s"
    return lambda: scalar(conn, query, (batch,)) == count


def days(devices: list[int], length: int, faulty: int) -> list[Any]:
    """Blocks of eight hours of telemetry."""
    block = machines.rows(devices, machines.times(length), faults=(Fault(faulty, VIBRATION, 6, 2, 5.0),))
    return [
        block.take(np.flatnonzero(block.ts // (8 * HOUR) == one)) for one in np.unique(block.ts // (8 * HOUR))
    ]


@pytest.mark.slow
def test_one_of_two_processes_is_killed_in_mid_stream_and_the_findings_are_those_of_an_undisturbed_one(
    db: Conn, dsn: str, start: Start
) -> None:
    devices = stored.prepare(db, 6)
    pieces = days(devices, 9, devices[1])
    one, _ = start(""), start("-2")
    until(lambda: len(set(owners(db).values())) == 2 and len(owners(db)) == 4, "both at work")
    for at, piece in enumerate(pieces, 1):
        batch = stored.write(db, piece)
        if at == len(pieces) // 2:
            one.kill()  # with what it has in hand
    until(lambda: owners(db) == dict.fromkeys(range(4), "analytics-2"), "the other one owns all")
    until(done(db, batch), "the rest")
    found = stored.detections(db)
    assert scalar(db, "select count(*) from kit.failed_fact") == 0
    forget(db)
    follow.catch_up(db, worker.followers(FOUR))
    assert found
    assert stored.detections(db) == found


@pytest.mark.slow
def test_a_process_that_joins_takes_its_share_and_one_at_a_time_owns_a_partition(
    db: Conn, start: Start
) -> None:
    start("")
    until(lambda: owners(db) == dict.fromkeys(range(4), "analytics"), "one owns all")
    start("-2")
    until(
        lambda: sorted(owners(db).values()) == ["analytics", "analytics", "analytics-2", "analytics-2"],
        "two each",
    )


@contextmanager
def held(dsn: str, part: int) -> Iterator[None]:
    with connect(dsn, application="somebody", autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(hashtext(%s), %s)", (partitions.WORK, part))
        yield


def test_partitions_grow_by_multiples_once_nobody_works_on_fewer_and_never_shrink(db: Conn, dsn: str) -> None:
    assert partitions.agree(db, 1) == 1
    with held(dsn, 0):
        assert partitions.agree(db, 2) is None
    assert partitions.agree(db, 2) == 2
    with held(dsn, 1):
        assert partitions.agree(db, 3) is None
    assert partitions.agree(db, 3) == 4
    assert partitions.agree(db, 1) == 4
    assert partitions.number(db) == 4


def test_after_growing_every_device_goes_on_where_its_old_partition_stood(db: Conn, dsn: str) -> None:
    devices = stored.prepare(db, 4)
    pieces = days(devices, 9, devices[1])
    middle = len(pieces) - 9
    for piece in pieces[:middle]:
        stored.write(db, piece)
    single = Settings()
    follow.catch_up(db, worker.followers(single))
    assert partitions.agree(db, 4) == 4
    assert follow.catch_up(db, worker.followers(FOUR)) == 0  # nothing is read again
    for piece in pieces[middle:]:
        batch = stored.write(db, piece)
    follow.catch_up(db, worker.followers(FOUR))
    assert done(db, batch)()
    grown = stored.detections(db)
    assert grown
    for (number,) in db.execute("select id from analytics.detection order by id").fetchall():
        assert explain.explain(db, number).ok
    forget(db)
    follow.catch_up(db, worker.followers(single))
    assert [row[:5] for row in stored.detections(db)] == [row[:5] for row in grown]


def test_the_family_has_as_many_analytics_processes_as_are_set() -> None:
    names = processes.core(Settings(analytics=Analytics(processes=3)))
    assert [name for name in names if name.startswith("analytics")] == [
        "analytics", "analytics-2", "analytics-3"
    ]  # fmt: skip
    assert all(processes.known(name) for name in names)
    assert Analytics(processes=3).shares == 3
    assert Analytics(processes=3, partitions=8).shares == 8
