"""Grafana's own login to the database: it reads the `reports` schema and nothing else."""

from __future__ import annotations

from psycopg import sql

from kit.database import Conn
from kit.errors import Invalid

ROLE = "meantime_grafana"


def set_password(conn: Conn, password: str) -> None:
    """Let Grafana log in with a password, read-only and with short queries.

    Raises:
        Invalid: the password is too short to keep anybody out.
    """
    if len(password) < 12:
        raise Invalid(f"the password of {ROLE} needs at least 12 characters")
    role = sql.Identifier(ROLE)
    conn.execute(sql.SQL("alter role {} login password {}").format(role, sql.Literal(password)))
    conn.execute(sql.SQL("alter role {} set default_transaction_read_only = on").format(role))
    conn.execute(sql.SQL("alter role {} set statement_timeout = '30s'").format(role))
