"""Pricing: what the customer pays, who bears the cost, and that the books balance."""

from __future__ import annotations

from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fsm_core.settlement.money import OpenItem, Posting, allocate, balanced, minor, rounded
from fsm_core.settlement.rules import (
    Bill,
    Coverage,
    PriceList,
    Trip,
    UsedPart,
    Work,
    hours,
    price,
    settlement_postings,
)
from kit.errors import Conflict

D = Decimal
CNY = PriceList("CNY", D(420), D("4.5"), D(260), D(13), D("1.6"))
OWN = Trip(D("2.5"), D(20), D(165))
FOREIGN = Trip(D(2), D(30), D(165), 7, D(310), D(180))
BEARING = UsedPart("BRG", "Bearing", "轴承", D(1), D(860), D("473.1234"))


def covered(payer: str, pct: int = 100, rule: str = "device_warranty") -> tuple[Coverage, ...]:
    return tuple(Coverage(line, payer, D(pct), rule) for line in ("labour", "travel", "parts"))


def accounts(bill: Bill, work: Work) -> dict[str, Decimal]:
    lines = settlement_postings(bill, work, CNY)
    balanced(lines)
    return {line.account: line.amount for line in lines}


def test_an_uncovered_order_bills_every_line() -> None:
    work = Work((OWN,), (BEARING,), ())
    bill = price(work, CNY, CNY)
    assert [(line.text_en, line.billed) for line in bill.lines] == [
        ("Labour", D("1050.00")), ("Call-out", D("260.00")), ("Travel", D("90.00")), ("BRG Bearing", D("860.00")),
    ]  # fmt: skip
    assert (bill.net, bill.tax, bill.gross) == (D("2260.00"), D("293.80"), D("2553.80"))
    assert {line.rule for line in bill.lines} == {"billable"}
    assert accounts(bill, work) == {
        "receivable": D("2553.80"), "revenue": D("-2260.00"), "tax": D("-293.80"),
        "service_cost": D("917.6234"), "accrued_labour": D("-412.5"), "accrued_travel": D("-32.00"),
        "work_in_progress": D("-473.1234"),
    }  # fmt: skip


def test_a_warranty_order_bills_nothing_and_still_books_its_cost() -> None:
    work = Work((OWN,), (BEARING,), covered("warranty"))
    bill = price(work, CNY, CNY)
    assert (bill.net, bill.tax, bill.gross) == (0, 0, 0)
    assert bill.cost == D("917.6234")
    assert accounts(bill, work)["warranty_cost"] == D("917.6234")
    assert "receivable" not in accounts(bill, work)


@pytest.mark.parametrize("payer", ["warranty", "contract"])
def test_misuse_takes_every_coverage_away(payer: str) -> None:
    bill = price(Work((OWN,), (), covered(payer), misuse=True), CNY, CNY)
    assert {line.rule for line in bill.lines} == {"misuse"}
    assert bill.net == D("1400.00")


def test_a_half_covered_line_splits_price_and_cost() -> None:
    work = Work((), (BEARING,), covered("contract", 50, "contract"))
    bill = price(work, CNY, CNY)
    assert bill.net == D("430.00")
    assert accounts(bill, work)["contract_cost"] == D("236.5617")
    assert accounts(bill, work)["service_cost"] == D("236.5617")


def test_a_provider_is_owed_by_its_rate_card() -> None:
    work = Work((FOREIGN,), (), covered("warranty"))
    bill = price(work, CNY, CNY)
    owed = [line for line in settlement_postings(bill, work, CNY) if line.account == "payable_provider"]
    assert [(line.amount, line.provider_id) for line in owed] == [(D("-800.00"), 7)]
    assert bill.cost == D("800.00"), "its kilometres are its own"


def test_a_customer_in_another_currency_is_billed_in_it_and_costs_stay_in_the_books() -> None:
    yen = PriceList("JPY", D(8400), D(90), D(5200), D(10), D(32))
    work = Work((Trip(D("1.33"), D("7.7"), D(165)),), (), ())
    bill = price(work, yen, CNY)
    assert bill.gross == bill.gross.to_integral_value()
    assert {(line.account, line.currency) for line in settlement_postings(bill, work, CNY)} >= {
        ("receivable", "JPY"), ("service_cost", "CNY"), ("accrued_labour", "CNY"),
    }  # fmt: skip


def test_an_order_without_work_has_no_lines() -> None:
    bill = price(Work((), (), covered("customer", 0)), CNY, CNY)
    assert (bill.lines, bill.gross, bill.cost) == ((), 0, 0)


def test_each_line_is_rounded_once_half_up() -> None:
    assert rounded(D("0.125"), "CNY") == D("0.13")
    assert rounded(D("2.5"), "JPY") == 3
    assert minor("KWD") == D("0.001")
    assert hours(100) == D("1.67")


money = st.decimals("0", "9999", places=4)
trips = st.builds(
    Trip,
    hours=st.decimals("0", "40", places=2),
    km=st.decimals("0", "900", places=1),
    hourly_cost=money,
    provider_id=st.sampled_from([None, 1, 2]),
    provider_rate=money,
    provider_call_out=money,
)
parts = st.builds(
    UsedPart,
    sku=st.just("P"),
    name_en=st.just("Part"),
    name_zh=st.just("配件"),
    quantity=st.decimals("0.001", "99", places=3),
    list_price=money,
    cost=money,
)
coverages = st.builds(
    Coverage,
    line=st.sampled_from(["labour", "travel", "parts"]),
    payer=st.sampled_from(["warranty", "contract", "goodwill", "customer"]),
    covered_pct=st.decimals("0", "100", places=2),
    rule=st.just("x"),
)
works = st.builds(
    Work,
    trips=st.lists(trips, max_size=4).map(tuple),
    parts=st.lists(parts, max_size=4).map(tuple),
    coverages=st.lists(coverages, max_size=3, unique_by=lambda c: c.line).map(tuple),
    misuse=st.booleans(),
)


@given(works)
def test_whatever_was_done_the_entry_balances_and_no_line_bills_more_than_its_price(work: Work) -> None:
    bill = price(work, CNY, CNY)
    lines = settlement_postings(bill, work, CNY)
    assert sum(line.amount for line in lines) == 0
    assert bill.gross == bill.net + bill.tax == sum((line.billed for line in bill.lines), D(0)) + bill.tax
    assert all(0 <= line.billed <= line.amount for line in bill.lines)
    assert bill.cost == sum((line.cost for line in bill.lines), D(0))
    borne = {"warranty_cost", "contract_cost", "goodwill_cost", "service_cost"}
    assert sum((line.amount for line in lines if line.account in borne), D(0)) == bill.cost


@given(money, st.lists(money, max_size=6))
def test_a_payment_is_spread_oldest_first_and_the_rest_is_left(amount: Decimal, dues: list[Decimal]) -> None:
    items = [OpenItem(number, due) for number, due in enumerate(dues)]
    spread, rest = allocate(amount, items)
    assert sum(spread.values()) + rest == amount
    assert all(0 < part <= dues[number] for number, part in spread.items())
    assert rest == 0 or sum(spread.values()) == sum(dues)


def test_an_allocation_beyond_what_is_open_or_paid_is_a_conflict() -> None:
    items = [OpenItem(1, D(10)), OpenItem(2, D(5))]
    assert allocate(D(12), items, {2: D(5)}) == ({2: D(5)}, D(7))
    with pytest.raises(Conflict, match="order 1 has 10 open, not 11"):
        allocate(D(12), items, {1: D(11)})
    with pytest.raises(Conflict, match="order 3 has 0 open"):
        allocate(D(12), items, {3: D(1)})
    with pytest.raises(Conflict, match="15 are to be allocated of a payment of 12"):
        allocate(D(12), items, {1: D(10), 2: D(5)})


def test_an_entry_that_does_not_balance_is_refused() -> None:
    with pytest.raises(ValueError, match="sum to zero"):
        balanced([Posting("cash", D(1), "CNY"), Posting("deposits", D(-1), "JPY")])
