"""Journal entries and the pricing of an order. Pure.

Money is Decimal. A document line is rounded once, to the minor unit of its currency; costs keep the four
decimals of the stock ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

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
