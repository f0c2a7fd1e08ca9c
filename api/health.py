"""Is everything there and alive? Database, migrations, the other processes, how far behind they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import analytics
import api
import fsm_core
import ingest
from api.queries import ingest as reads
from kit.database import Conn, one, rows

_PACKAGES: Final = {"ingest": ingest, "analytics": analytics, "fsm": fsm_core, "api": api}


def _files(package: Any) -> set[str]:
    return {path.name for path in (Path(package.__file__).parent / "sql").glob("*.sql")}


def missing_migrations(conn: Conn) -> list[str]:
    """Schema files of this program that the database has not run."""
    known = {(row["schema"], row["name"]) for row in rows(conn, "select schema, name from kit.migration")}
    wanted = {(schema, name) for schema, package in _PACKAGES.items() for name in _files(package)}
    return sorted(f"{schema}/{name}" for schema, name in wanted - known)


def ingest_lag(conn: Conn) -> dict[str, Any]:
    """The newest event time stored, and how old it is by the product's clock."""
    found = one(
        conn,
        """select max(last_ts) as newest, extract(epoch from kit.now() - max(last_ts))::float8 as seconds
           from ingest.device_status""",
    )
    assert found is not None
    return found


def readiness(conn: Conn) -> dict[str, Any]:
    """`status`: ok; degraded (a process is missed); unavailable (migrations are missing)."""
    missing = missing_migrations(conn)
    processes = {
        row["name"]: {
            "age_seconds": round(row["age_seconds"], 1),
            "alive": row["alive"],
            "missed": row["missed"],
        }
        for row in reads.processes(conn)
    }
    missed = any(seen["missed"] for seen in processes.values())
    status = "unavailable" if missing else "degraded" if missed else "ok"
    return {
        "status": status,
        "database": "ok",
        "migrations": "ok" if not missing else f"missing: {', '.join(missing)}; run `meantime migrate`",
        "processes": processes,
        "ingest": ingest_lag(conn),
    }
