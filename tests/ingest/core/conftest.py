"""A small fleet for the tests of the core, and messages from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import sql

from ingest import device_types, registry
from ingest.message import Arrival
from ingest.store import Store, Written
from kit.database import Conn, connect
from kit.settings import Ingest
from meantime.postgres import Server

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)

PUMP: dict[str, Any] = {
    "model": {"code": "pump", "name_en": "Pump", "name_zh": "泵", "kind": "pump"},
    "metric": [
        {"name": "run_hours", "name_en": "Run-hours", "name_zh": "运行小时", "unit": "h", "low": 0, "high": 1e6,
         "role": "run_hours", "rolls_at": 1000},
        {"name": "vibration", "name_en": "Vibration", "name_zh": "振动", "unit": "mm/s", "low": 0, "high": 60},
        {"name": "temperature", "name_en": "Temperature", "name_zh": "温度", "unit": "°C", "low": -40, "high": 200},
        {"name": "flow", "name_en": "Flow", "name_zh": "流量", "unit": "m³/h", "low": 0, "high": 400},
    ],
    "failure_mode": [
        {"code": "wear", "component": "bearing", "name_en": "Wear", "name_zh": "磨损", "priority": 2,
         "symptoms": [{"metric": "vibration", "direction": "up"}]},
    ],
    "fault_code": [
        {"code": "E1", "severity": 2, "failure_mode": "wear", "text_en": "Vibration", "text_zh": "振动"},
        {"code": "W1", "severity": 4, "text_en": "Filter", "text_zh": "滤芯"},
    ],
}  # fmt: skip


def ms(at: datetime) -> int:
    """Epoch milliseconds."""
    return round(at.timestamp() * 1000)


def arrival(topic: str, body: Any, *, uid: str | None = None, at: datetime = NOW) -> Arrival:
    """A message; `body` is bytes, or anything JSON can hold."""
    return Arrival(topic, body if isinstance(body, bytes) else json.dumps(body).encode(), uid, None, at)


def telemetry(uid: str = "P-1", at: datetime = NOW, *, seq: int | None = None, **values: float) -> Arrival:
    """Our telemetry message."""
    body: dict[str, Any] = {"ts": ms(at), "values": values} | ({} if seq is None else {"seq": seq})
    return arrival(f"meantime/{uid}/telemetry", body)


def take(conn: Conn, store: Store, arrivals: Iterable[Arrival]) -> Written:
    """One committed write."""
    with conn.transaction():
        written = store.write(conn, list(arrivals))
    store.committed(written)
    return written


def dump(conn: Conn, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the named tables hold, in a fixed order and without what depends on the moment of writing."""
    wanted = {
        "telemetry": 'ts, device_id, seq, shape_id, "values"',
        "fault_event": "device_id, ts, code, active",
        "device_state": "device_id, ts, online, reason",
        "device_status": "device_id, online, online_at, last_ts, messages",
        "run_hours": "device_id, ts, raw, round(life::numeric, 6)",
        "run_hours_day": "device_id, day, round(hours::numeric, 6)",
        "quarantine": "device_id, ts, item, value, reason",
        "reading_hour": "device_id, metric, bucket, n, round(mean::numeric, 9), low, high, first, last",
    }
    return {
        name: conn.execute(f"select {wanted[name]} from ingest.{name} order by {wanted[name]}").fetchall()
        for name in tables or wanted
    }


def populate(conn: Conn) -> None:
    """The model `pump` and the devices P-1 … P-4, with ids 1 … 4."""
    device_types.load(conn, PUMP)
    for number in range(1, 5):
        registry.provision(conn, f"P-{number}", "pump", NOW - timedelta(days=300))


@pytest.fixture(scope="session")
def fleet_dsn(server: Server, template: str) -> Iterator[str]:
    """A database with the fleet, for tests that undo what they do: making one for each takes too long."""
    with connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database core template {}").format(sql.Identifier(template)))
        with connect(server.dsn("core"), autocommit=True) as conn:
            populate(conn)
        yield server.dsn("core")
        admin.execute("drop database core with (force)")


@pytest.fixture
def writer(fleet_dsn: str) -> Iterator[Conn]:
    """A connection in the role of the doors, in a transaction that is undone; `take` makes savepoints in it."""
    with (
        connect(fleet_dsn, role="meantime_ingest", application="test", autocommit=True) as conn,
        conn.transaction(force_rollback=True),
    ):
        yield conn


@pytest.fixture
def fleet(db: Conn) -> Conn:
    """The owner's connection to a database of the test's own with the fleet, where commits are real."""
    populate(db)
    return db


@pytest.fixture
def store() -> Store:
    return Store(Ingest(), door="endpoint")
