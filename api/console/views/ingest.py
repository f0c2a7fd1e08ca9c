"""What came in and what did not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import User
from api.console.figures import figures, refusal, total
from api.console.render import back_to, language_of, page, present
from api.deps import CallDep, State, Tx, state
from api.idempotency import once
from api.permissions import may, require
from api.queries import ingest
from api.routes.ingest import MANAGING, purge_letters, replay_letters
from api.schemas.devices import Chosen
from api.text import words

router = APIRouter(include_in_schema=False)


@router.get("/ingest")
def overview(
    request: Request,
    conn: Tx,
    user: Annotated[User, Depends(require("ingest.read"))],
    reason: str = "",
    after: int | None = None,
) -> HTMLResponse:
    """Doors, totals, dead letters, quarantine, unknown devices."""
    t = words(language_of(request, user))
    letters, following = ingest.dead_letters(conn, reason=reason, replayed=False, limit=25, after=after)
    processes = ingest.processes(conn)
    for process in processes:
        process["figures"] = figures(t, process["detail"])
    return page(
        request, "ingest.html", user, present(conn)[0],
        processes=processes, minute=ingest.batches(conn), totals=ingest.totals(conn),
        reasons=ingest.dead_letter_reasons(conn), letters=letters, reason=reason, after=after,
        next_page=f"?reason={reason}&after={following}" if following else None,
        quarantined=ingest.quarantine(conn, limit=25)[0], unknown=ingest.unknown_devices(conn)[:50],
        refusal=lambda code: refusal(t, code), total=lambda name: total(t, name), may_manage=may(user, "ingest.manage"),
    )  # fmt: skip


@router.post("/ingest/replay", dependencies=MANAGING)
def replay(call: CallDep, reason: Annotated[str, Form()], own: Annotated[State, Depends(state)]) -> Response:
    """Take the letters of a reason in again."""
    once(call, lambda: replay_letters(call, Chosen(reason=reason), own))
    return back_to("/ingest")


@router.post("/ingest/purge", dependencies=MANAGING)
def purge(call: CallDep, reason: Annotated[str, Form()]) -> Response:
    """Delete the letters of a reason."""
    once(call, lambda: purge_letters(call, Chosen(reason=reason)))
    return back_to("/ingest")
