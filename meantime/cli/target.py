"""The database a command works on, in the role of the package whose verb it calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from kit import logs
from kit import settings as kit_settings
from kit.database import Conn, connect
from kit.errors import Misconfigured
from kit.settings import Settings
from meantime import embedded


@contextmanager
def transaction(role: str | None = None) -> Iterator[Conn]:
    """One transaction, committed at the end of the block.

    Raises:
        Misconfigured: the database was never migrated.
    """
    with database() as (dsn, _), connect(dsn, role=role, application="cli") as conn:
        yield conn


@contextmanager
def database() -> Iterator[tuple[str, Settings]]:
    """The DSN and the settings; logs are set up."""
    settings = kit_settings.load()
    logs.configure(settings, "cli")
    with embedded.database(settings) as dsn:
        try:
            yield dsn, settings
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise Misconfigured(
                f"The database is not up to date ({error}): run `meantime migrate`."
            ) from error
