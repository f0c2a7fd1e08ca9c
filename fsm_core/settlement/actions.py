"""Settling an order: price it, book it, move it on. Payments are in `payments`, statements in `statements`.

An action takes the caller's connection inside the caller's transaction and never commits.
"""

from __future__ import annotations

from datetime import datetime

from fsm_core.actors import Actor
from fsm_core.parts import actions as parts
from fsm_core.settlement import journal, rules, store
from fsm_core.settlement.money import reversed_lines
from fsm_core.settlement.payments import (
    Payment,
    apply_credit,
    pay_provider,
    receive_payment,
    reverse_payment,
    trim_to_bill,
)
from fsm_core.settlement.statements import Statement, customer_statement, provider_statement
from fsm_core.settlement.store import Settlement, trial_balance
from fsm_core.work_orders.actions import move_order
from kit.database import Conn
from kit.errors import Conflict, Forbidden, NotFound

__all__ = [
    "Payment", "Settlement", "Statement", "apply_credit", "correct", "customer_statement", "pay_provider",
    "provider_statement", "receive_payment", "reverse_payment", "settle", "trial_balance",
]  # fmt: skip
_MAY_CORRECT = frozenset({"admin", "finance", "system"})


def settle(conn: Conn, order_id: int, actor: Actor, at: datetime) -> Settlement:
    """Price a reviewed order, post its balanced entry, move it to settled. Done before, it changes nothing.

    Raises:
        NotFound: no such order.
        Conflict, Forbidden: the order is not reviewed, or the role may not settle.
        Misconfigured: there is no price list in the customer's currency or in that of the books.
    """
    order = store.order_head(conn, order_id)
    if (before := store.find(conn, order_id)) is not None:
        return before
    with conn.transaction():  # all or nothing, whatever the caller catches: settled means priced
        move_order(conn, order_id, "settle", actor, at)
        parts.release(conn, order_id, Actor.rule("settlement"), at)
        return _book(conn, order["id"], order["customer_id"], order["currency"], order["misuse"], 1, at)


def correct(conn: Conn, order_id: int, actor: Actor, at: datetime) -> Settlement:
    """Reverse a settlement's entry and price the order anew, from what the rows say now. Too much paid becomes
    the customer's credit.

    Raises:
        Forbidden: the role may not.
        Conflict: the order is not settled.
    """
    if actor.role not in _MAY_CORRECT:
        raise Forbidden(f"a {actor.role} may not correct settlements; finance may")
    order = store.order_head(conn, order_id)
    before = store.find(conn, order_id)
    if before is None:
        raise Conflict(f"{order['number']} is {order['state']}, not settled")
    head = journal.Head(
        f"reversal:settlement:{order_id}:{before.revision}", "reversal", at, order_id=order_id,
        customer_id=order["customer_id"], reverses=before.entry_id,
    )  # fmt: skip
    journal.post(conn, head, reversed_lines(journal.lines(conn, before.entry_id)))
    after = _book(
        conn, order_id, order["customer_id"], order["currency"], order["misuse"], before.revision + 1, at
    )
    trim_to_bill(conn, order_id, after.gross, at)
    return after


def get(conn: Conn, order_id: int) -> Settlement:
    """The order's settlement.

    Raises:
        NotFound: it is not settled.
    """
    found = store.find(conn, order_id)
    if found is None:
        raise NotFound(f"order {order_id} is not settled")
    return found


def _book(
    conn: Conn, order_id: int, customer_id: int, currency: str, misuse: bool, revision: int, at: datetime
) -> Settlement:
    books = store.prices(conn, journal.currency(conn))
    work = store.work(conn, order_id, misuse=misuse)
    bill = rules.price(work, store.prices(conn, currency), books)
    head = journal.Head(
        f"settlement:{order_id}:{revision}", "settlement", at, order_id=order_id, customer_id=customer_id
    )
    entry_id, _ = journal.post(conn, head, rules.settlement_postings(bill, work, books))
    return store.write(conn, order_id, bill, entry_id, books.currency, revision, at)
