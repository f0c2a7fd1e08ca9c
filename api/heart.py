"""The API's own beat in kit.process, like every process of the family."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from api.events import Hub
from kit import logs, process
from kit.database import transaction

log = logs.get(__name__)
SECONDS = 2.0


async def beating(pool: ConnectionPool[Any], hub: Hub) -> None:
    """Beat until cancelled."""
    while True:
        try:
            await asyncio.to_thread(_beat, pool, {"event_streams": hub.watching})
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("no beat", error=str(error).strip())
        await asyncio.sleep(SECONDS)


def _beat(pool: ConnectionPool[Any], detail: dict[str, int]) -> None:
    with transaction(pool) as conn:
        process.beat(conn, "api", detail)
        conn.execute("delete from api.idempotency where created_at < clock_timestamp() - interval '2 days'")
