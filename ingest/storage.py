"""Where telemetry rows live. The one module that knows the difference between plain PostgreSQL, TimescaleDB's
Apache edition and its Community edition: four functions (create, ensure_range, drop_before, columnstore).

Chunks are a week, aligned to the Unix epoch on every level, so retention drops the same ranges everywhere.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from psycopg import sql

from kit.database import EPOCH, Conn, scalar

Level = Literal["plain", "timescale_apache", "timescale_community"]
CHUNK = timedelta(days=7)
COLUMNS = ("batch_id", "ts", "device_id", "seq", "shape_id", "values", "received_at")


def detect(conn: Conn) -> Level:
    """What this server can do. Making the extension without its library preloaded would cut the connection,
    so `shared_preload_libraries` is asked first."""
    preloaded = scalar(conn, "select current_setting('shared_preload_libraries')")
    if "timescaledb" not in preloaded:
        return "plain"
    conn.execute("create extension if not exists timescaledb")
    edition = scalar(conn, "select current_setting('timescaledb.license', true)")
    return "timescale_community" if edition == "timescale" else "timescale_apache"


def level(conn: Conn) -> Level:
    """The level recorded when the table was made."""
    found: Level = scalar(conn, "select level from ingest.storage_meta")
    return found


def create(conn: Conn) -> None:
    """Make the telemetry table for this server's level; nothing when it exists."""
    if scalar(conn, "select to_regclass('ingest.telemetry')") is not None:
        return
    kind = detect(conn)
    conn.execute(
        sql.SQL(
            """create table ingest.telemetry (
                   batch_id    bigint not null,
                   ts          timestamptz not null,
                   device_id   int not null,
                   seq         bigint not null,
                   shape_id    int not null,
                   "values"    float8[] not null,
                   received_at timestamptz not null,
                   unique (device_id, ts, seq)
               ) {}"""
        ).format(sql.SQL("partition by range (ts)" if kind == "plain" else ""))
    )
    if kind != "plain":
        conn.execute(
            "select create_hypertable('ingest.telemetry', by_range('ts', %s), create_default_indexes => false)",
            (CHUNK,),
        )
    conn.execute("create index telemetry_batch on ingest.telemetry (batch_id)")
    conn.execute("insert into ingest.storage_meta (level, chunk) values (%s, %s)", (kind, CHUNK))
