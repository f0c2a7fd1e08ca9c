"""Storage on plain PostgreSQL: native partitions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from psycopg import errors

from ingest import rollup, storage, worker
from ingest.store import Store
from kit.database import Conn, connect, scalar
from kit.errors import Misconfigured
from kit.settings import Ingest, Settings
from tests.ingest import storage_behaviour as must
from tests.ingest.core.conftest import NOW, take, telemetry


def test_what_is_written_is_read(writer: Conn) -> None:
    must.write_and_read(writer)


def test_hours_are_rolled_up(writer: Conn) -> None:
    must.roll_up(writer)


def test_old_chunks_go_and_rollups_stay(writer: Conn) -> None:
    must.retain(writer)


def test_chunks_come_and_go_while_writers_write(fleet: Conn, dsn: str) -> None:
    with connect(dsn, role="meantime_ingest", autocommit=True) as conn:
        must.make_and_drop_while_writing(dsn, conn)


def test_the_worker_makes_partitions_ahead(writer: Conn) -> None:
    assert storage.status(writer)["missing"][0]["code"] == "no_partition_now"
    worker.partitions(writer)
    worker.partitions(writer)
    found = storage.status(writer)
    assert found["level"] == "plain"
    assert len(found["chunks"]) == worker.AHEAD + 1
    assert [lack["code"] for lack in found["missing"]] == ["no_columnstore"]


def test_a_busy_table_is_left_alone(fleet: Conn, dsn: str) -> None:
    take(fleet, Store(Ingest(), door="endpoint"), [telemetry(at=NOW - timedelta(days=300), flow=1)])
    with connect(dsn) as other:
        other.execute("select 1 from ingest.telemetry")  # holds the table until it ends
        with pytest.raises(errors.LockNotAvailable), fleet.transaction():
            storage.drop_before(fleet, NOW, wait=timedelta(milliseconds=20))
        worker.retention(fleet, timedelta(days=100))  # reports and goes on
        assert scalar(fleet, "select count(*) from ingest.telemetry") == 1
    worker.retention(fleet, timedelta(days=100))
    assert scalar(fleet, "select count(*) from ingest.telemetry") == 0


def test_a_rollup_loses_no_mark_of_a_write_that_commits_meanwhile(fleet: Conn, dsn: str) -> None:
    store = Store(Ingest(), door="endpoint")
    take(fleet, store, [telemetry(flow=1)])
    with connect(dsn) as late:
        Store(Ingest(), door="collector").write(late, [telemetry(flow=2)])
        with fleet.transaction():
            assert rollup.step(fleet) == 1
        late.commit()
    assert worker.roll_up(fleet)
    assert scalar(fleet, "select n from ingest.reading_hour") == 2


def test_data_of_a_timescale_database_is_not_opened_without_it(writer: Conn) -> None:
    writer.execute("set local role none")
    writer.execute("update ingest.storage_meta set level = 'timescale_apache'")
    with pytest.raises(Misconfigured, match="shared_preload_libraries"):
        storage.create(writer)


def test_the_storage_worker_is_made_from_the_settings(dsn: str) -> None:
    made = worker.make_worker(dsn, Settings())
    assert made.role == "meantime_ingest"
    with connect(dsn, role=made.role, autocommit=True) as conn:
        for job in made.jobs:
            job.run(conn)
    assert [job.name for job in made.jobs] == [
        "partitions", "rollup", "recount", "retention", "refusals", "dead letters", "compression"
    ]  # fmt: skip
