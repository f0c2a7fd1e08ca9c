"""Turn a person's request into an order, once per idempotency key, and propose what it may repeat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from fsm_core.actors import Actor
from fsm_core.work_orders import store as orders
from fsm_core.work_orders.opening import NewOrder, open_order
from fsm_core.work_orders.store import WorkOrder
from kit.database import Conn, one, rows, scalar
from kit.errors import Conflict, Forbidden, Invalid

CHANNELS: Final = ("desk", "telephone", "website", "wechat")
ROLES: Final = frozenset({"admin", "manager", "dispatcher", "customer", "system"})
RECENT: Final = timedelta(days=7)
ALIKE: Final = 0.35
"""Trigram similarity above which two titles at a site look like the same trouble."""
_TITLE: Final = 120


@dataclass(frozen=True)
class Request:
    """What somebody asks for.

    Attributes:
        channel: one of `CHANNELS`.
        text: what is wrong, in the person's words; the title is its first line when none is given.
        device_id, site_id: the device, or the site when it is about none.
        key: idempotency key of the channel's message; None: every call is a new request.
        fault_at: since when; None: now.
    """

    channel: str
    text: str
    device_id: int | None = None
    site_id: int | None = None
    type: str = "repair"
    failure_mode: str | None = None
    priority: int | None = None
    title_en: str | None = None
    title_zh: str | None = None
    key: str | None = None
    fault_at: datetime | None = None


@dataclass(frozen=True)
class Intake:
    """The order, whether this call opened it, and orders that may be about the same trouble (rows as in
    `likely_duplicates`): proposed, not merged.
    """

    order: WorkOrder
    created: bool
    duplicates: list[dict[str, Any]]


def open_request(conn: Conn, request: Request, actor: Actor, at: datetime) -> Intake:
    """Open an order for a request; the same key again gives the same order.

    Raises:
        Invalid: no text, no device and no site, an unknown channel or device.
        Forbidden: the role may not, or it is another customer's device or site.
        Conflict: the key was used for a different request.
    """
    site = _site(conn, request, actor)
    if (seen := _seen(conn, request)) is not None:
        return Intake(seen, False, [])
    duplicates = likely_duplicates(conn, request.device_id, site["id"], request.title_en or request.text, at)
    new = _order(conn, request, site, at)
    try:
        with conn.transaction():
            order = open_order(conn, new, actor, at)
    except psycopg.errors.UniqueViolation:
        order_again = _seen(conn, request)  # another call with this key was faster
        if order_again is None:
            raise
        return Intake(order_again, False, [])
    return Intake(order, True, duplicates)


def likely_duplicates(
    conn: Conn, device_id: int | None, site_id: int, title: str, at: datetime
) -> list[dict[str, Any]]:
    """Open orders of the last days for this device, or with a similar title at this site; likeliest first."""
    return rows(
        conn,
        """select o.id, o.number, o.state, o.title_en, o.title_zh, o.device_id, o.opened_at, o.source,
               case when o.device_id = %(device)s then 'same_device' else 'similar_title' end as because
           from fsm.work_order o
           where o.site_id = %(site)s and o.opened_at >= %(since)s
             and o.state in ('new', 'accepted', 'assigned', 'confirmed', 'in_progress', 'on_hold')
             and (o.device_id = %(device)s
                  or greatest(similarity(o.title_en, %(title)s), similarity(o.title_zh, %(title)s)) >= %(alike)s)
           order by (o.device_id = %(device)s) desc nulls last, similarity(o.title_en, %(title)s) desc, o.id desc
           limit 5""",
        {"device": device_id, "site": site_id, "since": at - RECENT, "title": title[:_TITLE], "alike": ALIKE},
    )


def _site(conn: Conn, request: Request, actor: Actor) -> dict[str, Any]:
    if actor.role not in ROLES:
        raise Forbidden(f"A {actor.role} does not open orders.")
    if request.channel not in CHANNELS:
        raise Invalid(f"{request.channel!r} is not a channel; it is one of {', '.join(CHANNELS)}.")
    if not request.text.strip():
        raise Invalid("Say what is wrong.")
    site = one(
        conn,
        """select s.id, s.customer_id from fsm.site s
           where s.id = coalesce((select site_id from fsm.device where id = %s), %s)""",
        (request.device_id, request.site_id),
    )
    if site is None:
        raise Invalid("Name the device, or the site when it is about no device.")
    if actor.role == "customer" and site["customer_id"] != actor.customer_id:
        raise Forbidden("That is another customer's.")
    return site


def _key(request: Request) -> str | None:
    return None if request.key is None else f"{request.channel}:{request.key}"


def _seen(conn: Conn, request: Request) -> WorkOrder | None:
    order_id = scalar(conn, "select id from fsm.work_order where request_key = %s", (_key(request),))
    if order_id is None:
        return None
    order = orders.get(conn, order_id)
    if order.device_id != request.device_id or order.description != request.text:
        raise Conflict(f"The key {request.key!r} was used for another request, {order.number}.")
    return order


def _order(conn: Conn, request: Request, site: dict[str, Any], at: datetime) -> NewOrder:
    mode = one(
        conn,
        """select m.name_en, m.name_zh, m.priority from ingest.failure_mode m
           join ingest.device d on d.model = m.model where d.id = %s and m.code = %s""",
        (request.device_id, request.failure_mode),
    )
    if request.failure_mode is not None and mode is None:
        raise Invalid(f"This device has no failure mode {request.failure_mode!r}.")
    first_line = request.text.strip().splitlines()[0][:_TITLE]
    titles = (request.title_en, request.title_zh)
    default = (mode["name_en"], mode["name_zh"]) if mode else (first_line, first_line)
    given = next((title for title in titles if title), None)
    return NewOrder(
        type=request.type,
        source=request.channel,
        site_id=site["id"],
        customer_id=site["customer_id"],
        device_id=request.device_id,
        failure_mode=request.failure_mode,
        priority=request.priority or (mode["priority"] if mode else 3),
        title_en=request.title_en or given or default[0],
        title_zh=request.title_zh or given or default[1],
        description=request.text,
        description_zh=request.text,
        fault_at=request.fault_at or at,
        request_key=_key(request),
    )
