"""The application: routes, errors, the event hub; everything it needs is handed in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from psycopg_pool import ConnectionPool

from api import console, errors
from api.accounts import Attempts
from api.console.pages import error_page
from api.deps import State
from api.events import Hub
from api.heart import beating
from api.routes import analytics, devices, dispatch, health, ingest, orders, reliability, session, visits
from api.schemas.common import ERRORS
from api.security import Signer, session_secret
from kit.database import transaction, url
from kit.settings import Settings

ROLE = "meantime_api"
_SUBJECTS = (session, analytics, dispatch, orders, visits, devices, ingest, health, reliability)


def create_app(pool: ConnectionPool[Any], settings: Settings) -> FastAPI:
    """The ASGI application on a pool whose connections have the role `meantime_api`."""
    app = FastAPI(
        title="Meantime",
        summary="From a device's telemetry to a settled work order.",
        version=health.program_version(),
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    with transaction(pool) as conn:
        signer = Signer(session_secret(conn, settings))
    app.state.meantime = State(pool, settings, signer, Attempts())
    errors.install(app, error_page)
    for subject in _SUBJECTS:
        app.include_router(subject.router, responses=ERRORS)
    console.install(app)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    own: State = app.state.meantime
    hub = app.state.hub = Hub(url(own.settings), ROLE)
    loop = asyncio.get_running_loop()
    app.state.close_streams = lambda: loop.call_soon_threadsafe(hub.close)
    tasks = [asyncio.create_task(hub.run()), asyncio.create_task(beating(own.pool, hub))]
    try:
        yield
    finally:
        hub.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
