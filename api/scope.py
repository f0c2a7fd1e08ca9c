"""Which orders, visits and devices exist for a user: SQL conditions, so that others' answer 404."""

from __future__ import annotations

from typing import Any, LiteralString

from api.accounts import User
from kit.database import Conn, scalar
from kit.errors import NotFound

# Each condition sees the order as `o` (or the device as `d`, the visit as `v` with its technician `t`).
_ORDERS: dict[str, LiteralString] = {
    "engineer": """exists (select 1 from fsm.visit mine
                           where mine.order_id = o.id and mine.technician_id = %(my_technician)s)""",
    "provider": """(o.provider_id = %(my_provider)s or exists (
                        select 1 from fsm.visit mine join fsm.technician his on his.id = mine.technician_id
                        where mine.order_id = o.id and his.provider_id = %(my_provider)s))""",
    "customer": "o.customer_id = %(my_customer)s",
}
_DEVICES: dict[str, LiteralString] = {
    "provider": """exists (select 1 from fsm.work_order o where o.device_id = d.id and (
                        o.provider_id = %(my_provider)s or exists (
                            select 1 from fsm.visit mine join fsm.technician his on his.id = mine.technician_id
                            where mine.order_id = o.id and his.provider_id = %(my_provider)s)))""",
    "customer": "s.customer_id = %(my_customer)s",
}
_VISITS: dict[str, LiteralString] = {
    "engineer": "v.technician_id = %(my_technician)s",
    "provider": "t.provider_id = %(my_provider)s",
    "customer": "false",
}


def orders(user: User) -> LiteralString:
    """Condition on `fsm.work_order o`."""
    return _ORDERS.get(user.role, "true")


def devices(user: User) -> LiteralString:
    """Condition on `ingest.device d` joined with `fsm.site s`."""
    return _DEVICES.get(user.role, "true")


def visits(user: User) -> LiteralString:
    """Condition on `fsm.visit v` joined with `fsm.technician t`."""
    return _VISITS.get(user.role, "true")


def params(user: User) -> dict[str, Any]:
    """The values that the conditions name."""
    return {
        "my_technician": user.technician_id,
        "my_provider": user.provider_id,
        "my_customer": user.customer_id,
    }


def order(conn: Conn, user: User, order_id: int) -> None:
    """Raise NotFound unless the order exists for this user."""
    found = scalar(
        conn,
        f"select 1 from fsm.work_order o where o.id = %(id)s and {orders(user)}",
        params(user) | {"id": order_id},
    )
    if found is None:
        raise NotFound(f"There is no work order {order_id}.")


def visit(conn: Conn, user: User, visit_id: int) -> int:
    """The order of a visit.

    Raises:
        NotFound: the visit does not exist for this user.
    """
    found = scalar(
        conn,
        f"""select v.order_id from fsm.visit v join fsm.technician t on t.id = v.technician_id
            where v.id = %(id)s and {visits(user)}""",
        params(user) | {"id": visit_id},
    )
    if found is None:
        raise NotFound(f"There is no visit {visit_id}.")
    return int(found)


def device(conn: Conn, user: User, uid: str) -> int:
    """The id of a device.

    Raises:
        NotFound: it does not exist for this user.
    """
    found = scalar(
        conn,
        f"""select d.id from ingest.device d left join fsm.device f on f.id = d.id
            left join fsm.site s on s.id = f.site_id
            where d.uid = %(uid)s and {devices(user)}""",
        params(user) | {"uid": uid},
    )
    if found is None:
        raise NotFound(f"There is no device {uid!r}.")
    return int(found)


def is_own_technician(conn: Conn, user: User, technician_id: int) -> bool:
    """Whether an engineer works for the user's provider."""
    provider = scalar(conn, "select provider_id from fsm.technician where id = %s", (technician_id,))
    return provider is not None and provider == user.provider_id
