"""Migrations: numbered `.sql` files run once, in order, under a lock, with checksums; `always/*.sql` (views,
functions, grants) run each time. A package is a schema; its files may name upstream schemas only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from kit.database import ROLES, Conn
from kit.errors import Misconfigured

KIT = Path(__file__).parent / "sql"
_LOCK = 0x6D65616E  # "mean"


@dataclass(frozen=True)
class Source:
    """One package's migrations."""

    schema: str
    folder: Path
    after: Callable[[Conn], None] | None = None
    """Idempotent work that SQL text cannot do, such as making a hypertable where the extension is there."""


def migrate(conn: Conn, sources: Iterable[Source]) -> list[str]:
    """Bring the database up to date in one transaction; the caller commits.

    Returns: the names of the files run for the first time.

    Raises:
        Misconfigured: a file that was already run has changed, or one that was run is missing.
    """
    conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    _prepare(conn)
    done: list[str] = []
    for source in (Source("kit", KIT), *sources):
        conn.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(source.schema)))
        done += _run_new(conn, source)
        for path in sorted((source.folder / "always").glob("*.sql")):
            _execute(conn, path)
        if source.after is not None:
            source.after(conn)
    return done


def _prepare(conn: Conn) -> None:
    for role in ROLES:
        # Roles belong to the whole server: two databases of one server may race for them.
        conn.execute(
            sql.SQL(
                """do $$ begin create role {} nologin;
                   exception when duplicate_object or unique_violation then null; end $$"""
            ).format(sql.Identifier(role))
        )
        conn.execute(
            sql.SQL(
                """do $$ begin
                   if not pg_has_role(current_user, {}, 'member') then grant {} to current_user; end if; end $$"""
            ).format(sql.Literal(role), sql.Identifier(role))
        )
    conn.execute("create schema if not exists kit")
    conn.execute(
        """create table if not exists kit.migration (
               schema text, name text, checksum text not null, applied_at timestamptz not null default now(),
               primary key (schema, name))"""
    )


def _run_new(conn: Conn, source: Source) -> list[str]:
    known = dict(
        conn.execute(
            "select name, checksum from kit.migration where schema = %s", (source.schema,)
        ).fetchall()
    )
    paths = {path.name: path for path in sorted(source.folder.glob("*.sql"))}
    if missing := sorted(set(known) - set(paths)):
        raise Misconfigured(
            f"The database has run {source.schema}/{missing[0]}, which this version does not have: "
            "it is newer than this program. Install the version that wrote it."
        )
    done = []
    for name, path in paths.items():
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        if name not in known:
            _execute(conn, path)
            conn.execute(
                "insert into kit.migration (schema, name, checksum) values (%s, %s, %s)",
                (source.schema, name, checksum),
            )
            done.append(f"{source.schema}/{name}")
        elif known[name] != checksum:
            raise Misconfigured(
                f"{source.schema}/{name} was changed after it had run. Restore it and put the change into a new file."
            )
    return done


def _execute(conn: Conn, path: Path) -> None:
    conn.execute(path.read_text(encoding="utf-8"))
