"""Where telemetry rows live. The one module that knows the difference between plain PostgreSQL, TimescaleDB's
Apache edition and its Community edition: create, ensure_range, drop_before and status; `columnstore` compresses.

Chunks are a week, aligned to the Unix epoch on every level, so retention drops the same ranges everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from psycopg import sql

from ingest import columnstore, letter_store
from kit.database import EPOCH, Conn, one, rows, scalar
from kit.errors import Misconfigured

Level = Literal["plain", "timescale_apache", "timescale_community"]
CHUNK = timedelta(days=7)
CHUNK_US = CHUNK // timedelta(microseconds=1)
COLUMNS = ("batch_id", "ts", "device_id", "seq", "shape_id", "values", "received_at")
_LOCK = 0x4D54_5041  # partitions are made by one transaction at a time
_VIEWS = Path(__file__).parent / "sql" / "views"


def detect(conn: Conn) -> Level:
    """What this server can do. Making the extension without its library preloaded would cut the connection,
    so first a setting is asked for that the preloaded library alone brings, which any role may see."""
    if scalar(conn, "select current_setting('timescaledb.disable_load', true)") is None:
        return "plain"
    conn.execute("create extension if not exists timescaledb")
    edition = scalar(conn, "select current_setting('timescaledb.license', true)")
    return "timescale_community" if edition == "timescale" else "timescale_apache"


def level(conn: Conn) -> Level:
    """The level recorded when the table was made."""
    found: Level = scalar(conn, "select level from ingest.storage_meta")
    return found


def create(conn: Conn) -> None:
    """Make the telemetry table for this server's level, with its view and rights; what exists stays.

    Raises:
        Misconfigured: the table was made on a TimescaleDB, or on its Community edition, and this server has none.
    """
    if scalar(conn, "select to_regclass('ingest.telemetry')") is None:
        _create_table(conn)
    else:
        _check_level(conn)
    for path in sorted(_VIEWS.glob("*.sql")):
        conn.execute(path.read_bytes())
    conn.execute(
        "grant select on ingest.telemetry, ingest.reading "
        "to meantime_ingest, meantime_analytics, meantime_fsm, meantime_reports"
    )


def _create_table(conn: Conn) -> None:
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
    if kind == "timescale_community":
        columnstore.enable(conn)
    conn.execute("grant create on schema ingest to meantime_ingest")
    conn.execute("alter table ingest.telemetry owner to meantime_ingest")


def _check_level(conn: Conn) -> None:
    made, here = level(conn), detect(conn)
    if (made == "plain") != (here == "plain") and made != "plain":
        raise Misconfigured(
            f"Telemetry was stored on {made}, but this server has no TimescaleDB: add timescaledb to its "
            "shared_preload_libraries, or restore the data into a new database."
        )
    if made == "timescale_community" and here == "timescale_apache":
        raise Misconfigured(
            "Telemetry was stored on TimescaleDB Community, but this server's timescaledb.license is 'apache', which "
            "cannot read compressed chunks: set it to 'timescale' in the server's configuration, as it was."
        )
    if made == "timescale_apache" and here == "timescale_community":
        conn.execute("update ingest.storage_meta set level = %s", (here,))
        columnstore.enable(conn)


def chunk_of(ts_us: int) -> int:
    """The number of the chunk that a time in µs since the epoch falls into."""
    return ts_us // CHUNK_US


def chunks_of(ts_us: npt.NDArray[np.int64]) -> list[int]:
    """The chunks that times fall into."""
    if not len(ts_us):
        return []
    first, last = int(ts_us.min()) // CHUNK_US, int(ts_us.max()) // CHUNK_US
    if first == last:
        return [first]
    found: list[int] = np.unique(ts_us // CHUNK_US).tolist()
    return found


def ensure_range(conn: Conn, first: datetime, last: datetime) -> None:
    """Make sure rows from `first` to `last` have a chunk to go to."""
    ensure(conn, range((first - EPOCH) // CHUNK, (last - EPOCH) // CHUNK + 1))


def ensure(conn: Conn, chunks: Iterable[int]) -> None:
    """Make the partitions of these chunk numbers where they are missing. A table is made and then attached: that
    lets other writers go on, which `create table … partition of` would not."""
    if level(conn) != "plain":
        return
    missing = _without_partition(conn, chunks)
    if not missing:
        return
    conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    for n in _without_partition(conn, missing):
        _attach(conn, n)


def _without_partition(conn: Conn, chunks: Iterable[int]) -> list[int]:
    """Those that have none; asked of the catalogue's rows, because to_regclass may remember what was true before
    another transaction committed."""
    names = {_name(n): n for n in chunks}
    found = conn.execute(
        """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'ingest.telemetry'::regclass and c.relname = any(%s)""",
        (list(names),),
    )
    return sorted(set(names.values()) - {names[name] for (name,) in found})


def _name(chunk: int) -> str:
    return f"telemetry_{EPOCH + chunk * CHUNK:%Y%m%d}"


def _attach(conn: Conn, chunk: int) -> None:
    name = sql.Identifier("ingest", _name(chunk))
    first, last = EPOCH + chunk * CHUNK, EPOCH + (chunk + 1) * CHUNK
    conn.execute(sql.SQL("create table {} (like ingest.telemetry including all)").format(name))
    conn.execute(sql.SQL("alter table {} owner to meantime_ingest").format(name))
    conn.execute(
        sql.SQL("alter table ingest.telemetry attach partition {} for values from ({}) to ({})").format(
            name, sql.Literal(first), sql.Literal(last)
        )
    )


def drop_before(conn: Conn, ts: datetime, *, wait: timedelta = timedelta(seconds=1)) -> list[str]:
    """Drop the chunks that lie wholly before `ts`; returns their names. Dropping needs the table for a moment: it
    waits at most `wait` for the writers, who meanwhile queue behind it.

    Raises:
        psycopg.errors.LockNotAvailable: the writers did not let go in time; nothing is dropped, try again.
    """
    conn.execute("select set_config('lock_timeout', %s, true)", (f"{int(wait.total_seconds() * 1000)}ms",))
    if level(conn) != "plain":
        # a chunk is dropped when its end is not after the bound
        dropped = conn.execute("select drop_chunks('ingest.telemetry', older_than => %s)", (ts,)).fetchall()
        return [name for (name,) in dropped]
    names = [chunk["name"] for chunk in chunks(conn) if chunk["until"] <= ts]
    for name in names:
        conn.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(*name.split("."))))
    return names


def chunks(conn: Conn) -> list[dict[str, Any]]:
    """The chunks, oldest first: name, since, until, bytes (with indexes and what is compressed), compressed."""
    if level(conn) != "plain":
        return rows(
            conn,
            """select format('%I.%I', chunk_schema, chunk_name) as name, range_start as since, range_end as until,
                      s.total_bytes as bytes, is_compressed as compressed
               from timescaledb_information.chunks
               join chunks_detailed_size('ingest.telemetry') s using (chunk_schema, chunk_name)
               where hypertable_schema = 'ingest' and hypertable_name = 'telemetry' order by range_start""",
        )
    found = rows(
        conn,
        """select 'ingest.' || c.relname as name, pg_total_relation_size(c.oid) as bytes,
                  (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz as since
           from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'ingest.telemetry'::regclass order by since""",
    )
    return [chunk | {"until": chunk["since"] + CHUNK, "compressed": False} for chunk in found]


def status(conn: Conn) -> dict[str, Any]:
    """What `meantime storage status` shows: level, server, chunks, sizes, oldest and newest row, what is missing,
    and what the dead letters take."""
    found = chunks(conn)
    edges = one(
        conn,
        """select (select ts from ingest.telemetry order by ts limit 1) as oldest,
                  (select ts from ingest.telemetry order by ts desc limit 1) as newest""",
    )
    assert edges is not None
    return {
        "level": level(conn),
        "server": scalar(conn, "select current_setting('server_version')"),
        "extension": scalar(conn, "select extversion from pg_extension where extname = 'timescaledb'"),
        "chunk_days": CHUNK.days,
        "chunks": found,
        "compressed": sum(chunk["compressed"] for chunk in found),
        "bytes": sum(chunk["bytes"] for chunk in found),
        "rollup_bytes": scalar(conn, "select pg_total_relation_size('ingest.reading_hour')"),
        "rollup_dirty": scalar(conn, "select count(*) from ingest.rollup_dirty"),
        **letter_store.status(conn),
        **edges,
        "missing": _missing(conn, found),
    }


def _missing(conn: Conn, found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What this level lacks, or what the worker has not done, in words."""
    lacks = []
    if level(conn) == "plain":
        present = scalar(conn, "select kit.now()")
        if not any(chunk["since"] <= present < chunk["until"] for chunk in found):
            lacks.append(
                {"code": "no_partition_now",
                 "text_en": "No partition for the present yet; a write or the storage worker makes it",
                 "text_zh": "当前时间还没有分区；写入或存储进程会自动创建"}
            )  # fmt: skip
    if level(conn) != "timescale_community":
        lacks.append(
            {"code": "no_columnstore", "text_en": "No compression: it needs TimescaleDB Community",
             "text_zh": "无压缩：需要 TimescaleDB 社区版"}
        )  # fmt: skip
    elif waits := columnstore.waiting(conn, scalar(conn, "select kit.now()") - columnstore.AFTER):
        lacks.append(
            {"code": "uncompressed",
             "text_en": f"Compression of {len(waits)} old chunks, or of their late rows (the first: {waits[0]}); "
                        "if that stays so, the log of storage says why",
             "text_zh": f"{len(waits)} 个旧分块（或其迟到数据）尚未压缩（第一个：{waits[0]}）；"
                        "若持续如此，请查看 storage 的日志"}
        )  # fmt: skip
    return lacks
