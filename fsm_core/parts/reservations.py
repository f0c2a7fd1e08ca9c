"""The SQL of reservations, and of what an order expects, holds and has used. Used by the verbs only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.rows import class_row

from kit.database import Conn


@dataclass(frozen=True)
class Held:
    """What is left of an open reservation."""

    id: int
    order_id: int
    part_id: int
    location_id: int
    kind: str
    technician_id: int | None
    remaining: Decimal


def add(conn: Conn, order_id: int, part_id: int, location_id: int, quantity: Decimal, at: datetime) -> None:
    """Add to the order's open reservation at a place."""
    conn.execute(
        """insert into fsm.reservation (order_id, part_id, location_id, quantity, made_at)
           values (%s, %s, %s, %s, %s)
           on conflict (order_id, part_id, location_id) where state = 'open'
           do update set quantity = fsm.reservation.quantity + excluded.quantity""",
        (order_id, part_id, location_id, quantity, at),
    )


def use(conn: Conn, reservation_id: int, quantity: Decimal, at: datetime) -> None:
    """Take from a reservation; used up, it ends."""
    conn.execute(
        """update fsm.reservation set used = used + %(n)s,
               state = case when used + %(n)s = quantity then 'used' else state end,
               ended_at = case when used + %(n)s = quantity then %(at)s else ended_at end
           where id = %(id)s""",
        {"n": quantity, "at": at, "id": reservation_id},
    )


def end(conn: Conn, reservation_id: int, at: datetime) -> None:
    """Give up what is left of a reservation."""
    conn.execute(
        "update fsm.reservation set state = 'released', ended_at = %s where id = %s and state = 'open'",
        (at, reservation_id),
    )


def held(conn: Conn, order_id: int, *, part_id: int | None = None) -> list[Held]:
    """The order's open reservations, locked, by part and place."""
    return (
        conn.cursor(row_factory=class_row(Held))
        .execute(
            """select r.id, r.order_id, r.part_id, r.location_id, l.kind, l.technician_id,
                      r.quantity - r.used as remaining
               from fsm.reservation r join fsm.location l on l.id = r.location_id
               where r.order_id = %(order)s and r.state = 'open'
                 and (%(part)s::int is null or r.part_id = %(part)s)
               order by r.part_id, r.location_id for update of r""",
            {"order": order_id, "part": part_id},
        )
        .fetchall()
    )


def count(conn: Conn, order_id: int, part_id: int, column: str, quantity: Decimal) -> None:
    """Keep the order's own count of a part: reserved, consumed or old_returned."""
    if column not in ("reserved", "consumed", "old_returned"):
        raise ValueError(column)
    conn.execute(
        f"""insert into fsm.order_part (order_id, part_id, {column})
            values (%(order)s, %(part)s, greatest(%(n)s, 0))
            on conflict (order_id, part_id)
            do update set {column} = fsm.order_part.{column} + %(n)s""",
        {"order": order_id, "part": part_id, "n": quantity},
    )


def parts_of(conn: Conn, order_id: int) -> list[int]:
    """The parts an order expects, holds or has used."""
    return [
        row[0] for row in conn.execute("select part_id from fsm.order_part where order_id = %s", (order_id,))
    ]


def expected(conn: Conn, order_id: int) -> dict[int, Decimal]:
    """What the order still needs and has not reserved: part → quantity."""
    found = conn.execute(
        """select part_id, expected - consumed - reserved from fsm.order_part
           where order_id = %s and expected > consumed + reserved order by part_id""",
        (order_id,),
    )
    return dict(found.fetchall())


def warehouses_near(conn: Conn, order_id: int) -> list[int]:
    """Warehouses by distance from the order's site, the nearest first; those without a position last."""
    found = conn.execute(
        """select l.id from fsm.location l, fsm.work_order o join fsm.site s on s.id = o.site_id
           where o.id = %s and l.kind = 'warehouse'
           order by power(l.latitude - s.latitude, 2)
                    + power((l.longitude - s.longitude) * cos(radians(s.latitude)), 2) nulls last, l.id""",
        (order_id,),
    )
    return [row[0] for row in found]


def issued_from(conn: Conn, order_id: int, part_id: int, van_id: int) -> list[tuple[int, Decimal]]:
    """Where the order's parts in a van came from, and how many were not brought back; the latest first."""
    return conn.execute(
        """select place, sum(n) from (
               select from_location as place, quantity as n, id from fsm.stock_move
               where order_id = %(order)s and part_id = %(part)s and to_location = %(van)s and verb = 'issue'
               union all
               select to_location, -quantity, id from fsm.stock_move
               where order_id = %(order)s and part_id = %(part)s and from_location = %(van)s
                 and verb = 'return_unused') m
           group by place having sum(n) > 0 order by max(id) desc""",
        {"order": order_id, "part": part_id, "van": van_id},
    ).fetchall()
