"""The same behaviour on a hypertable. Needs a server: MEANTIME_TEST_TIMESCALE_DSN, else it is skipped by that name."""

from __future__ import annotations

import psycopg
import pytest

from ingest import columnstore, storage
from kit.database import Conn, connect
from kit.errors import Misconfigured
from tests.ingest import storage_behaviour as must

pytestmark = pytest.mark.timescale


def test_the_table_is_a_hypertable(hyper: Conn) -> None:
    found = storage.status(hyper)
    assert found["level"].startswith("timescale_")
    assert found["extension"]
    assert found["level"] == "timescale_community" or [m["code"] for m in found["missing"]] == [
        "no_columnstore"
    ]


def test_what_the_community_edition_is_told_the_apache_edition_knows_and_refuses_by_its_licence(
    hyper: Conn,
) -> None:
    """Names and arguments are the same in both; see test_storage_community.py for what comes of it."""
    if storage.level(hyper) == "timescale_community":
        pytest.skip(
            "this server is the Community edition, which does it: tests/ingest/test_storage_community.py"
        )
    for statement, values in ((columnstore.ENABLE, ()), (columnstore.CONVERT, ("ingest.telemetry",))):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="apache"), hyper.transaction():
            hyper.execute(statement, values)
        wrong = statement.replace("columnstore", "columnstor", 1)
        with (
            pytest.raises((psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedFunction)),
            hyper.transaction(),
        ):
            hyper.execute(wrong, values)


def test_data_of_the_community_edition_is_not_opened_by_the_apache_edition(hyper: Conn) -> None:
    if storage.level(hyper) == "timescale_community":
        pytest.skip("this server is the Community edition, and the licence is the server's")
    hyper.execute("set local role none")
    hyper.execute("update ingest.storage_meta set level = 'timescale_community'")
    with pytest.raises(Misconfigured, match=r"timescaledb\.license"):
        storage.create(hyper)


def test_what_is_written_is_read(hyper: Conn) -> None:
    must.write_and_read(hyper)


def test_hours_are_rolled_up(hyper: Conn) -> None:
    must.roll_up(hyper)


def test_old_chunks_go_and_rollups_stay(hyper: Conn) -> None:
    must.retain(hyper)


def test_chunks_come_and_go_while_writers_write(hyper_dsn: str) -> None:
    with connect(hyper_dsn, role="meantime_ingest", autocommit=True) as conn:
        must.make_and_drop_while_writing(hyper_dsn, conn)
