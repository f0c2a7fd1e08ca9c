"""What only TimescaleDB's Community edition does: old chunks are compressed, and all else stays as it was.

Needs a Community server: MEANTIME_TEST_TIMESCALE_DSN, else each test is skipped by that name (docs/ingest.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from ingest import columnstore, storage, worker
from ingest.message import Arrival
from ingest.store import Store
from kit.database import Conn, connect, scalar
from kit.settings import Ingest, Settings
from meantime import schema
from tests.ingest.conftest import hyper_database
from tests.ingest.core.conftest import HOUR, NOW, dump, take, telemetry

pytestmark = pytest.mark.timescale
DAY = timedelta(days=1)


def compress(conn: Conn) -> int:
    """One round of the worker's job; returns how many chunks are compressed after it."""
    compressor = columnstore.Compressor()
    while worker.compression(conn, compressor):
        pass
    found: int = storage.status(conn)["compressed"]
    return found


def codes(conn: Conn) -> list[str]:
    return [lack["code"] for lack in storage.status(conn)["missing"]]


def history(days: int = 100, *, every: timedelta = 6 * HOUR) -> list[Arrival]:
    """Messages of two pumps over some days until now."""
    return [
        telemetry(f"P-{1 + n % 2}", NOW - n * every, flow=n % 400, run_hours=500 - n / 4)
        for n in range(days * DAY // every)
    ]


def write(conn: Conn, messages: list[Arrival]) -> int:
    """By a door that has just started, so that nothing but the table's key knows what is stored already."""
    rows: int = take(conn, Store(Ingest(), door="endpoint"), messages).rows
    return rows


def test_chunks_older_than_thirty_days_are_compressed_and_read_as_before(community: Conn) -> None:
    write(community, history())
    before = dump(community, "telemetry")
    assert codes(community) == ["uncompressed"]
    done = compress(community)
    bound = NOW - columnstore.AFTER
    chunks = storage.chunks(community)
    assert done == sum(chunk["until"] <= bound for chunk in chunks) >= 9
    assert all(chunk["compressed"] == (chunk["until"] <= bound) for chunk in chunks)
    assert dump(community, "telemetry") == before
    assert codes(community) == []
    assert compress(community) == done


def test_a_step_compresses_one_chunk_the_oldest_first(community: Conn) -> None:
    write(community, history(60))
    compressor = columnstore.Compressor()
    assert worker.compression(community, compressor)
    assert [chunk["compressed"] for chunk in storage.chunks(community)][:2] == [True, False]


def test_no_job_of_the_server_is_left_to_a_role_that_may_not_log_in(community: Conn) -> None:
    query = "select count(*) from timescaledb_information.jobs where hypertable_schema = 'ingest'"
    assert scalar(community, query) == 0


def test_what_is_sent_again_is_no_second_row_in_a_compressed_chunk(community: Conn) -> None:
    messages = history(60)
    write(community, messages)
    before = dump(community, "telemetry", "run_hours_day")
    done = compress(community)
    assert write(community, messages) == 0
    assert dump(community, "telemetry", "run_hours_day") == before
    assert compress(community) == done


def test_late_rows_go_into_a_compressed_chunk_and_are_compressed_in_the_next_round(community: Conn) -> None:
    write(community, history(60))
    done = compress(community)
    count = scalar(community, "select count(*) from ingest.telemetry")
    late = [telemetry("P-1", NOW - 50 * DAY - n * HOUR, flow=7) for n in range(1, 5)]
    known = [history(60)[200]]  # P-1, fifty days ago
    assert write(community, late) == 4  # by COPY alone
    assert write(community, known + late + [telemetry("P-3", NOW - 50 * DAY, flow=9)]) == 1  # by the detour
    assert scalar(community, "select count(*) from ingest.telemetry") == count + 5
    assert codes(community) == ["uncompressed"]
    stored = dump(community, "telemetry")
    assert compress(community) == done
    assert codes(community) == []
    assert dump(community, "telemetry") == stored
    assert write(community, [*known, *late]) == 0


def test_hours_and_run_hours_of_compressed_rows_are_counted_again(community: Conn) -> None:
    start = (NOW - 50 * DAY).replace(minute=0, second=0)
    messages = [
        telemetry(at=start + n * timedelta(minutes=10), flow=n, run_hours=10 + n / 6) for n in (1, 2, 4)
    ]
    write(community, messages)
    while worker.roll_up(community):
        pass
    compress(community)
    assert [
        chunk["compressed"] for chunk in storage.chunks(community) if chunk["since"] <= start < chunk["until"]
    ] == [True]
    late = [telemetry(at=start, flow=9, run_hours=10), telemetry(at=start + HOUR, flow=5, run_hours=11)]
    write(community, late)
    while worker.roll_up(community) or worker.recount(community):
        pass
    query = "select n, mean, low, high, first, last from ingest.reading_hour where bucket = %s and metric = 'flow'"
    assert community.execute(query, (start,)).fetchall() == [(4, pytest.approx(4), 1, 9, 9, 4)]
    assert scalar(
        community, "select sum(hours) from ingest.run_hours_day where device_id = 1"
    ) == pytest.approx(1)
    assert (
        scalar(community, "select life from ingest.run_hours where device_id = 1 order by ts desc limit 1")
        == 11
    )


def test_retention_drops_compressed_chunks_and_their_bytes(community: Conn) -> None:
    write(community, history(100))
    compress(community)
    before = storage.status(community)
    worker.retention(community, timedelta(days=60))
    after = storage.status(community)
    assert after["compressed"] < before["compressed"]
    assert after["bytes"] < before["bytes"]
    watched = "select value from reports.watch where sign = 'storage_bytes' and subject = 'telemetry'"
    community.execute("set local role meantime_reports")
    chunks = after["bytes"]
    assert scalar(community, watched) == chunks
    assert after["oldest"] >= NOW - 67 * DAY


@pytest.fixture
def shared(community: Conn) -> Iterator[str]:
    """A database where commits are real."""
    with hyper_database() as dsn:
        yield dsn


def old(conn: Conn) -> list[dict[str, Any]]:
    return [chunk for chunk in storage.chunks(conn) if chunk["until"] <= NOW - columnstore.AFTER]


def test_a_chunk_that_is_being_written_is_left_for_the_next_round(shared: str) -> None:
    with (
        connect(shared, role="meantime_ingest", autocommit=True) as conn,
        connect(shared, role="meantime_ingest") as other,
    ):
        write(conn, history(60))
        first, *others = [chunk["name"] for chunk in old(conn)]
        Store(Ingest(), door="collector").write(
            other, [telemetry("P-3", old(conn)[0]["since"] + HOUR, flow=1)]
        )
        assert not columnstore.compress(conn, first, wait=timedelta(milliseconds=20))
        assert all(columnstore.compress(conn, name) for name in others)
        other.commit()
        assert compress(conn) == len(others) + 1
        assert not columnstore.compress(conn, "ingest.gone")


def test_nothing_is_lost_while_chunks_are_compressed_under_the_writers(shared: str) -> None:
    """Four weeks, each written to all the time, twice each row: by whom it was sent, and again."""
    start: datetime = NOW - 70 * DAY
    failures: list[BaseException] = []
    done = threading.Event()
    written = [0, 0]

    def send(writer: int) -> None:
        try:
            with connect(shared, role="meantime_ingest", autocommit=True) as mine:
                while not done.is_set() or written[writer] < 20:
                    at = start + (written[writer] % 28) * DAY + written[writer] * timedelta(seconds=1)
                    message = telemetry(f"P-{1 + writer}", at, flow=1)
                    try:
                        stored = write(mine, [message]), write(mine, [message])
                    except (errors.DeadlockDetected, errors.LockNotAvailable):
                        continue
                    assert stored == (1, 0)
                    written[writer] += 1
        except (psycopg.Error, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(writer,)) for writer in range(2)]
    with connect(shared, role="meantime_ingest", autocommit=True) as conn:
        write(conn, [telemetry("P-3", start + n * DAY, flow=1) for n in range(28)])
        for thread in threads:
            thread.start()
        for _ in range(3):
            compress(conn)
        done.set()
        for thread in threads:
            thread.join()
        assert failures == [], failures
        assert compress(conn) == len(storage.chunks(conn))
        assert scalar(conn, "select count(*) from ingest.telemetry") == 28 + sum(written)


def test_the_storage_worker_compresses_beside_its_other_jobs(shared: str) -> None:
    job = worker.make_worker(shared, Settings()).jobs[-1]
    with connect(shared, role="meantime_ingest", autocommit=True) as conn:
        write(conn, history(60))
        assert not job.run(conn)
        job.run(conn)  # the round is not begun twice
        deadline = time.monotonic() + 30
        while "uncompressed" in codes(conn):
            assert time.monotonic() < deadline, storage.status(conn)["missing"]
        assert storage.status(conn)["compressed"] == len(old(conn)) > 0


def test_a_database_of_the_apache_edition_goes_on_as_community_when_the_server_does(shared: str) -> None:
    with connect(shared, autocommit=True) as conn:
        conn.execute("alter table ingest.telemetry set (timescaledb.enable_columnstore = false)")
        conn.execute("update ingest.storage_meta set level = 'timescale_apache'")
    schema.migrate(shared)
    with connect(shared, role="meantime_ingest", autocommit=True) as conn:
        assert storage.level(conn) == "timescale_community"
        write(conn, history(60))
        assert compress(conn) == len(old(conn)) > 0
