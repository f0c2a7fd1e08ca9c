"""One order with all its sections, as the API answers it and the console shows it."""

from __future__ import annotations

from typing import Any

from api import allowed
from api.accounts import User
from api.permissions import may
from api.queries import evidence, order_parts, orders, recovery, visits
from kit.database import Conn


def order_detail(conn: Conn, user: User, order_id: int) -> dict[str, Any]:
    """The sections by name; see api.schemas.orders.OrderDetail.

    Raises:
        NotFound: the order does not exist for this user.
    """
    order = orders.order(conn, user, order_id)
    return {
        "order": order,
        "site": order_parts.site(conn, order["site_id"]),
        "entitlement": order_parts.entitlement(conn, order_id),
        "sla": order_parts.clocks(conn, order_id),
        "parts": order_parts.parts(conn, order_id),
        "checklist": order_parts.checklist(conn, order_id),
        "visits": [with_actions(user, visit) for visit in _visits(conn, user, order_id)],
        "events": order_parts.events(conn, order_id),
        "evidence": evidence.signals(conn, order_id),
        "recovery": recovery.of_order(conn, order_id),
        "settlement": _settlement(conn, user, order_id),
        "report": order_parts.report(conn, order_id),
        "actions": allowed.order_actions(user, order),
    }


def _visits(conn: Conn, user: User, order_id: int) -> list[dict[str, Any]]:
    """All visits; a provider and a customer see no explanation that names other people's staff."""
    found = visits.of_order(conn, order_id)
    if user.role == "provider":
        found = [visit for visit in found if visit["provider_id"] == user.provider_id]
    if user.role in ("provider", "customer"):
        found = [visit | {"explanation": {}} for visit in found]
    return found


def _settlement(conn: Conn, user: User, order_id: int) -> dict[str, Any] | None:
    """Prices are the customer's and the office's business, costs the office's alone."""
    if not may(user, "money.read") and user.role != "customer":
        return None
    return order_parts.settlement(conn, order_id, with_cost=may(user, "money.read"))


def with_actions(user: User, visit: dict[str, Any]) -> dict[str, Any]:
    """The visit's row and what this user may do with it now."""
    return visit | {"actions": allowed.visit_actions(user, visit, visit["order_state"])}
