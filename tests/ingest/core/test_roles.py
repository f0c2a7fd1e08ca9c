"""A package writes its own schema only: the database sees to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import errors

from kit.database import Conn, connect, rows
from tests.ingest.core.conftest import NOW

OTHERS = (
    "meantime_analytics",
    "meantime_fsm",
    "meantime_reports",
)  # meantime_api acts for ingest: it is a member
FORBIDDEN = (
    "insert into ingest.model values ('x', 'x', 'x', 'x')",
    "update ingest.device set status = 'revoked'",
    "delete from ingest.fault_event",
    "insert into ingest.unknown_device values ('x', 'x', now(), now())",
    "update ingest.run_hours set life = 0",
    "delete from ingest.telemetry",
    "truncate ingest.batch",
    "drop view ingest.reading",
    "create table ingest.mine (n int)",
)


@contextmanager
def undone(dsn: str, role: str) -> Iterator[Conn]:
    with connect(dsn, role=role, autocommit=True) as conn, conn.transaction(force_rollback=True):
        yield conn


@pytest.mark.parametrize("role", OTHERS)
def test_another_package_cannot_write_what_ingest_owns(fleet_dsn: str, role: str) -> None:
    with undone(fleet_dsn, role) as conn:
        for statement in FORBIDDEN:
            with pytest.raises(errors.InsufficientPrivilege), conn.transaction():
                conn.execute(statement)


@pytest.mark.parametrize("role", OTHERS)
def test_the_packages_downstream_can_read_it(fleet_dsn: str, role: str) -> None:
    with undone(fleet_dsn, role) as conn:
        for table in (
            "device",
            "telemetry",
            "reading",
            "batch",
            "fault_event",
            "run_hours_day",
            "reading_hour",
        ):
            conn.execute(f"select * from ingest.{table} limit 1")


def test_ingest_cannot_write_what_others_own(fleet_dsn: str) -> None:
    with undone(fleet_dsn, "meantime_ingest") as conn:
        tables = rows(
            conn, "select schemaname s, tablename t from pg_tables where schemaname in ('analytics', 'fsm')"
        )
        assert len(tables) > 20
        for table in tables:
            with pytest.raises(errors.InsufficientPrivilege), conn.transaction():
                conn.execute(f"delete from {table['s']}.{table['t']}")


def test_the_credentials_are_for_ingest_only(fleet_dsn: str) -> None:
    for role in OTHERS:
        with undone(fleet_dsn, role) as conn, pytest.raises(errors.InsufficientPrivilege), conn.transaction():
            conn.execute("select secret from ingest.credential where created_at < %s", (NOW,))
