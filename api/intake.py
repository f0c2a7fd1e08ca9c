"""A request by desk, telephone or website becomes an order."""

from __future__ import annotations

from dataclasses import dataclass

from api import scope
from api.accounts import User
from api.deps import Call
from api.schemas.orders import NewOrder
from fsm_core.work_orders import actions as work_orders
from kit.database import Conn, one
from kit.errors import Invalid


@dataclass(frozen=True)
class _Place:
    device_id: int | None
    site_id: int
    customer_id: int
    component: str | None = None


def open_order(call: Call, wanted: NewOrder) -> int:
    """Open the order and return its id.

    Raises:
        NotFound: the device does not exist for this user.
        Invalid: neither a device nor a site, or the site is not theirs.
    """
    place = (
        _device(call, wanted.device_uid) if wanted.device_uid else _site(call.conn, call.user, wanted.site_id)
    )
    source = "website" if call.user.role == "customer" else wanted.source
    new = work_orders.NewOrder(
        type=wanted.type,
        source=source,
        device_id=place.device_id,
        site_id=place.site_id,
        customer_id=place.customer_id,
        failure_mode=wanted.failure_mode,
        priority=wanted.priority,
        title_en=wanted.title,  # in the words of whoever asked, whatever their language
        title_zh=wanted.title,
        description=wanted.description,
        fault_at=min(wanted.fault_at or call.at, call.at),
    )
    return work_orders.open_order(call.conn, new, call.actor, call.at).id


def _device(call: Call, uid: str) -> _Place:
    device_id = scope.device(call.conn, call.user, uid)
    found = one(
        call.conn,
        """select f.site_id, s.customer_id from fsm.device f join fsm.site s on s.id = f.site_id where f.id = %s""",
        (device_id,),
    )
    if found is None:
        raise Invalid(f"{uid} is not installed at a site yet; name the site instead.")
    return _Place(device_id, found["site_id"], found["customer_id"])


def _site(conn: Conn, user: User, site_id: int | None) -> _Place:
    if site_id is None:
        raise Invalid("Name the device (device_uid) or, where there is none, the site (site_id).")
    found = one(conn, "select customer_id from fsm.site where id = %s", (site_id,))
    if found is None or (user.role == "customer" and found["customer_id"] != user.customer_id):
        raise Invalid(f"There is no site {site_id}.")
    return _Place(None, site_id, found["customer_id"])
