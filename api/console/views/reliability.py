"""How often what fails, with interval and population."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from api.accounts import User
from api.console.render import page, present
from api.deps import Tx
from api.permissions import require
from api.queries import reliability

router = APIRouter(include_in_schema=False)


@router.get("/reliability")
def overview(
    request: Request, conn: Tx, user: Annotated[User, Depends(require("reliability"))]
) -> HTMLResponse:
    """By model, by component, by failure mode; how honest the alarms were."""
    found = reliability.mtbf(conn)
    modes = [row for row in found["failure_mode"] if row["failures"]]
    return page(
        request, "reliability.html", user, present(conn)[0],
        models=found["model"], components=found["component"], modes=modes[:12],
        most=max((row["failures"] for row in modes), default=0), total=sum(row["failures"] for row in modes),
        quality=reliability.repairs(conn),
    )  # fmt: skip
