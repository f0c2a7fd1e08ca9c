"""A request by desk, telephone or website becomes an order."""

from __future__ import annotations

from api import scope
from api.deps import Call
from api.schemas.requests import NewOrder
from fsm_core.intake.actions import Intake, Request, open_request


def take_in(call: Call, wanted: NewOrder) -> Intake:
    """Open the order; likely duplicates come with it, proposed, not merged.

    Raises:
        NotFound: the device does not exist for this user.
        Invalid, Forbidden, Conflict: as `fsm_core.intake.actions.open_request`.
    """
    request = Request(
        channel="website" if call.user.role == "customer" else wanted.source,
        text=wanted.description or wanted.title,
        device_id=scope.device(call.conn, call.user, wanted.device_uid) if wanted.device_uid else None,
        site_id=wanted.site_id,
        type=wanted.type,
        failure_mode=wanted.failure_mode,
        priority=wanted.priority,
        title_en=wanted.title,  # in the words of whoever asked, whatever their language
        title_zh=wanted.title,
        fault_at=min(wanted.fault_at, call.at) if wanted.fault_at else None,
    )
    return open_request(call.conn, request, call.actor, call.at)
