"""Pricing an order: what each line costs, who bears it, who is owed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from fsm_core.settlement.money import LEDGER, Posting, rounded

_HOUR: Final = Decimal("0.01")
_BEARER: Final = {"warranty": "warranty_cost", "contract": "contract_cost", "goodwill": "goodwill_cost"}


@dataclass(frozen=True)
class PriceList:
    """What things cost without any coverage, in one currency."""

    currency: str
    labour_per_hour: Decimal
    travel_per_km: Decimal
    call_out_fee: Decimal
    tax_pct: Decimal
    cost_per_km: Decimal


@dataclass(frozen=True)
class Trip:
    """A visit that reached the site. Own staff has `hourly_cost`, a provider's its rate card."""

    hours: Decimal
    km: Decimal
    hourly_cost: Decimal
    provider_id: int | None = None
    provider_rate: Decimal = Decimal(0)
    provider_call_out: Decimal = Decimal(0)


@dataclass(frozen=True)
class UsedPart:
    """A part consumed on the order: its list price, and what the stock ledger says it cost in all."""

    sku: str
    name_en: str
    name_zh: str
    quantity: Decimal
    list_price: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Coverage:
    """Who pays for a kind of line (labour, travel, parts), and how much of it: a row of fsm.entitlement."""

    line: str
    payer: str
    covered_pct: Decimal
    rule: str


@dataclass(frozen=True)
class Line:
    """A document line: price, coverage, what is billed to the customer, and what it cost."""

    line: str
    text_en: str
    text_zh: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    covered_pct: Decimal
    billed: Decimal
    cost: Decimal
    rule: str
    payer: str


@dataclass(frozen=True)
class Work:
    """All that was done on an order, as pricing needs it.

    Attributes:
        misuse: the cause code says the customer broke it, which excludes every coverage.
    """

    trips: tuple[Trip, ...]
    parts: tuple[UsedPart, ...]
    coverages: tuple[Coverage, ...]
    misuse: bool = False


@dataclass(frozen=True)
class Bill:
    """The priced order: `net` + `tax` = `gross` for the customer in `currency`, `cost` in that of the books."""

    currency: str
    lines: tuple[Line, ...]
    net: Decimal
    tax: Decimal
    gross: Decimal
    cost: Decimal


def hours(minutes: float) -> Decimal:
    """Minutes worked as hours of two decimals."""
    return (Decimal(str(minutes)) / 60).quantize(_HOUR, ROUND_HALF_UP)


def coverage(work: Work, line: str) -> Coverage:
    """What holds for a kind of line: the snapshot of the entitlement; nothing when it has none or after misuse."""
    found = next((row for row in work.coverages if row.line == line), None)
    if found is None:
        return Coverage(line, "customer", Decimal(0), "billable")
    if work.misuse and found.covered_pct:
        return Coverage(line, "customer", Decimal(0), "misuse")
    return found


def price(work: Work, prices: PriceList, books: PriceList) -> Bill:
    """Price an order for its customer, and sum up what it cost the company.

    Args:
        prices: in the customer's currency.
        books: in the company's currency, for the costs.
    """
    lines = tuple(_lines(work, prices, books))
    net = sum((line.billed for line in lines), Decimal(0))
    tax = rounded(net * prices.tax_pct / 100, prices.currency)
    cost = sum((line.cost for line in lines), Decimal(0))
    return Bill(prices.currency, lines, net, tax, net + tax, cost)


def _lines(work: Work, prices: PriceList, books: PriceList) -> Iterable[Line]:
    trips = work.trips
    own_km = sum((trip.km for trip in trips if trip.provider_id is None), Decimal(0))
    call_outs = sum((_call_out(trip, books.currency) for trip in trips), Decimal(0))
    labour = sum((_labour(trip, books.currency) for trip in trips), Decimal(0))
    yield from _line(
        work, prices, "labour", ("Labour", "人工"), sum((trip.hours for trip in trips), Decimal(0)), "h",
        prices.labour_per_hour, labour,
    )  # fmt: skip
    yield from _line(
        work,
        prices,
        "travel",
        ("Call-out", "上门费"),
        Decimal(len(trips)),
        "visit",
        prices.call_out_fee,
        call_outs,
    )
    yield from _line(
        work, prices, "travel", ("Travel", "里程"), sum((trip.km for trip in trips), Decimal(0)), "km",
        prices.travel_per_km, (own_km * books.cost_per_km).quantize(LEDGER),
    )  # fmt: skip
    for part in work.parts:
        names = (f"{part.sku} {part.name_en}", f"{part.sku} {part.name_zh}")
        yield from _line(work, prices, "parts", names, part.quantity, "pc", part.list_price, part.cost)


def _line(
    work: Work,
    prices: PriceList,
    line: str,
    names: tuple[str, str],
    quantity: Decimal,
    unit: str,
    unit_price: Decimal,
    cost: Decimal,
) -> Iterable[Line]:
    if not quantity and not cost:
        return
    covered = coverage(work, line)
    amount = rounded(quantity * unit_price, prices.currency)
    billed = rounded(amount * (100 - covered.covered_pct) / 100, prices.currency)
    yield Line(
        line, *names, quantity, unit, unit_price, amount, covered.covered_pct, billed, cost, covered.rule,
        covered.payer,
    )  # fmt: skip


def _labour(trip: Trip, currency: str) -> Decimal:
    if trip.provider_id is not None:
        return rounded(trip.hours * trip.provider_rate, currency)
    return (trip.hours * trip.hourly_cost).quantize(LEDGER)


def _call_out(trip: Trip, currency: str) -> Decimal:
    return Decimal(0) if trip.provider_id is None else rounded(trip.provider_call_out, currency)


def settlement_postings(bill: Bill, work: Work, books: PriceList) -> list[Posting]:
    """The journal entry of a settled order: what the customer owes, who bears the cost, whom it is owed to."""
    lines = [
        Posting("receivable", bill.gross, bill.currency),
        Posting("revenue", -bill.net, bill.currency),
        Posting("tax", -bill.tax, bill.currency),
    ]
    lines += [Posting(account, amount, books.currency) for account, amount in sorted(_borne(bill).items())]
    lines += _owed(work, books)
    return [line for line in lines if line.amount]


def _borne(bill: Bill) -> dict[str, Decimal]:
    """Cost by the account that bears it: the covered share is the payer's, the rest serves the revenue."""
    borne: dict[str, Decimal] = defaultdict(Decimal)
    for line in bill.lines:
        covered = (line.cost * line.covered_pct / 100).quantize(LEDGER, ROUND_HALF_UP)
        borne[_BEARER.get(line.payer, "service_cost")] += covered
        borne["service_cost"] += line.cost - covered
    return borne


def _owed(work: Work, books: PriceList) -> list[Posting]:
    own = [trip for trip in work.trips if trip.provider_id is None]
    labour = sum((_labour(trip, books.currency) for trip in own), Decimal(0))
    travel = (sum((trip.km for trip in own), Decimal(0)) * books.cost_per_km).quantize(LEDGER)
    used = sum((part.cost for part in work.parts), Decimal(0))
    owed: dict[int, Decimal] = defaultdict(Decimal)
    for trip in work.trips:
        if trip.provider_id is not None:
            owed[trip.provider_id] += _labour(trip, books.currency) + _call_out(trip, books.currency)
    return [
        Posting("accrued_labour", -labour, books.currency),
        Posting("accrued_travel", -travel, books.currency),
        Posting("work_in_progress", -used, books.currency),
        *(
            Posting("payable_provider", -amount, books.currency, "", provider_id)
            for provider_id, amount in sorted(owed.items())
        ),
    ]
