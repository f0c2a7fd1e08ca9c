"""What was done on an order, its settlement, and the accounts, in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import class_row

from fsm_core.settlement import rules
from fsm_core.settlement.money import OpenItem
from fsm_core.settlement.rules import Bill, Coverage, PriceList, Trip, UsedPart, Work
from kit.database import Conn, columns, one, rows
from kit.errors import Misconfigured, NotFound


@dataclass(frozen=True)
class Settlement:
    """A row of fsm.settlement: what the customer owes for an order, and what it cost."""

    order_id: int
    entry_id: int
    currency: str
    cost: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal
    settled_at: datetime
    cost_currency: str
    revision: int


def find(conn: Conn, order_id: int) -> Settlement | None:
    """The order's settlement, or None; locked, so that two corrections come one after the other."""
    return (
        conn.cursor(row_factory=class_row(Settlement))
        .execute(
            f"select {columns(Settlement)} from fsm.settlement where order_id = %s for update", (order_id,)
        )
        .fetchone()
    )


def lines(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The document's lines, in order."""
    return rows(conn, "select * from fsm.settlement_line where order_id = %s order by position", (order_id,))


def prices(conn: Conn, currency: str) -> PriceList:
    """The price list in a currency.

    Raises:
        Misconfigured: there is none.
    """
    found = (
        conn.cursor(row_factory=class_row(PriceList))
        .execute(f"select {columns(PriceList)} from fsm.price_list where currency = %s", (currency,))
        .fetchone()
    )
    if found is None:
        raise Misconfigured(f"there is no price list in {currency}: add one, then settle again")
    return found


def order_head(conn: Conn, order_id: int) -> dict[str, Any]:
    """The order's number, state, customer with currency, and whether its cause was misuse; locked.

    Raises:
        NotFound: there is none with this id.
    """
    found = one(
        conn,
        """select o.id, o.number, o.state, o.customer_id, c.currency,
                  coalesce((select misuse from fsm.repair_code where kind = 'cause' and code = o.cause_code), false)
                      as misuse
           from fsm.work_order o join fsm.customer c on c.id = o.customer_id
           where o.id = %s for no key update of o""",
        (order_id,),
    )
    if found is None:
        raise NotFound(f"there is no order {order_id}")
    return found


def work(conn: Conn, order_id: int, *, misuse: bool) -> Work:
    """Everything that is priced: trips that reached the site, parts with their ledger cost, the entitlement."""
    trips = rows(
        conn,
        # A provider is not paid for repeating its own repair.
        """select v.worked_minutes, v.distance_km, t.hourly_cost, t.provider_id,
                  case when own.repeat then 0 else p.hourly_rate end as hourly_rate,
                  case when own.repeat then 0 else p.call_out_fee end as call_out_fee
           from fsm.visit v join fsm.technician t on t.id = v.technician_id
           left join fsm.provider p on p.id = t.provider_id
           cross join lateral (select exists (
               select from fsm.work_order o join fsm.visit f on f.order_id = o.repeat_of and f.state = 'done'
               join fsm.technician d on d.id = f.technician_id
               where o.id = v.order_id and o.type = 'repeat' and d.provider_id = t.provider_id) as repeat) own
           where v.order_id = %s and v.on_site_at is not null order by v.id""",
        (order_id,),
    )
    parts = conn.cursor(row_factory=class_row(UsedPart)).execute(
        """select p.sku, p.name_en, p.name_zh, sum(m.sign * m.quantity) as quantity, p.list_price,
                  sum(m.sign * m.value) as cost
           from (select part_id, quantity, value, 1 as sign, order_id from fsm.stock_move where verb = 'consume'
                 union all
                 select r.part_id, r.quantity, r.value, -1, r.order_id from fsm.stock_move r
                 join fsm.stock_move o on o.id = r.reverses and o.verb = 'consume') m
           join fsm.part p on p.id = m.part_id where m.order_id = %s
           group by p.id having sum(m.sign * m.quantity) > 0 order by p.sku""",
        (order_id,),
    )
    covered = conn.cursor(row_factory=class_row(Coverage)).execute(
        "select line, payer, covered_pct, rule from fsm.entitlement where order_id = %s", (order_id,)
    )
    return Work(tuple(map(_trip, trips)), tuple(parts), tuple(covered), misuse)


def _trip(row: dict[str, Any]) -> Trip:
    km = Decimal(str(row["distance_km"])).quantize(Decimal("0.1"))
    own = Trip(rules.hours(row["worked_minutes"]), km, row["hourly_cost"])
    if row["provider_id"] is None:
        return own
    return Trip(
        own.hours, km, row["hourly_cost"], row["provider_id"], row["hourly_rate"], row["call_out_fee"]
    )


def write(
    conn: Conn, order_id: int, bill: Bill, entry_id: int, cost_currency: str, revision: int, at: datetime
) -> Settlement:
    """Write the settlement, or its next revision; the journal keeps the earlier ones."""
    made = (
        conn.cursor(row_factory=class_row(Settlement))
        .execute(
            f"""insert into fsm.settlement
                    (order_id, entry_id, currency, cost, net, tax, gross, settled_at, cost_currency, revision)
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                on conflict (order_id) do update set entry_id = excluded.entry_id, cost = excluded.cost,
                    net = excluded.net, tax = excluded.tax, gross = excluded.gross, revision = excluded.revision,
                    currency = excluded.currency, settled_at = excluded.settled_at
                returning {columns(Settlement)}""",
            (order_id, entry_id, bill.currency, bill.cost, bill.net, bill.tax, bill.gross, at, cost_currency,
             revision),
        )
        .fetchone()
    )  # fmt: skip
    conn.execute("delete from fsm.settlement_line where order_id = %s", (order_id,))
    with conn.cursor() as cursor:
        cursor.executemany(
            """insert into fsm.settlement_line (order_id, position, line, text_en, text_zh, quantity, unit,
                   unit_price, amount, covered_pct, billed, cost, rule, payer)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            [
                (order_id, number, row.line, row.text_en, row.text_zh, row.quantity, row.unit, row.unit_price,
                 row.amount, row.covered_pct, row.billed, row.cost, row.rule, row.payer)
                for number, row in enumerate(bill.lines, 1)
            ],
        )  # fmt: skip
    assert made is not None
    return made


def open_bills(conn: Conn, customer_id: int) -> list[OpenItem]:
    """The customer's settled orders that are not fully paid, the oldest first."""
    return (
        conn.cursor(row_factory=class_row(OpenItem))
        .execute(
            """select s.order_id, s.gross - coalesce(sum(a.amount), 0) as open
               from fsm.settlement s join fsm.work_order o on o.id = s.order_id
               left join (fsm.allocation a join fsm.payment p on p.id = a.payment_id and p.customer_id is not null)
                    on a.order_id = s.order_id
               where o.customer_id = %s group by s.order_id
               having s.gross > coalesce(sum(a.amount), 0) order by s.settled_at, s.order_id""",
            (customer_id,),
        )
        .fetchall()
    )


def owed_to(conn: Conn, provider_id: int) -> list[OpenItem]:
    """Orders for which the provider is not fully paid, the oldest first."""
    return (
        conn.cursor(row_factory=class_row(OpenItem))
        .execute(
            """select e.order_id, -sum(l.amount) - coalesce((
                       select sum(a.amount) from fsm.allocation a join fsm.payment p on p.id = a.payment_id
                       where a.order_id = e.order_id and p.provider_id = %(provider)s), 0) as open
               from fsm.journal_line l join fsm.journal_entry e on e.id = l.entry_id
               where l.account = 'payable_provider' and l.provider_id = %(provider)s and e.order_id is not null
               group by e.order_id order by min(e.occurred_at), e.order_id""",
            {"provider": provider_id},
        )
        .fetchall()
    )


def credits(conn: Conn, customer_id: int) -> list[tuple[int, Decimal, str]]:
    """Payments of the customer that are not fully allocated, the oldest first: id, what is left, currency."""
    return conn.execute(
        """select p.id, p.amount - coalesce(sum(a.amount), 0), p.currency
           from fsm.payment p left join fsm.allocation a on a.payment_id = p.id
           where p.customer_id = %s and p.reversed_by is null
           group by p.id having p.amount > coalesce(sum(a.amount), 0) order by p.id""",
        (customer_id,),
    ).fetchall()


def trial_balance(conn: Conn) -> list[dict[str, Any]]:
    """Each account and currency with debit, credit and balance; the balances sum to zero per currency."""
    return rows(
        conn,
        """select a.code as account, a.name_en, a.name_zh, a.kind, l.currency,
                  coalesce(sum(l.amount) filter (where l.amount > 0), 0) as debit,
                  coalesce(-sum(l.amount) filter (where l.amount < 0), 0) as credit, sum(l.amount) as balance
           from fsm.journal_line l join fsm.account a on a.code = l.account
           group by a.code, l.currency order by a.kind, a.code, l.currency""",
    )


def invariants(conn: Conn) -> list[dict[str, Any]]:
    """What is wrong with the money: nothing, or one row a finding with code, text_en, text_zh, detail."""
    return rows(
        conn,
        """
        select 'trial_balance' as code, 'The books do not sum to zero' as text_en, '试算不平衡' as text_zh,
               jsonb_build_object('currency', currency, 'amount', sum(amount)) as detail
        from fsm.journal_line group by currency having sum(amount) <> 0
        union all
        select 'entry_balance', 'A journal entry does not balance', '凭证借贷不平衡',
               jsonb_build_object('entry_id', entry_id, 'currency', currency, 'amount', sum(amount))
        from fsm.journal_line group by entry_id, currency having sum(amount) <> 0
        union all
        select 'unsettled', 'A settled order has no settlement, or an open one has', '结算状态与结算单不符',
               jsonb_build_object('order_id', coalesce(o.id, s.order_id), 'state', o.state)
        from fsm.work_order o full join fsm.settlement s on s.order_id = o.id
        where (o.state in ('settled', 'closed')) <> (s.order_id is not null)
        union all
        select 'receivable', 'A customer owes something else than the unpaid bills', '应收账款与未付账单不符',
               jsonb_build_object('customer_id', customer_id, 'account', coalesce(a.n, 0), 'bills', coalesce(b.n, 0))
        from (select e.customer_id, sum(l.amount) as n from fsm.journal_line l
              join fsm.journal_entry e on e.id = l.entry_id where l.account = 'receivable' group by 1) a
        full join (select o.customer_id, sum(s.gross - coalesce(p.paid, 0)) as n from fsm.settlement s
              join fsm.work_order o on o.id = s.order_id
              left join (select x.order_id, sum(x.amount) as paid from fsm.allocation x
                         join fsm.payment y on y.id = x.payment_id where y.customer_id is not null group by 1) p
                   on p.order_id = s.order_id group by 1) b using (customer_id)
        where coalesce(a.n, 0) <> coalesce(b.n, 0)
        union all
        select 'deposits', 'A customer''s credit is not what was paid too much', '客户预存与多付金额不符',
               jsonb_build_object('customer_id', customer_id, 'account', coalesce(a.n, 0), 'paid', coalesce(b.n, 0))
        from (select e.customer_id, -sum(l.amount) as n from fsm.journal_line l
              join fsm.journal_entry e on e.id = l.entry_id where l.account = 'deposits' group by 1) a
        full join (select p.customer_id, sum(p.amount - coalesce(x.spent, 0)) as n from fsm.payment p
              left join (select payment_id, sum(amount) as spent from fsm.allocation group by 1) x
                   on x.payment_id = p.id
              where p.customer_id is not null and p.reversed_by is null group by 1) b using (customer_id)
        where coalesce(a.n, 0) <> coalesce(b.n, 0)
        union all
        select 'work_in_progress', 'Parts used on an order are not what its account says', '在制成本与领用配件不符',
               jsonb_build_object('order_id', order_id, 'account', coalesce(a.n, 0), 'parts', coalesce(b.n, 0))
        from (select e.order_id, sum(l.amount) as n from fsm.journal_line l
              join fsm.journal_entry e on e.id = l.entry_id where l.account = 'work_in_progress' group by 1) a
        full join (select m.order_id, sum(case when m.verb = 'consume' then m.value else -m.value end) as n
              from fsm.stock_move m left join fsm.stock_move o on o.id = m.reverses
              where (m.verb = 'consume' or o.verb = 'consume')
                and not exists (select from fsm.settlement s where s.order_id = m.order_id)
              group by 1) b using (order_id)
        where coalesce(a.n, 0) <> coalesce(b.n, 0)""",
    )
