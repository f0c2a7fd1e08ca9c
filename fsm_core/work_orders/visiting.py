"""What a visit's move writes down: time stamps, minutes worked, where the engineer was."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import asin, cos, radians, sin, sqrt
from typing import Any

from fsm_core.actors import Actor
from fsm_core.work_orders.store import Visit, WorkOrder
from kit.database import Conn, one, scalar
from kit.errors import Forbidden, Invalid

EARTH_M = 6_371_008.8
ENDING = frozenset({"finish", "incomplete", "decline", "withdraw", "cancel"})


def progress(visit: Visit, action: str, at: datetime, reason: str | None) -> dict[str, Any]:
    """New values of the visit's time stamps and figures after an action at `at`."""
    stamps: dict[str, dict[str, Any]] = {
        "confirm": {"confirmed_at": at},
        "travel": {"traveling_at": at},
        "check_in": {"on_site_at": at},
        "start": {"working_at": at, "working_since": at},
        "resume": {"working_since": at},
        "decline": {"decline_reason": reason},
    }
    new = dict(stamps.get(action, {}))
    if action == "pause" or action in ENDING:
        new |= {"worked_minutes": worked(visit, at), "working_since": None}
    if action in ENDING:
        new["ended_at"] = at
    return new


def worked(visit: Visit, at: datetime) -> float:
    """Minutes worked until `at`, without pauses."""
    if visit.working_since is None:
        return visit.worked_minutes
    return visit.worked_minutes + max(0.0, (at - visit.working_since) / timedelta(minutes=1))


def check_in(
    conn: Conn, order: WorkOrder, actor: Actor, position: tuple[float, float] | None, qr_token: str | None
) -> dict[str, Any]:
    """The evidence of being there: the distance to the site in metres, None when the QR code was scanned.

    Raises:
        Invalid: neither a position nor a QR token, or a position that is none.
        Forbidden: the QR token is not that of the order's device.
    """
    if qr_token is not None and not scalar(
        conn, "select 1 from fsm.device where id = %s and qr_token = %s", (order.device_id, qr_token)
    ):
        raise Forbidden("That QR code is not of this order's device.")
    if position is None:
        if qr_token is None and actor.role == "engineer":
            raise Invalid("Check in with your position or by the device's QR code.")
        return {"site_distance_m": None}
    _check(position)
    site = one(conn, "select latitude, longitude from fsm.site where id = %s", (order.site_id,))
    assert site is not None, "the order's site is a foreign key"
    return {"site_distance_m": round(distance_m(position, (site["latitude"], site["longitude"])), 1)}


def note_position(conn: Conn, technician_id: int, position: tuple[float, float] | None, at: datetime) -> None:
    """Keep where the engineer is; an older report does not replace a newer one."""
    if position is None:
        return
    _check(position)
    conn.execute(
        """insert into fsm.position (technician_id, latitude, longitude, at) values (%s, %s, %s, %s)
           on conflict (technician_id) do update
               set latitude = excluded.latitude, longitude = excluded.longitude, at = excluded.at
               where fsm.position.at <= excluded.at""",
        (technician_id, *position, at),
    )


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance in metres between two (latitude, longitude) in degrees.

    >>> round(distance_m((31.2, 121.5), (31.2, 121.6)) / 1000, 1)
    9.5
    """
    (lat1, lon1), (lat2, lon2) = ((radians(x), radians(y)) for x, y in (a, b))
    h = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_M * asin(sqrt(h))


def _check(position: tuple[float, float]) -> None:
    latitude, longitude = position
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise Invalid(f"{position} is not a latitude in −90 … 90 and a longitude in −180 … 180.")
