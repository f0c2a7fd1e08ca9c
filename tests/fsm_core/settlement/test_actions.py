"""Settlement on a real database: orders, receipts, payments, corrections, statements."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from fsm_core.actors import Actor
from fsm_core.parts import actions as parts
from fsm_core.parts import store as stock
from fsm_core.settlement import actions, store, worker
from fsm_core.work_orders import actions as orders
from kit import follow
from kit.database import Conn, scalar
from kit.errors import Conflict, Forbidden, Invalid, Misconfigured, NotFound
from kit.settings import Settings
from tests.fsm_core import factory
from tests.fsm_core.factory import FINANCE, MANAGER, SYSTEM, T0
from tests.fsm_core.parts.house import House, house, order, stocked, visit

D = Decimal
LATER = T0 + timedelta(days=1)


@pytest.fixture
def here(db: Conn) -> House:
    made = house(db)
    stocked(db, made, van=50, cost="100")
    return made


def entitled(
    conn: Conn, order_id: int, payer: str = "customer", pct: int = 0, rule: str = "billable"
) -> None:
    for line in ("labour", "travel", "parts"):
        conn.execute(
            "insert into fsm.entitlement values (%s, %s, %s, %s, %s, 'because', '因为', '{}', %s)",
            (order_id, line, payer, pct, rule, T0),
        )


def reviewed(
    conn: Conn,
    here: House,
    *,
    technician: int | None = None,
    used: int = 1,
    payer: str = "customer",
    pct: int = 0,
) -> int:
    """An order that was worked on for 2.5 hours, 20 km away, with one part used; reviewed."""
    who = technician or here.technician
    order_id = order(conn, here.world, expected=used)
    entitled(conn, order_id, payer, pct)
    visit_id = visit(conn, order_id, who, start=T0 + timedelta(hours=4 * order_id))
    if used:
        parts.reserve_for(conn, order_id, who, SYSTEM, T0)
        parts.consume(conn, visit_id, here.part, D(used), SYSTEM, T0)
    conn.execute("update fsm.visit set state = 'done', ended_at = %s where id = %s", (LATER, visit_id))
    conn.execute("update fsm.work_order set state = 'work_done' where id = %s", (order_id,))
    conn.execute("update fsm.order_part set old_returned = consumed where order_id = %s", (order_id,))
    orders.move_order(conn, order_id, "review", MANAGER, LATER)
    return order_id


def balance(conn: Conn, code: str) -> D:
    return D(
        scalar(conn, "select coalesce(sum(amount), 0) from fsm.journal_line where account = %s", (code,))
    )


def sound(conn: Conn) -> bool:
    return stock.invariants(conn) == [] and store.invariants(conn) == []


def test_a_reviewed_order_is_settled_line_by_line(db: Conn, here: House) -> None:
    order_id = reviewed(db, here)
    settled = actions.settle(db, order_id, FINANCE, LATER)
    assert (settled.net, settled.tax, settled.gross) == (D("2260"), D("293.8"), D("2553.8"))
    assert settled.cost == D("412.5") + D(32) + D(100)
    assert scalar(db, "select state from fsm.work_order where id = %s", (order_id,)) == "settled"
    rows = store.lines(db, order_id)
    assert [row["line"] for row in rows] == ["labour", "travel", "travel", "parts"]
    assert sum(row["billed"] for row in rows) == settled.net
    assert balance(db, "work_in_progress") == 0
    assert sound(db)


def test_a_warranty_order_bills_the_customer_nothing_and_books_its_cost(db: Conn, here: House) -> None:
    settled = actions.settle(db, reviewed(db, here, payer="warranty", pct=100), FINANCE, LATER)
    assert settled.gross == 0
    assert balance(db, "warranty_cost") == settled.cost > 0
    assert balance(db, "receivable") == balance(db, "revenue") == 0
    assert sound(db)


def test_settling_twice_makes_one_entry(db: Conn, here: House) -> None:
    order_id = reviewed(db, here)
    first = actions.settle(db, order_id, FINANCE, LATER)
    assert actions.settle(db, order_id, FINANCE, LATER + timedelta(days=1)) == first
    assert scalar(db, "select count(*) from fsm.journal_entry where kind = 'settlement'") == 1


def test_only_a_reviewed_order_is_settled_and_only_by_finance(db: Conn, here: House) -> None:
    order_id = order(db, here.world, state="in_progress")
    with pytest.raises(Conflict):
        actions.settle(db, order_id, FINANCE, LATER)
    with pytest.raises(Forbidden):
        actions.settle(db, reviewed(db, here), factory.engineer(here.technician), LATER)
    with pytest.raises(NotFound):
        actions.settle(db, 999, FINANCE, LATER)
    assert balance(db, "receivable") == 0


def test_a_customer_without_a_price_list_in_its_currency_is_told_so(db: Conn, here: House) -> None:
    db.execute("update fsm.customer set currency = 'JPY'")
    order_id = reviewed(db, here)
    with pytest.raises(Misconfigured, match="no price list in JPY"), db.transaction():
        actions.settle(db, order_id, FINANCE, LATER)
    assert scalar(db, "select state from fsm.work_order where id = %s", (order_id,)) == "reviewed"
    factory.price_list(db, currency="JPY", labour_per_hour=8400)
    assert actions.settle(db, order_id, FINANCE, LATER).currency == "JPY"
    assert sound(db)


def test_what_was_reserved_and_not_used_is_free_after_settling(db: Conn, here: House) -> None:
    order_id = reviewed(db, here)
    parts.reserve(db, order_id, here.part, D(3), here.van, SYSTEM, T0)
    actions.settle(db, order_id, FINANCE, LATER)
    assert stock.available(db, here.part, here.van) == 49
    assert sound(db)


def test_orders_that_reach_reviewed_are_settled_by_the_follower(db: Conn, here: House) -> None:
    first, second = reviewed(db, here), reviewed(db, here)
    reopened = reviewed(db, here)
    orders.move_order(db, reopened, "reopen", MANAGER, LATER, reason="still noisy")
    follow.catch_up(db, worker.followers(Settings()))
    states = dict(db.execute("select id, state from fsm.work_order").fetchall())
    assert (states[first], states[second], states[reopened]) == ("settled", "settled", "accepted")
    assert follow.catch_up(db, worker.followers(Settings())) == 0
    assert scalar(db, "select count(*) from kit.failed_fact") == 0


def test_an_order_that_cannot_be_settled_holds_up_no_other(db: Conn, here: House) -> None:
    bad, good = reviewed(db, here), reviewed(db, here)
    other = factory.customer(db, currency="USD")
    db.execute("update fsm.work_order set customer_id = %s where id = %s", (other, bad))
    follow.catch_up(db, worker.followers(Settings()))
    assert scalar(db, "select state from fsm.work_order where id = %s", (good,)) == "settled"
    assert "no price list in USD" in scalar(db, "select error from kit.failed_fact")


def test_a_receipt_pays_the_oldest_bill_first_and_in_part(db: Conn, here: House) -> None:
    first, second = reviewed(db, here), reviewed(db, here)
    gross = actions.settle(db, first, FINANCE, LATER).gross
    actions.settle(db, second, FINANCE, LATER + timedelta(hours=1))
    actions.receive_payment(db, here.world.customer, gross + 100, "BANK-1", FINANCE, LATER)
    assert {i.order_id: i.open for i in store.open_bills(db, here.world.customer)} == {second: gross - 100}
    actions.receive_payment(
        db, here.world.customer, D(50), "BANK-2", FINANCE, LATER, allocations={second: D(50)}
    )
    assert [i.open for i in store.open_bills(db, here.world.customer)] == [gross - 150]
    assert balance(db, "receivable") == gross - 150
    assert sound(db)


def test_too_much_becomes_credit_and_pays_the_next_bill(db: Conn, here: House) -> None:
    gross = actions.settle(db, reviewed(db, here), FINANCE, LATER).gross
    actions.receive_payment(db, here.world.customer, gross + 1000, "BANK-1", FINANCE, LATER)
    assert balance(db, "deposits") == -1000
    following = reviewed(db, here)
    actions.settle(db, following, FINANCE, LATER)
    assert actions.apply_credit(db, following, FINANCE, LATER) == 1000
    assert actions.apply_credit(db, following, FINANCE, LATER) == 0
    assert balance(db, "deposits") == 0
    assert balance(db, "receivable") == gross - 1000
    assert sound(db)


def test_the_same_receipt_twice_is_one(db: Conn, here: House) -> None:
    first = actions.receive_payment(db, here.world.customer, D(10), "BANK-1", FINANCE, LATER)
    assert actions.receive_payment(db, here.world.customer, D(10), "BANK-1", FINANCE, LATER) == first
    assert balance(db, "cash") == 10
    with pytest.raises(Conflict, match="booked before with 10"):
        actions.receive_payment(db, here.world.customer, D(11), "BANK-1", FINANCE, LATER)


@pytest.mark.parametrize("amount", [D(0), D(-1), D("0.001"), D("NaN"), 1.5])
def test_an_amount_that_is_none_is_refused(db: Conn, here: House, amount: Decimal) -> None:
    with pytest.raises(Invalid, match="not an amount of CNY"):
        actions.receive_payment(db, here.world.customer, amount, "BANK-1", FINANCE, LATER)


def test_engineers_book_no_payments(db: Conn, here: House) -> None:
    with pytest.raises(Forbidden):
        actions.receive_payment(db, here.world.customer, D(1), "X", factory.engineer(1), LATER)


def test_a_bounced_receipt_opens_its_bills_again(db: Conn, here: House) -> None:
    order_id = reviewed(db, here)
    gross = actions.settle(db, order_id, FINANCE, LATER).gross
    paid = actions.receive_payment(db, here.world.customer, gross + 70, "BANK-1", FINANCE, LATER)
    assert actions.reverse_payment(db, paid.id, FINANCE, LATER).reversed_by is not None
    assert [i.open for i in store.open_bills(db, here.world.customer)] == [gross]
    assert balance(db, "cash") == balance(db, "deposits") == 0
    with pytest.raises(Conflict, match="reversed before"):
        actions.reverse_payment(db, paid.id, FINANCE, LATER)
    assert sound(db)


def test_a_correction_reverses_prices_anew_and_credits_what_was_paid_too_much(db: Conn, here: House) -> None:
    order_id = reviewed(db, here)
    before = actions.settle(db, order_id, FINANCE, LATER)
    actions.receive_payment(db, here.world.customer, before.gross, "BANK-1", FINANCE, LATER)
    db.execute("update fsm.entitlement set payer = 'goodwill', covered_pct = 50, rule = 'goodwill'")
    after = actions.correct(db, order_id, FINANCE, LATER)
    assert (after.revision, after.gross, after.cost) == (2, before.gross / 2, before.cost)
    assert balance(db, "receivable") == 0
    assert balance(db, "deposits") == -before.gross / 2
    assert balance(db, "goodwill_cost") == before.cost / 2
    assert scalar(db, "select count(*) from fsm.journal_entry where reverses = %s", (before.entry_id,)) == 1
    assert sound(db)
    with pytest.raises(Forbidden):
        actions.correct(db, order_id, MANAGER, LATER)


def test_a_provider_is_owed_paid_in_part_and_never_too_much(db: Conn, here: House) -> None:
    provider = factory.provider(db)
    foreign = factory.technician(db, provider_id=provider)
    orders_done = [reviewed(db, here, technician=foreign, used=0) for _ in range(2)]
    for order_id in orders_done:
        actions.settle(db, order_id, FINANCE, LATER)
    owed = D("2.5") * 310 + 180
    assert [item.open for item in store.owed_to(db, provider)] == [owed, owed]
    paid = actions.pay_provider(db, provider, owed + 5, "OUT-1", FINANCE, LATER)
    assert actions.pay_provider(db, provider, owed + 5, "OUT-1", FINANCE, LATER) == paid
    assert [item.open for item in store.owed_to(db, provider)] == [0, owed - 5]
    with pytest.raises(Conflict, match="are owed"):
        actions.pay_provider(db, provider, owed, "OUT-2", FINANCE, LATER)
    actions.reverse_payment(db, paid.id, FINANCE, LATER)
    assert [item.open for item in store.owed_to(db, provider)] == [owed, owed]
    assert sound(db)


def test_statements_lead_from_opening_to_closing(db: Conn, here: House) -> None:
    provider = factory.provider(db)
    foreign = factory.technician(db, provider_id=provider)
    parts.receive(
        db, here.part, factory.location(db, kind="van", technician_id=foreign), D(9), D(1), SYSTEM, T0
    )
    first, second = (reviewed(db, here, technician=foreign) for _ in range(2))
    day = timedelta(days=1)
    gross = actions.settle(db, first, FINANCE, LATER).gross
    actions.settle(db, second, FINANCE, LATER + 2 * day)
    actions.receive_payment(db, here.world.customer, D(100), "BANK-1", FINANCE, LATER + 3 * day)
    actions.pay_provider(db, provider, D(55), "OUT-1", FINANCE, LATER + 3 * day)
    (statement,) = actions.customer_statement(db, here.world.customer, LATER + day, LATER + 9 * day)
    assert (statement.opening, statement.closing) == (gross, 2 * gross - 100)
    assert [line.amount for line in statement.lines] == [gross, -100]
    assert statement.opening + sum(line.amount for line in statement.lines) == statement.closing
    (owed,) = actions.provider_statement(db, provider, LATER + day, LATER + 9 * day)
    assert owed.closing == 2 * (D("2.5") * 310 + 180) - 55
    assert owed.opening + sum(line.amount for line in owed.lines) == owed.closing


def test_the_trial_balance_names_each_account_and_sums_to_zero(db: Conn, here: House) -> None:
    actions.settle(db, reviewed(db, here), FINANCE, LATER)
    rows = actions.trial_balance(db)
    assert sum(row["balance"] for row in rows) == 0
    assert {row["account"] for row in rows} >= {
        "inventory",
        "receivable",
        "revenue",
        "tax",
        "payable_supplier",
    }
    assert all(row["debit"] - row["credit"] == row["balance"] and row["name_zh"] for row in rows)


def test_the_invariants_see_what_is_wrong(db: Conn, here: House) -> None:
    actions.settle(db, reviewed(db, here), FINANCE, LATER)
    actions.receive_payment(db, here.world.customer, D(5000), "BANK-1", FINANCE, LATER)
    db.execute("update fsm.settlement set gross = gross + 1")
    db.execute("update fsm.payment set amount = amount + 1")
    order(db, here.world, state="settled")
    codes = {finding["code"] for finding in store.invariants(db)}
    assert codes == {"receivable", "deposits", "unsettled"}


def test_the_field_service_role_suffices(here: House, db: Conn, db_as: object) -> None:
    order_id = reviewed(db, here)
    conn = db_as("meantime_fsm")  # type: ignore[operator]
    with conn.transaction():
        actions.settle(conn, order_id, Actor.rule("settlement"), LATER)
        actions.receive_payment(conn, here.world.customer, D(10), "BANK-1", FINANCE, LATER)
    assert sound(conn)
