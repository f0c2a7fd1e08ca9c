"""Devices: list, read, telemetry; provisioning for administrators."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from api import scope
from api.accounts import User
from api.deps import CallDep, Tx
from api.idempotency import once
from api.permissions import require
from api.queries import devices, remaining_life, telemetry
from api.schemas.common import Done, Listing, Page
from api.schemas.devices import Credentials, Device, DeviceRow, Provision, ProvisionCsv, Series
from ingest import registry
from kit import clock
from kit.database import Conn
from kit.errors import NotFound

router = APIRouter(prefix="/api/devices", tags=["devices"])
Reader = Annotated[User, Depends(require("devices.read"))]
MANAGING = [Depends(require("devices.manage"))]


@router.get("", response_model=Page[DeviceRow])
def listing(
    conn: Tx,
    user: Reader,
    q: Annotated[str, Query(max_length=100, description="in uid, serial, site, customer, model")] = "",
    model: str = "",
    health: Annotated[str, Query(pattern="^(|good|watch|bad)$")] = "",
    online: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: int | None = None,
) -> dict[str, Any]:
    """Devices that exist for you."""
    items, following = devices.listing(
        conn, user, text=q.strip(), model=model, health=health, online=online, limit=limit, after=after
    )
    return {"items": items, "next": following}


@router.post("", response_model=Credentials, status_code=201, dependencies=MANAGING)
def provision(body: Provision, call: CallDep) -> Any:
    """Let a device in. The token is shown this once."""
    return once(call, lambda: registry.provision(call.conn, body.uid, body.model))


@router.post("/import", response_model=Listing[Credentials], status_code=201, dependencies=MANAGING)
def import_csv(body: ProvisionCsv, call: CallDep) -> Any:
    """Let many devices in, one a line of a CSV with the columns uid and model; all or none. Tokens are shown once."""
    return once(call, lambda: {"items": registry.provision_csv(call.conn, body.csv)})


@router.get("/{uid}", response_model=Device)
def read(uid: str, conn: Tx, user: Reader) -> dict[str, Any]:
    """One device with what it says, what was found, and what it carries."""
    return device_detail(conn, user, uid)


def device_detail(conn: Conn, user: User, uid: str) -> dict[str, Any]:
    """The device's row and its sections; see api.schemas.devices.Device."""
    device_id = scope.device(conn, user, uid)
    device = devices.device(conn, device_id)
    return device | {
        "metrics": devices.metrics(conn, device["model"]),
        "faults": devices.faults(conn, device_id),
        "detections": devices.detections(conn, device_id),
        "installed_parts": devices.installed_parts(conn, device_id),
        "run_hours_days": devices.run_hours_days(conn, device_id),
        "remaining_life": remaining_life.of_device(conn, device_id),
    }


@router.get("/{uid}/telemetry", response_model=Series)
def series(
    uid: str,
    conn: Tx,
    user: Reader,
    metric: str,
    start: Annotated[datetime | None, Query(alias="from", description="default: 24 h before `to`")] = None,
    end: Annotated[datetime | None, Query(alias="to", description="default: now")] = None,
    level: Literal["auto", "raw", "hour"] = "auto",
) -> dict[str, Any]:
    """Readings of a metric: raw up to 25 hours, hourly means with their range beyond."""
    device_id = scope.device(conn, user, uid)
    known = {row["name"]: row for row in devices.metrics(conn, devices.device(conn, device_id)["model"])}
    if metric not in known:
        raise NotFound(f"{uid} has no metric {metric!r}; it has {', '.join(sorted(known))}")
    until = end or clock.now(conn)
    since = start or until - timedelta(hours=24)
    return telemetry.series(conn, device_id, metric, since, until, level=level) | {
        "unit": known[metric]["unit"]
    }


@router.post("/{uid}/rotate", response_model=Credentials, dependencies=MANAGING)
def rotate(
    uid: str,
    call: CallDep,
    keep_hours: Annotated[float, Query(ge=0, le=8760, description="the old ones go on for so long")] = 0.0,
) -> Any:
    """A new token, shown this once; the old ones stop."""
    return once(call, lambda: registry.rotate(call.conn, uid, keep=timedelta(hours=keep_hours)))


@router.post("/{uid}/reinstate", response_model=Credentials, dependencies=MANAGING)
def reinstate(uid: str, call: CallDep) -> Any:
    """Let a revoked device in again, with a new token, shown this once."""
    return once(call, lambda: registry.reinstate(call.conn, uid))


@router.post("/{uid}/revoke", response_model=Done, dependencies=MANAGING)
def revoke(uid: str, call: CallDep) -> Any:
    """Shut a device out."""

    def act() -> dict[str, bool]:
        registry.revoke(call.conn, uid)
        return {"done": True}

    return once(call, act)
