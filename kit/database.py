"""Connections and transactions. The store functions of all packages take a connection and never commit;
the edge that opened the transaction does (`with transaction(pool) as conn`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, LiteralString

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import ConnectionPool

from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings

Conn = Connection[Any]

# One login, one role per package: the process takes the role on with SET ROLE, so that a
# package cannot write another's schema even by mistake.
ROLES = ("meantime_ingest", "meantime_analytics", "meantime_fsm", "meantime_reports", "meantime_api")


def url(settings: Settings) -> str:
    """The database to use. The supervisor passes the embedded one on to its children as MEANTIME_DATABASE_URL."""
    if settings.database_url is None:
        raise Misconfigured(
            "No database: set MEANTIME_DATABASE_URL, or start through `meantime up`, which brings its own."
        )
    return settings.database_url


def _options(role: str | None, application: str) -> dict[str, Any]:
    options = "-c timezone=UTC -c statement_timeout=120s -c idle_in_transaction_session_timeout=300s"
    if role is not None:
        options += f" -c role={role}"
    # A server that is gone without a word is noticed within half a minute, not after TCP's two hours.
    return {
        "options": options, "application_name": application, "connect_timeout": 10, "keepalives_idle": 10,
        "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000,
    }  # fmt: skip


def connect(
    dsn: str, *, role: str | None = None, application: str = "meantime", autocommit: bool = False
) -> Conn:
    """One connection in UTC.

    Raises:
        Unavailable: the server does not answer or refuses the login.
    """
    try:
        return psycopg.connect(dsn, autocommit=autocommit, **_options(role, application))
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database cannot be reached: {error}".strip()) from error


def pool(dsn: str, *, role: str, application: str, size: int = 8) -> ConnectionPool[Connection[TupleRow]]:
    """A pool for a process with threads; opened by its first use, closed by its owner."""
    return ConnectionPool(
        dsn,
        min_size=1,
        max_size=size,
        kwargs=_options(role, application),
        open=True,
        timeout=10,
        name=application,
        check=ConnectionPool.check_connection,
    )


@contextmanager
def transaction(source: ConnectionPool[Any]) -> Iterator[Conn]:
    """A connection whose work is committed at the end of the block, or undone if it raises."""
    with source.connection() as conn, conn.transaction():
        yield conn


def wait_until_ready(dsn: str, deadline: timedelta) -> None:
    """Return once the server answers a query.

    Raises:
        Unavailable: it did not within the deadline.
    """
    end = time.monotonic() + deadline.total_seconds()
    while True:
        try:
            with psycopg.connect(dsn, connect_timeout=3) as conn:
                conn.execute("select 1")
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > end:
                raise Unavailable(
                    f"The database did not answer within {deadline}: {error}".strip()
                ) from error
            time.sleep(0.05)


@cache
def columns(row: type, prefix: str = "") -> LiteralString:
    """The column list of a dataclass: `select {columns(Visit, "v.")} from fsm.visit v`."""
    return ", ".join(prefix + field.name for field in dataclasses.fields(row))


def one(conn: Conn, query: LiteralString, params: Any = None) -> dict[str, Any] | None:
    """The first row as a dict, or None."""
    return conn.cursor(row_factory=dict_row).execute(query, params).fetchone()


def rows(conn: Conn, query: LiteralString, params: Any = None) -> list[dict[str, Any]]:
    """All rows as dicts."""
    return conn.cursor(row_factory=dict_row).execute(query, params).fetchall()


def scalar(conn: Conn, query: LiteralString, params: Any = None) -> Any:
    """The first column of the first row, or None."""
    found = conn.execute(query, params).fetchone()
    return None if found is None else found[0]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
