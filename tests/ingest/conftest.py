"""A TimescaleDB with the small fleet; which edition it is depends on the server of MEANTIME_TEST_TIMESCALE_DSN."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest import storage
from kit.database import Conn, connect
from meantime import schema
from tests.ingest.core.conftest import populate


@contextmanager
def hyper_database() -> Iterator[str]:
    """A migrated database, made by the migration: cloning one with the extension fails now and then."""
    server = os.environ["MEANTIME_TEST_TIMESCALE_DSN"]
    name = f"t_{uuid.uuid4().hex[:12]}"
    _administer(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        dsn = make_conninfo(server, dbname=name)
        schema.migrate(dsn)
        schema.migrate(dsn)
        with connect(dsn, autocommit=True) as conn:
            populate(conn)
        yield dsn
    finally:
        _administer(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _administer(statement: sql.Composed) -> None:
    """By a connection of its own: one that is kept would not outlive a test that kills the server."""
    with psycopg.connect(os.environ["MEANTIME_TEST_TIMESCALE_DSN"], autocommit=True) as admin:
        admin.execute(statement)


@pytest.fixture(scope="session")
def hyper_dsn() -> Iterator[str]:
    """A database of this run's own."""
    with hyper_database() as dsn:
        yield dsn


@pytest.fixture
def hyper(hyper_dsn: str) -> Iterator[Conn]:
    """In the role of the doors, in a transaction that is undone."""
    with (
        connect(hyper_dsn, role="meantime_ingest", autocommit=True) as conn,
        conn.transaction(force_rollback=True),
    ):
        yield conn


@pytest.fixture
def mortal_dsn() -> Iterator[str]:
    """A Community database whose server may be killed: nothing else is connected to it."""
    with hyper_database() as dsn:
        with connect(dsn, autocommit=True) as conn:
            _only_community(conn)
        yield dsn


def _only_community(conn: Conn) -> None:
    if storage.level(conn) != "timescale_community":
        pytest.skip(
            "this server is TimescaleDB's Apache edition, which cannot compress: give a Community server's DSN"
        )


@pytest.fixture
def community(hyper: Conn) -> Conn:
    """The same on the Community edition; skipped by name on the Apache edition."""
    _only_community(hyper)
    return hyper
