"""The journal's SQL: post an entry once, read its lines. Append-only: a correction is a reversing entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from fsm_core.settlement.money import Posting, balanced
from kit.database import Conn, scalar
from kit.settings import load


@dataclass(frozen=True)
class Head:
    """What an entry is about.

    Attributes:
        key: unique; posting the same key twice makes one entry.
        kind: stock, settlement, receipt, payment, allocation, reversal.
    """

    key: str
    kind: str
    occurred_at: datetime
    order_id: int | None = None
    customer_id: int | None = None
    provider_id: int | None = None
    reverses: int | None = None


def post(conn: Conn, head: Head, lines: Iterable[Posting]) -> tuple[int, bool]:
    """Post an entry, unless its key is there already. Returns its id, and whether it is new.

    Raises:
        ValueError: the lines do not balance.
    """
    kept = balanced(lines)
    entry_id = scalar(
        conn,
        """insert into fsm.journal_entry
               (key, kind, order_id, customer_id, provider_id, occurred_at, posted_at, reverses)
           values (%s, %s, %s, %s, %s, %s, kit.now(), %s) on conflict (key) do nothing returning id""",
        (
            head.key,
            head.kind,
            head.order_id,
            head.customer_id,
            head.provider_id,
            head.occurred_at,
            head.reverses,
        ),
    )
    if entry_id is None:
        return scalar(conn, "select id from fsm.journal_entry where key = %s", (head.key,)), False
    with conn.cursor() as cursor:
        cursor.executemany(
            """insert into fsm.journal_line (entry_id, position, account, amount, currency, text, provider_id)
               values (%s, %s, %s, %s, %s, %s, %s)""",
            [
                (entry_id, number, line.account, line.amount, line.currency, line.text, line.provider_id)
                for number, line in enumerate(kept, 1)
            ],
        )
    return entry_id, True


def lines(conn: Conn, entry_id: int) -> list[Posting]:
    """The lines of an entry, in order."""
    return (
        conn.cursor(row_factory=class_row(Posting))
        .execute(
            """select account, amount, currency, text, provider_id from fsm.journal_line
           where entry_id = %s order by position""",
            (entry_id,),
        )
        .fetchall()
    )


def currency(conn: Conn) -> str:
    """The currency the company keeps its books in: fixed by the first booking, from the settings."""
    found = scalar(conn, "select currency from fsm.books")
    if found is None:
        conn.execute(
            "insert into fsm.books (currency) values (%s) on conflict do nothing", (load().currency,)
        )
        found = scalar(conn, "select currency from fsm.books")
    return str(found)
