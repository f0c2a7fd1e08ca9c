"""What could not be used: dead letters, quarantined values, unknown devices."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.accounts import User
from api.deps import Tx
from api.permissions import require
from api.queries import ingest as reads
from api.schemas.common import Listing, Page
from api.schemas.devices import DeadLetter, Quarantined, UnknownDevice

router = APIRouter(prefix="/api", tags=["ingest"])
Reader = Annotated[User, Depends(require("ingest.read"))]
MANAGING = [Depends(require("ingest.manage"))]


@router.get("/dead-letters", response_model=Page[DeadLetter])
def listing(
    conn: Tx,
    user: Reader,
    reason: str = "",
    replayed: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: int | None = None,
) -> dict[str, Any]:
    """Messages that could not be used, newest first."""
    items, following = reads.dead_letters(conn, reason=reason, replayed=replayed, limit=limit, after=after)
    return {"items": items, "next": following}


@router.get("/quarantine", response_model=Page[Quarantined])
def quarantine(
    conn: Tx, user: Reader, limit: Annotated[int, Query(ge=1, le=200)] = 50, after: int | None = None
) -> dict[str, Any]:
    """Values refused while the rest of their message was stored, newest first."""
    items, following = reads.quarantine(conn, limit=limit, after=after)
    return {"items": items, "next": following}


@router.get("/unknown-devices", response_model=Listing[UnknownDevice])
def unknown(conn: Tx, user: Reader) -> dict[str, Any]:
    """Uids that knocked without being provisioned."""
    return {"items": reads.unknown_devices(conn)}
