"""The papers of an order: its settlement with the postings, and the signed report."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from api.schemas.common import Row


class SettlementLine(Row):
    """A priced line."""

    position: int
    line: str
    text_en: str
    text_zh: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    covered_pct: Decimal
    billed: Decimal
    cost: Decimal | None
    rule: str


class JournalLine(Row):
    """A posting; debit is positive."""

    entry_id: int
    kind: str
    occurred_at: datetime
    position: int
    account: str
    name_en: str
    name_zh: str
    amount: Decimal
    currency: str
    text: str


class Settlement(Row):
    """The settled order; cost and journal only for those who may see them."""

    currency: str
    net: Decimal
    tax: Decimal
    gross: Decimal
    cost: Decimal | None
    settled_at: datetime
    lines: list[SettlementLine]
    journal: list[JournalLine]


class Report(Row):
    """The service report; `signature` is SVG path data."""

    version: int
    body: dict[str, Any]
    sha256: str
    signed_by: str | None
    signed_at: datetime | None
    signature: str | None
