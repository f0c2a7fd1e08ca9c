"""What must be true before a move, besides state and role. A guard returns, or raises a Conflict saying why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fsm_core.parts import store as parts
from fsm_core.work_orders import store
from fsm_core.work_orders.store import WorkOrder
from kit.database import Conn, scalar
from kit.errors import Conflict

Guard = Callable[[Conn, WorkOrder], None]


def codes_filed(conn: Conn, order: WorkOrder) -> None:
    """Cause and remedy, where the type needs them."""
    missing = [
        name for name, code in (("cause", order.cause_code), ("remedy", order.remedy_code)) if code is None
    ]
    if missing and store.order_type(conn, order.type)["needs_codes"]:
        raise Conflict(
            f"{order.number} has no {' and no '.join(missing)} code yet: file the codes first.",
            missing=missing,
        )


def checklist_done(conn: Conn, order: WorkOrder) -> None:
    """Every item ticked, where the type needs it."""
    open_items = [item for item in store.checklist(conn, order.id) if not item["done"]]
    if open_items and store.order_type(conn, order.type)["needs_checklist"]:
        raise Conflict(
            f"{order.number}: the checklist is not done; the first open item is {open_items[0]['text_en']!r}.",
            positions=[item["position"] for item in open_items],
        )


def old_parts_declared(conn: Conn, order: WorkOrder) -> None:
    """For every returnable part consumed, the old one is handed back."""
    undeclared = parts.undeclared_old(conn, order.id)
    if undeclared:
        raise Conflict(
            f"{order.number}: {len(undeclared)} replaced part(s) must be handed back first.",
            undeclared=undeclared,
        )


def report_signed(conn: Conn, order: WorkOrder) -> None:
    """The newest report is signed, where the type needs it."""
    signed = scalar(
        conn,
        """select signed_at is not null from fsm.service_report where order_id = %s
           order by version desc limit 1""",
        (order.id,),
    )
    if store.order_type(conn, order.type)["needs_signature"] and not signed:
        raise Conflict(f"{order.number} needs a report signed by the customer first.")


def customer_at_site(conn: Conn, order: WorkOrder) -> None:
    """The device, if there is one, still stands at the order's site, and the site is the customer's."""
    fits = scalar(
        conn,
        """select s.customer_id = %s and (%s::int is null or exists (
               select from fsm.device d where d.id = %s and d.site_id = s.id))
           from fsm.site s where s.id = %s""",
        (order.customer_id, order.device_id, order.device_id, order.site_id),
    )
    if not fits:
        raise Conflict(
            f"{order.number}: its device, site and customer do not belong together; correct them first."
        )


ORDER_GUARDS: Final[Mapping[str, tuple[Guard, ...]]] = {
    "accept": (customer_at_site,),
    "review": (old_parts_declared,),
    "close": (old_parts_declared,),
}
VISIT_GUARDS: Final[Mapping[str, tuple[Guard, ...]]] = {
    "finish": (checklist_done, codes_filed, old_parts_declared, report_signed),
}
