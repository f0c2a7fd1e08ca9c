"""What could not be used: dead letters, quarantined values, unknown devices."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.accounts import User
from api.deps import Call, CallDep, State, Tx, state
from api.idempotency import once
from api.permissions import require
from api.queries import ingest as reads
from api.schemas.common import Counted, Listing, Page, Row
from api.schemas.devices import Chosen, DeadLetter, Quarantined, UnknownDevice
from ingest import dead_letters
from ingest.store import Store
from kit.errors import Invalid

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


class Replayed(Row):
    """How many were taken in now; the refused ones with their reasons; the greatest id that was looked at."""

    stored: int
    refused: dict[int, str]
    last: int | None


@router.post("/dead-letters/replay", response_model=Replayed, dependencies=MANAGING)
def replay(body: Chosen, call: CallDep, own: Annotated[State, Depends(state)]) -> Any:
    """Take letters in again after a fix, by id or by reason, at most 1,000 at once; go on with `after` = `last`."""
    return once(call, lambda: replay_letters(call, body, own))


def replay_letters(call: Call, chosen: Chosen, own: State) -> dict[str, Any]:
    """What the store takes now is marked as replayed; what it refuses stays."""
    store = Store(own.settings.ingest, door="replay")
    done = dead_letters.replay(call.conn, _which(chosen), store, after=chosen.after)
    return {"stored": len(done.stored), "refused": done.refused, "last": done.last}


def _which(chosen: Chosen) -> list[int] | str:
    if bool(chosen.ids) == (chosen.reason is not None):
        raise Invalid("Name either ids or a reason.")
    return chosen.reason if chosen.reason is not None else chosen.ids


@router.post("/dead-letters/purge", response_model=Counted, dependencies=MANAGING)
def purge(body: Chosen, call: CallDep) -> Any:
    """Delete letters for good, by id or by reason; the totals keep counting them."""
    return once(call, lambda: {"count": purge_letters(call, body)})


def purge_letters(call: Call, chosen: Chosen) -> int:
    """How many were deleted."""
    which = _which(chosen)
    if isinstance(which, str):
        return dead_letters.purge(call.conn, reason=which)
    return dead_letters.purge(call.conn, ids=which)
