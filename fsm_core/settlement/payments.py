"""Money in from customers and out to providers: allocated in part, too much becomes credit, undone by reversal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.rows import class_row

from fsm_core.actors import Actor
from fsm_core.settlement import journal, store
from fsm_core.settlement.money import Posting, allocate, minor
from kit.database import Conn, columns, one, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotFound

_MAY = frozenset({"admin", "manager", "finance", "system"})


@dataclass(frozen=True)
class Payment:
    """A row of fsm.payment: money in from a customer, or out to a provider."""

    id: int
    customer_id: int | None
    provider_id: int | None
    reference: str
    amount: Decimal
    currency: str
    entry_id: int
    reversed_by: int | None
    occurred_at: datetime
    actor: str


def receive_payment(
    conn: Conn,
    customer_id: int,
    amount: Decimal,
    reference: str,
    actor: Actor,
    at: datetime,
    *,
    allocations: Mapping[int, Decimal] | None = None,
) -> Payment:
    """Money from a customer, in the customer's currency; the rest beyond the open bills becomes credit.

    Args:
        reference: the bank's; the same one twice is one payment.
        allocations: order → amount; None: the oldest bills first.

    Raises:
        Conflict: the reference was used for another amount, or an allocation exceeds what is open.
        Invalid: an amount that is none.
    """
    _may(actor)
    customer = one(conn, "select currency from fsm.customer where id = %s for no key update", (customer_id,))
    if customer is None:
        raise NotFound(f"there is no customer {customer_id}")
    currency = str(customer["currency"])
    _check(amount, reference, currency)
    if (before := _known(conn, amount, reference, customer_id=customer_id)) is not None:
        return before
    spread, rest = allocate(amount, store.open_bills(conn, customer_id), allocations)
    head = journal.Head(f"receipt:{customer_id}:{reference}", "receipt", at, customer_id=customer_id)
    lines = [
        Posting("cash", amount, currency, reference),
        Posting("receivable", rest - amount, currency, reference),
        Posting("deposits", -rest, currency, reference),
    ]
    entry_id, _ = journal.post(conn, head, lines)
    paid = _insert(conn, customer_id, None, reference, amount, currency, entry_id, at, actor)
    _allocate(conn, paid.id, spread, at)
    return paid


def apply_credit(conn: Conn, order_id: int, actor: Actor, at: datetime) -> Decimal:
    """Pay an order's open bill from the customer's credit, as far as it goes. Returns how much."""
    _may(actor)
    customer_id = scalar(conn, "select customer_id from fsm.work_order where id = %s", (order_id,))
    conn.execute("select from fsm.customer where id = %s for no key update", (customer_id,))
    due = {item.order_id: item.open for item in store.open_bills(conn, customer_id)}.get(order_id, Decimal(0))
    used = Decimal(0)
    for payment_id, left, currency in store.credits(conn, customer_id):
        if (here := min(left, due - used)) > 0:
            _shift(conn, payment_id, order_id, customer_id, here, currency, at)
            used += here
    return used


def trim_to_bill(conn: Conn, order_id: int, gross: Decimal, at: datetime) -> None:
    """After a correction: what was paid beyond the new bill becomes credit, the latest allocation first."""
    found = conn.execute(
        """select p.id, p.customer_id, p.currency, sum(a.amount) from fsm.allocation a
           join fsm.payment p on p.id = a.payment_id
           where a.order_id = %s and p.customer_id is not null
           group by p.id having sum(a.amount) > 0 order by p.id desc""",
        (order_id,),
    ).fetchall()
    excess = sum((row[3] for row in found), Decimal(0)) - gross
    for payment_id, customer_id, currency, paid in found:
        if (back := min(excess, paid)) > 0:
            _shift(conn, payment_id, order_id, customer_id, -back, currency, at)
            excess -= back


def pay_provider(
    conn: Conn, provider_id: int, amount: Decimal, reference: str, actor: Actor, at: datetime
) -> Payment:
    """Pay a provider, its oldest orders first. The same reference twice is one payment.

    Raises:
        Conflict: it is more than is owed, or the reference was used for another amount.
    """
    _may(actor)
    if one(conn, "select id from fsm.provider where id = %s for no key update", (provider_id,)) is None:
        raise NotFound(f"there is no provider {provider_id}")
    currency = journal.currency(conn)
    _check(amount, reference, currency)
    if (before := _known(conn, amount, reference, provider_id=provider_id)) is not None:
        return before
    spread, rest = allocate(amount, store.owed_to(conn, provider_id))
    if rest > 0:
        raise Conflict(f"{amount - rest} {currency} are owed to this provider, not {amount}")
    head = journal.Head(f"payment:{provider_id}:{reference}", "payment", at, provider_id=provider_id)
    lines = [
        Posting("payable_provider", amount, currency, reference, provider_id),
        Posting("cash", -amount, currency, reference),
    ]
    entry_id, _ = journal.post(conn, head, lines)
    paid = _insert(conn, None, provider_id, reference, amount, currency, entry_id, at, actor)
    _allocate(conn, paid.id, spread, at)
    return paid


def reverse_payment(conn: Conn, payment_id: int, actor: Actor, at: datetime) -> Payment:
    """Undo a payment that bounced: what it had paid is open again, what was credit is gone.

    Raises:
        Conflict: it was reversed before.
    """
    _may(actor)
    paid = get(conn, payment_id, lock=True)
    if paid.reversed_by is not None:
        raise Conflict(f"payment {paid.reference} was reversed before")
    spent = conn.execute(
        """select order_id, sum(amount) from fsm.allocation where payment_id = %s
           group by order_id having sum(amount) <> 0""",
        (payment_id,),
    ).fetchall()
    settled = sum((row[1] for row in spent), Decimal(0))
    if paid.customer_id is not None:
        lines = [
            Posting("cash", -paid.amount, paid.currency, paid.reference),
            Posting("receivable", settled, paid.currency, paid.reference),
            Posting("deposits", paid.amount - settled, paid.currency, paid.reference),
        ]
    else:
        lines = [
            Posting("cash", paid.amount, paid.currency, paid.reference),
            Posting("payable_provider", -paid.amount, paid.currency, paid.reference, paid.provider_id),
        ]
    head = journal.Head(
        f"reversal:payment:{payment_id}", "reversal", at, customer_id=paid.customer_id,
        provider_id=paid.provider_id, reverses=paid.entry_id,
    )  # fmt: skip
    entry_id, _ = journal.post(conn, head, lines)
    _allocate(conn, payment_id, {order_id: -amount for order_id, amount in spent}, at)
    conn.execute("update fsm.payment set reversed_by = %s where id = %s", (entry_id, payment_id))
    return get(conn, payment_id)


def get(conn: Conn, payment_id: int, *, lock: bool = False) -> Payment:
    """One payment.

    Raises:
        NotFound: there is none with this id.
    """
    query = f"select {columns(Payment)} from fsm.payment where id = %s"
    found = (
        conn.cursor(row_factory=class_row(Payment))
        .execute(query + (" for update" if lock else ""), (payment_id,))
        .fetchone()
    )
    if found is None:
        raise NotFound(f"there is no payment {payment_id}")
    return found


def _shift(
    conn: Conn, payment_id: int, order_id: int, customer_id: int, amount: Decimal, currency: str, at: datetime
) -> None:
    """Between the customer's credit and an order's bill."""
    (allocation_id,) = _allocate(conn, payment_id, {order_id: amount}, at)
    head = journal.Head(
        f"allocation:{allocation_id}", "allocation", at, order_id=order_id, customer_id=customer_id
    )
    journal.post(
        conn, head, [Posting("deposits", amount, currency), Posting("receivable", -amount, currency)]
    )


def _allocate(conn: Conn, payment_id: int, spread: Mapping[int, Decimal], at: datetime) -> list[int]:
    return [
        scalar(
            conn,
            "insert into fsm.allocation (payment_id, order_id, amount, at) values (%s, %s, %s, %s) returning id",
            (payment_id, order_id, amount, at),
        )
        for order_id, amount in spread.items()
    ]


def _known(
    conn: Conn,
    amount: Decimal,
    reference: str,
    *,
    customer_id: int | None = None,
    provider_id: int | None = None,
) -> Payment | None:
    found = (
        conn.cursor(row_factory=class_row(Payment))
        .execute(
            f"""select {columns(Payment)} from fsm.payment
                where reference = %s and (customer_id = %s or provider_id = %s)""",
            (reference, customer_id, provider_id),
        )
        .fetchone()
    )
    if found is not None and found.amount != amount:
        raise Conflict(f"payment {reference} was booked before with {found.amount}, not {amount}")
    return found


def _insert(
    conn: Conn,
    customer_id: int | None,
    provider_id: int | None,
    reference: str,
    amount: Decimal,
    currency: str,
    entry_id: int,
    at: datetime,
    actor: Actor,
) -> Payment:
    payment_id = scalar(
        conn,
        """insert into fsm.payment
               (customer_id, provider_id, reference, amount, currency, entry_id, occurred_at, actor)
           values (%s, %s, %s, %s, %s, %s, %s, %s) returning id""",
        (customer_id, provider_id, reference, amount, currency, entry_id, at, actor.id),
    )
    return get(conn, payment_id)


def _check(amount: Decimal, reference: str, currency: str) -> None:
    if not (
        isinstance(amount, Decimal) and amount.is_finite() and amount > 0 and amount % minor(currency) == 0
    ):
        raise Invalid(
            f"{amount!r} is not an amount of {currency}; use a positive Decimal in steps of {minor(currency)}"
        )
    if not reference.strip():
        raise Invalid("a payment needs the bank's reference")


def _may(actor: Actor) -> None:
    if actor.role not in _MAY:
        raise Forbidden(f"a {actor.role} may not book payments; finance may")
