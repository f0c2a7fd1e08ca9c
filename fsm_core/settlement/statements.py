"""Statements of account: what a customer owes, what a provider is owed, with every booking that led there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.rows import class_row

from kit.database import Conn


@dataclass(frozen=True)
class StatementLine:
    """One booking. `amount` raises what is owed, a negative one lowers it; `balance` is after it."""

    occurred_at: datetime
    kind: str
    order_id: int | None
    number: str | None
    text: str
    currency: str
    amount: Decimal
    balance: Decimal


@dataclass(frozen=True)
class Statement:
    """The bookings of a period, per currency: opening + lines = closing."""

    currency: str
    opening: Decimal
    closing: Decimal
    lines: tuple[StatementLine, ...]


def customer_statement(conn: Conn, customer_id: int, start: datetime, end: datetime) -> list[Statement]:
    """What the customer owes (bills less payments and credit), one statement a currency."""
    lines = (
        conn.cursor(row_factory=class_row(StatementLine))
        .execute(
            """select e.occurred_at, e.kind, e.order_id, o.number, max(l.text) as text, l.currency,
                      sum(l.amount) as amount,
                      sum(sum(l.amount)) over (partition by l.currency order by e.occurred_at, e.id) as balance
               from fsm.journal_line l join fsm.journal_entry e on e.id = l.entry_id
               left join fsm.work_order o on o.id = e.order_id
               where l.account in ('receivable', 'deposits') and e.customer_id = %s and e.occurred_at < %s
               group by e.id, o.number, l.currency having sum(l.amount) <> 0 order by e.occurred_at, e.id""",
            (customer_id, end),
        )
        .fetchall()
    )
    return _statements(lines, start)


def provider_statement(conn: Conn, provider_id: int, start: datetime, end: datetime) -> list[Statement]:
    """What the provider is owed (by its rate card, less what was paid), one statement a currency."""
    lines = (
        conn.cursor(row_factory=class_row(StatementLine))
        .execute(
            """select e.occurred_at, e.kind, e.order_id, o.number, l.text, l.currency, -l.amount as amount,
                      -sum(l.amount) over (partition by l.currency order by e.occurred_at, e.id, l.position) as balance
               from fsm.journal_line l join fsm.journal_entry e on e.id = l.entry_id
               left join fsm.work_order o on o.id = e.order_id
               where l.account = 'payable_provider' and l.provider_id = %s and e.occurred_at < %s
               order by e.occurred_at, e.id, l.position""",
            (provider_id, end),
        )
        .fetchall()
    )
    return _statements(lines, start)


def _statements(lines: list[StatementLine], start: datetime) -> list[Statement]:
    found: list[Statement] = []
    for currency in sorted({line.currency for line in lines}):
        mine = [line for line in lines if line.currency == currency]
        before = [line for line in mine if line.occurred_at < start]
        opening = before[-1].balance if before else Decimal(0)
        closing = mine[-1].balance
        found.append(Statement(currency, opening, closing, tuple(mine[len(before) :])))
    return found
