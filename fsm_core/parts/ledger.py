"""Writing the stock ledger: balances, moves, serial numbers, shipments. Used by the verbs only."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from psycopg.rows import class_row

from fsm_core.parts.rules import Balance, Place
from fsm_core.parts.store import Move
from kit.database import Conn, columns, one, scalar
from kit.errors import Conflict, NotFound


def take_turns(conn: Conn, part_ids: Iterable[int]) -> None:
    """Whoever moves or reserves a part holds its row first, so that nobody waits in a circle. A verb of several
    parts takes them all at its start."""
    conn.execute(
        "select from fsm.part where id = any(%s) order by id for no key update", (sorted(set(part_ids)),)
    )


def lock(conn: Conn, part_ids: Iterable[int], location_ids: Iterable[int]) -> dict[tuple[int, int], Balance]:
    """Lock the balances of all (location, part) pairs; missing ones are made."""
    take_turns(conn, part_ids)
    keys = {"parts": sorted(set(part_ids)), "places": sorted(set(location_ids))}
    conn.execute(
        """insert into fsm.stock_balance (location_id, part_id, physical)
           select l.id, p, l.physical from fsm.location l cross join unnest(%(parts)s::int[]) p
           where l.id = any(%(places)s) order by p, l.id on conflict do nothing""",
        keys,
    )
    found = conn.execute(
        """select location_id, part_id, on_hand, reserved, value from fsm.stock_balance
           where part_id = any(%(parts)s) and location_id = any(%(places)s)
           order by part_id, location_id for update""",
        keys,
    )
    return {(row[0], row[1]): Balance(*row[2:]) for row in found}


def shift(
    conn: Conn, location_id: int, part_id: int, on_hand: Decimal, reserved: Decimal, value: Decimal
) -> None:
    """Add to a balance; the table's constraints refuse what must not be."""
    conn.execute(
        """update fsm.stock_balance set on_hand = on_hand + %s, reserved = reserved + %s, value = value + %s
           where location_id = %s and part_id = %s""",
        (on_hand, reserved, value, location_id, part_id),
    )


def hold(conn: Conn, location_id: int, part_id: int, quantity: Decimal) -> bool:
    """Reserve at a place if so much is free there: one guarded update, whoever else tries."""
    take_turns(conn, [part_id])
    return (
        conn.execute(
            """update fsm.stock_balance set reserved = reserved + %(n)s
               where location_id = %(place)s and part_id = %(part)s and physical
                 and on_hand - reserved >= %(n)s""",
            {"n": quantity, "place": location_id, "part": part_id},
        ).rowcount
        == 1
    )


def insert_move(conn: Conn, values: dict[str, Any]) -> Move:
    """Append a move to the ledger; it is posted now."""
    moved = (
        conn.cursor(row_factory=class_row(Move))
        .execute(
            f"""insert into fsm.stock_move (part_id, from_location, to_location, quantity, unit_cost, value,
                    verb, order_id, visit_id, serial, occurred_at, posted_at, actor, reverses)
                values (%(part_id)s, %(source)s, %(target)s, %(quantity)s, %(unit_cost)s, %(value)s, %(verb)s,
                    %(order_id)s, %(visit_id)s, %(serial)s, %(at)s, kit.now(), %(actor)s, %(reverses)s)
                returning {columns(Move)}""",
            values,
        )
        .fetchone()
    )
    assert moved is not None
    return moved


def place_serial(conn: Conn, part_id: int, serial: str, source: Place, target: Place) -> bool:
    """Move a serial number; False when it is not where it should be, or comes from outside and is here."""
    if not source.physical:
        known = scalar(
            conn,
            """select l.physical from fsm.serial s join fsm.location l on l.id = s.location_id
               where s.part_id = %s and s.serial = %s for update of s""",
            (part_id, serial),
        )
        if known:
            return False
        conn.execute(
            """insert into fsm.serial (part_id, serial, location_id) values (%s, %s, %s)
               on conflict (part_id, serial) do update set location_id = excluded.location_id""",
            (part_id, serial, target.id),
        )
        return True
    return (
        conn.execute(
            "update fsm.serial set location_id = %s where part_id = %s and serial = %s and location_id = %s",
            (target.id, part_id, serial, source.id),
        ).rowcount
        == 1
    )


def insert_transfer(conn: Conn, to_location: int, move_id: int) -> int:
    """Note that a shipped move is to arrive somewhere."""
    found: int = scalar(
        conn,
        "insert into fsm.transfer (to_location, shipped_move) values (%s, %s) returning id",
        (to_location, move_id),
    )
    return found


def lock_transfer(conn: Conn, transfer_id: int) -> tuple[int, int]:
    """The shipped move and the destination of a transfer that has not arrived.

    Raises:
        NotFound, Conflict: there is none; it has arrived.
    """
    found = one(conn, "select * from fsm.transfer where id = %s for update", (transfer_id,))
    if found is None:
        raise NotFound(f"there is no transfer {transfer_id}")
    if found["received_move"] is not None:
        raise Conflict(f"transfer {transfer_id} was received before")
    return found["shipped_move"], found["to_location"]


def end_transfer(conn: Conn, transfer_id: int, move_id: int) -> None:
    """Note the move by which a transfer arrived."""
    conn.execute("update fsm.transfer set received_move = %s where id = %s", (move_id, transfer_id))


def in_transfer(conn: Conn, move_id: int) -> bool:
    """Whether a move is one half of a shipment."""
    return bool(
        scalar(conn, "select 1 from fsm.transfer where %s in (shipped_move, received_move)", (move_id,))
    )
