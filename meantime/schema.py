"""The database as a whole: which packages have a schema, in which order they are migrated."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql

import analytics
import api
import dashboards
import fsm_core
import ingest
import simulators
from ingest import storage
from kit import migrations
from kit.database import connect


def _folder(package_file: str | None, name: str = "sql") -> Path:
    assert package_file is not None
    return Path(package_file).parent / name


SOURCES = (
    migrations.Source("ingest", _folder(ingest.__file__), after=storage.create),
    migrations.Source("analytics", _folder(analytics.__file__)),
    migrations.Source("fsm", _folder(fsm_core.__file__)),
    migrations.Source("sim", _folder(simulators.__file__)),
    migrations.Source("api", _folder(api.__file__)),
    migrations.Source("reports", _folder(dashboards.__file__, "views")),
)


def migrate(dsn: str) -> list[str]:
    """Bring the database up to date; returns the files that ran for the first time."""
    with connect(dsn, application="migrate") as conn:
        conn.execute("set statement_timeout = 0")
        return migrations.migrate(conn, SOURCES)


def ensure_database(dsn_of_server: str, name: str) -> None:
    """Create a database when it is not there yet."""
    with connect(dsn_of_server, application="create", autocommit=True) as conn:
        if not conn.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
