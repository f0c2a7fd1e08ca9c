"""The same behaviour on a hypertable. Needs a server: MEANTIME_TEST_TIMESCALE_DSN, else it is skipped by that name."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest import storage
from kit.database import Conn, connect
from meantime import schema
from tests.ingest import storage_behaviour as must
from tests.ingest.core.conftest import populate

pytestmark = pytest.mark.timescale


@pytest.fixture(scope="module")
def hyper_dsn() -> Iterator[str]:
    """A database of this run's own. It is made by the migration: cloning one with the extension fails now and then."""
    server = os.environ["MEANTIME_TEST_TIMESCALE_DSN"]
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        dsn = make_conninfo(server, dbname=name)
        schema.migrate(dsn)
        schema.migrate(dsn)
        with connect(dsn, autocommit=True) as conn:
            populate(conn)
        yield dsn
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def hyper(hyper_dsn: str) -> Iterator[Conn]:
    with (
        connect(hyper_dsn, role="meantime_ingest", autocommit=True) as conn,
        conn.transaction(force_rollback=True),
    ):
        yield conn


def test_the_table_is_a_hypertable(hyper: Conn) -> None:
    found = storage.status(hyper)
    assert found["level"].startswith("timescale_")
    assert found["extension"]
    assert found["level"] == "timescale_community" or [m["code"] for m in found["missing"]] == [
        "no_columnstore"
    ]


def test_the_statements_for_the_community_edition_are_known_to_the_apache_edition_which_refuses_the_licence(
    hyper_dsn: str,
) -> None:
    """The Community edition is in no package of Debian; the Apache edition knows names and arguments all the same."""
    with connect(hyper_dsn, autocommit=True) as conn:
        if storage.level(conn) == "timescale_community":
            pytest.skip("this server is the Community edition: the migration has run them")
        for statement in storage.COLUMNSTORE:
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="apache"):
                conn.execute(statement)
            wrong = statement.replace("_columnstore", "_columnstor")
            with pytest.raises((psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedFunction)):
                conn.execute(wrong)  # type: ignore[call-overload]


def test_what_is_written_is_read(hyper: Conn) -> None:
    must.write_and_read(hyper)


def test_hours_are_rolled_up(hyper: Conn) -> None:
    must.roll_up(hyper)


def test_old_chunks_go_and_rollups_stay(hyper: Conn) -> None:
    must.retain(hyper)


def test_chunks_come_and_go_while_writers_write(hyper_dsn: str) -> None:
    with connect(hyper_dsn, role="meantime_ingest", autocommit=True) as conn:
        must.make_and_drop_while_writing(hyper_dsn, conn)
