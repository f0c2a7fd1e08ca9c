"""For operators and monitors: alive, ready, figures, version, and the live stream."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api import health, metrics
from api.accounts import User
from api.deps import Tx
from api.events import Hub
from api.permissions import require

router = APIRouter(tags=["health"])


class Ready(BaseModel):
    """`status`: ok, degraded (a process is silent) or unavailable."""

    status: str
    database: str
    migrations: str
    processes: dict[str, dict[str, Any]]
    ingest: dict[str, Any]


class Version(BaseModel):
    """What runs here."""

    version: str
    python: str


@router.get("/livez")
def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Ready)
def readyz(conn: Tx, response: Response) -> dict[str, Any]:
    """503 while the database is away or not migrated; a silent process shows as degraded."""
    found = health.readiness(conn)
    if found["status"] == "unavailable":
        response.status_code = 503
    return found


@router.get("/metrics", response_class=Response)
def figures(conn: Tx) -> Response:
    """Prometheus text."""
    return Response(metrics.text(conn), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/version", response_model=Version)
def version() -> dict[str, str]:
    """The program's version."""
    return {"version": program_version(), "python": platform.python_version()}


def program_version() -> str:
    """As installed; `0` from a source tree that was never installed."""
    try:
        return metadata.version("meantime")
    except metadata.PackageNotFoundError:
        return "0"


@router.get("/api/events", response_class=StreamingResponse, tags=["orders"])
async def events(
    request: Request, user: Annotated[User, Depends(require("orders.read"))]
) -> StreamingResponse:
    """Server-sent events: `order` for each move of an order that exists for you, `resync` after a burst."""
    hub = cast(Hub, request.app.state.hub)
    return StreamingResponse(
        hub.stream(user),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
