"""A plant whose gateway speaks Sparkplug: edge node E of group G with the devices a and b, all pumps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from ingest import registry
from ingest.store import Store
from kit.database import Conn, connect
from kit.settings import Ingest
from meantime.postgres import Server
from tests.ingest.core.conftest import populate


@pytest.fixture(scope="session")
def plant_dsn(server: Server, template: str) -> Iterator[str]:
    """A database with the plant, for tests that undo what they do."""
    with connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database plant template {}").format(sql.Identifier(template)))
        with connect(server.dsn("plant"), autocommit=True) as conn:
            populate(conn)
            for uid in ("G:E", "G:E:a", "G:E:b"):
                registry.provision(conn, uid, "pump")
        yield server.dsn("plant")
        admin.execute("drop database plant with (force)")


@pytest.fixture
def plant(plant_dsn: str) -> Iterator[Conn]:
    """A connection in the role of the doors, in a transaction that is undone."""
    with (
        connect(plant_dsn, role="meantime_ingest", application="test", autocommit=True) as conn,
        conn.transaction(force_rollback=True),
    ):
        yield conn


@pytest.fixture
def store() -> Store:
    return Store(Ingest(), door="collector")
