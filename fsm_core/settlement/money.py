"""Amounts, journal entries and open items. Pure.

Money is Decimal. A document line is rounded once, to the minor unit of its currency; costs keep the four
decimals of the stock ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from kit.errors import Conflict

LEDGER: Final = Decimal("0.0001")
"""The finest amount the journal and the stock ledger keep."""

_MINOR: Final = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "KWD": 3, "OMR": 3, "TND": 3}


def minor(currency: str) -> Decimal:
    """The smallest amount of a currency: `minor("CNY")` is 0.01."""
    return Decimal(1).scaleb(-_MINOR.get(currency, 2))


def rounded(amount: Decimal, currency: str) -> Decimal:
    """An amount as a document shows it, half up."""
    return amount.quantize(minor(currency), ROUND_HALF_UP)


@dataclass(frozen=True)
class Posting:
    """One line of a journal entry: debit is positive, credit negative."""

    account: str
    amount: Decimal
    currency: str
    text: str = ""
    provider_id: int | None = None


def balanced(lines: Iterable[Posting]) -> list[Posting]:
    """The lines without empty ones.

    Raises:
        ValueError: they do not sum to zero in each currency.
    """
    kept = [line for line in lines if line.amount]
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for line in kept:
        totals[line.currency] += line.amount
    if off := {currency: total for currency, total in totals.items() if total}:
        raise ValueError(f"a journal entry must sum to zero in each currency; off by {off}")
    return kept


def reversed_lines(lines: Iterable[Posting]) -> list[Posting]:
    """The lines that undo others."""
    return [Posting(line.account, -line.amount, line.currency, line.text, line.provider_id) for line in lines]


@dataclass(frozen=True)
class OpenItem:
    """An order whose bill is not fully paid."""

    order_id: int
    open: Decimal


def allocate(
    amount: Decimal, items: Iterable[OpenItem], wanted: Mapping[int, Decimal] | None = None
) -> tuple[dict[int, Decimal], Decimal]:
    """Spread a payment over open items: as wanted, or the oldest first.

    Returns: order → amount, and what is left over.

    Raises:
        Conflict: more is wanted for an item than it has open, or more than was paid.
    """
    open_items = {item.order_id: item.open for item in items}
    if wanted is None:
        spread, left = {}, amount
        for order_id, due in open_items.items():
            if (here := min(left, due)) > 0:
                spread[order_id] = here
                left -= here
        return spread, left
    for order_id, part in wanted.items():
        if not 0 < part <= open_items.get(order_id, 0):
            raise Conflict(f"order {order_id} has {open_items.get(order_id, 0)} open, not {part}")
    if (left := amount - sum(wanted.values())) < 0:
        raise Conflict(f"{sum(wanted.values())} are to be allocated of a payment of {amount}")
    return dict(wanted), left
