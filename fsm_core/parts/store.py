"""Reading the stock: parts, places, what lies where, what an order holds; and what must be true of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import class_row

from fsm_core.parts.rules import ZERO, Place
from kit.database import Conn, columns, one, rows, scalar
from kit.errors import NotFound


@dataclass(frozen=True)
class Part:
    """A row of fsm.part, as far as stock goes."""

    id: int
    sku: str
    name_en: str
    name_zh: str
    list_price: Decimal
    serialised: bool
    returns_old: bool


@dataclass(frozen=True)
class Move:
    """A row of fsm.stock_move."""

    id: int
    part_id: int
    from_location: int
    to_location: int
    quantity: Decimal
    unit_cost: Decimal
    value: Decimal
    verb: str
    order_id: int | None
    visit_id: int | None
    serial: str | None
    occurred_at: datetime
    posted_at: datetime
    actor: str
    reverses: int | None


def part(conn: Conn, part_id: int) -> Part:
    """One part.

    Raises:
        NotFound: there is none with this id.
    """
    found = (
        conn.cursor(row_factory=class_row(Part))
        .execute(f"select {columns(Part)} from fsm.part where id = %s", (part_id,))
        .fetchone()
    )
    if found is None:
        raise NotFound(f"there is no part {part_id}")
    return found


def place(conn: Conn, location: int | str) -> Place:
    """One location, by id or by code.

    Raises:
        NotFound: there is none.
    """
    found = (
        conn.cursor(row_factory=class_row(Place))
        .execute(
            f"select {columns(Place)} from fsm.location where id::text = %(x)s or code = %(x)s",
            {"x": str(location)},
        )
        .fetchone()
    )
    if found is None:
        raise NotFound(f"there is no stock location {location!r}")
    return found


def van(conn: Conn, technician_id: int) -> Place | None:
    """The technician's van, if there is one."""
    return (
        conn.cursor(row_factory=class_row(Place))
        .execute(f"select {columns(Place)} from fsm.location where technician_id = %s", (technician_id,))
        .fetchone()
    )


def move(conn: Conn, move_id: int) -> Move:
    """One move.

    Raises:
        NotFound: there is none with this id.
    """
    found = (
        conn.cursor(row_factory=class_row(Move))
        .execute(f"select {columns(Move)} from fsm.stock_move where id = %s", (move_id,))
        .fetchone()
    )
    if found is None:
        raise NotFound(f"there is no stock move {move_id}")
    return found


def moves(
    conn: Conn, *, order_id: int | None = None, part_id: int | None = None, after: int = 0, limit: int = 500
) -> list[Move]:
    """Moves in the order they were posted, of an order or a part or all."""
    return (
        conn.cursor(row_factory=class_row(Move))
        .execute(
            f"""select {columns(Move)} from fsm.stock_move
                where (%(order)s::bigint is null or order_id = %(order)s)
                  and (%(part)s::int is null or part_id = %(part)s) and id > %(after)s
                order by id limit %(limit)s""",
            {"order": order_id, "part": part_id, "after": after, "limit": limit},
        )
        .fetchall()
    )


def serials_at(conn: Conn, part_id: int, location_id: int, limit: int) -> list[str]:
    """Serial numbers lying at a place."""
    found = conn.execute(
        "select serial from fsm.serial where part_id = %s and location_id = %s order by serial limit %s",
        (part_id, location_id, limit),
    )
    return [row[0] for row in found]


def stock(
    conn: Conn,
    *,
    part_id: int | None = None,
    location_id: int | None = None,
    technician_id: int | None = None,
    provider_id: int | None = None,
    text: str | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """What lies where: a row a place and part, with names, available quantity, unit cost and value."""
    return rows(
        conn,
        """select l.id as location_id, l.code as location, l.kind, l.name as location_name, p.id as part_id,
                  p.sku,
                  p.name_en, p.name_zh, b.on_hand, b.reserved, b.on_hand - b.reserved as available,
                  case when b.on_hand > 0 then round(b.value / b.on_hand, 4) else 0 end as unit_cost, b.value
           from fsm.stock_balance b join fsm.location l on l.id = b.location_id
           join fsm.part p on p.id = b.part_id
           where b.physical and b.on_hand > 0
             and (%(part)s::int is null or b.part_id = %(part)s)
             and (%(place)s::int is null or b.location_id = %(place)s)
             and (%(technician)s::int is null or l.technician_id = %(technician)s)
             and (%(provider)s::int is null or l.provider_id = %(provider)s)
             and (%(text)s::text is null or concat_ws(' ', p.sku, p.name_en, p.name_zh, l.code, l.name)
                                            ilike '%%' || %(text)s || '%%')
           order by p.sku, l.kind, l.code limit %(limit)s""",
        {
            "part": part_id,
            "place": location_id,
            "technician": technician_id,
            "provider": provider_id,
            "text": text,
            "limit": limit,
        },
    )


def available(conn: Conn, part_id: int, location_id: int) -> Decimal:
    """On hand less reserved."""
    found = scalar(
        conn,
        "select on_hand - reserved from fsm.stock_balance where part_id = %s and location_id = %s",
        (part_id, location_id),
    )
    return ZERO if found is None else found


def order_parts(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The order's parts: expected, reserved, consumed, old ones returned, and which places hold them."""
    return rows(
        conn,
        """select o.part_id, p.sku, p.name_en, p.name_zh, p.list_price, p.serialised, p.returns_old,
                  o.expected,
                  o.reserved, o.consumed, o.old_returned,
                  coalesce((select jsonb_agg(jsonb_build_object('location_id', l.id, 'location', l.code,
                                       'kind', l.kind, 'quantity', r.quantity - r.used) order by l.kind, l.id)
                            from fsm.reservation r join fsm.location l on l.id = r.location_id
                            where r.order_id = o.order_id and r.part_id = o.part_id and r.state = 'open'),
                           '[]') as held_at
           from fsm.order_part o join fsm.part p on p.id = o.part_id where o.order_id = %s order by p.sku""",
        (order_id,),
    )


def undeclared_old(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """Consumed parts whose old one has not been handed back: part_id, sku, names, missing quantity."""
    return rows(
        conn,
        """select o.part_id, p.sku, p.name_en, p.name_zh, o.consumed - o.old_returned as missing
           from fsm.order_part o join fsm.part p on p.id = o.part_id
           where o.order_id = %s and p.returns_old and o.consumed > o.old_returned order by p.sku""",
        (order_id,),
    )


def visit_for_stock(conn: Conn, visit_id: int) -> dict[str, Any]:
    """The visit a part is used on, with its order's state; the order is locked against ending meanwhile.

    Raises:
        NotFound: there is none with this id.
    """
    found = one(
        conn,
        """select v.id, v.order_id, v.technician_id, v.state, o.state as order_state, o.number, t.provider_id
           from fsm.visit v join fsm.work_order o on o.id = v.order_id
           join fsm.technician t on t.id = v.technician_id
           where v.id = %s for no key update of o""",
        (visit_id,),
    )
    if found is None:
        raise NotFound(f"there is no visit {visit_id}")
    return found


def order_for_stock(conn: Conn, order_id: int) -> dict[str, Any]:
    """The order parts are held for; locked against ending meanwhile.

    Raises:
        NotFound: there is none with this id.
    """
    found = one(
        conn, "select id, number, state from fsm.work_order where id = %s for no key update", (order_id,)
    )
    if found is None:
        raise NotFound(f"there is no order {order_id}")
    return found


def invariants(conn: Conn) -> list[dict[str, Any]]:
    """What is wrong with the stock: nothing, or one row a finding with code, text_en, text_zh, detail."""
    return rows(
        conn,
        """
        select 'stock_sum' as code, 'The places of a part do not sum to zero' as text_en,
               '配件各库位数量合计不为零' as text_zh,
               jsonb_build_object('part_id', part_id, 'quantity', sum(on_hand), 'value', sum(value)) as detail
        from fsm.stock_balance group by part_id having sum(on_hand) <> 0 or sum(value) <> 0
        union all
        select 'stock_replay', 'A balance is not what its moves say', '库存余额与流水不符',
               jsonb_build_object('location_id', location_id, 'part_id', part_id, 'balance', b.on_hand,
                                  'moves', m.n)
        from fsm.stock_balance b full join (
            select location_id, part_id, sum(n) as n, sum(v) as v from (
                select to_location as location_id, part_id, quantity as n, value as v from fsm.stock_move
                union all select from_location, part_id, -quantity, -value from fsm.stock_move) x
            group by location_id, part_id) m using (location_id, part_id)
        where coalesce(b.on_hand, 0) <> coalesce(m.n, 0) or coalesce(b.value, 0) <> coalesce(m.v, 0)
        union all
        select 'stock_reserved', 'Reserved stock is not what the reservations say', '预留数量与预留记录不符',
               jsonb_build_object('location_id', location_id, 'part_id', part_id, 'balance', b.reserved,
                                  'open', r.n)
        from fsm.stock_balance b full join (
            select location_id, part_id, sum(quantity - used) as n from fsm.reservation
            where state = 'open' group by location_id, part_id) r using (location_id, part_id)
        where coalesce(b.reserved, 0) <> coalesce(r.n, 0)
        union all
        select 'stock_value', 'Stock is not worth what the inventory account says', '库存金额与存货科目不符',
               jsonb_build_object('stock', s.value, 'account', a.amount)
        from (select coalesce(sum(b.value), 0) as value from fsm.stock_balance b
              join fsm.location l on l.id = b.location_id where l.valued) s,
             (select coalesce(sum(amount), 0) as amount from fsm.journal_line where account = 'inventory') a
        where s.value <> a.amount
        union all
        select 'stock_negative', 'Less than nothing lies at a place', '库存为负',
               jsonb_build_object('location_id', location_id, 'part_id', part_id, 'on_hand', on_hand)
        from fsm.stock_balance where physical and (on_hand < 0 or value < 0 or reserved > on_hand)
        union all
        select 'order_reserved', 'An order holds other parts than it says', '工单预留与记录不符',
               jsonb_build_object('order_id', order_id, 'part_id', part_id, 'order', o.reserved, 'open', r.n)
        from fsm.order_part o full join (
            select order_id, part_id, sum(quantity - used) as n from fsm.reservation
            where state = 'open' group by order_id, part_id) r using (order_id, part_id)
        where coalesce(o.reserved, 0) <> coalesce(r.n, 0)""",
    )
