"""Stock verbs without an order: receive, transfer, count, scrap, correct."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import psycopg

from fsm_core.actors import Actor
from fsm_core.parts import ledger, reservations, rules, store
from fsm_core.parts.moving import Draft, may, pieces, post, storage
from fsm_core.parts.rules import ZERO, Place
from fsm_core.parts.store import Move
from fsm_core.settlement.money import LEDGER
from kit.database import Conn, scalar
from kit.errors import Conflict, Invalid

_ENDED = frozenset({"settled", "closed", "cancelled"})


def receive(
    conn: Conn,
    part_id: int,
    location_id: int,
    quantity: Decimal,
    unit_cost: Decimal,
    actor: Actor,
    at: datetime,
    *,
    serials: Sequence[str] = (),
) -> list[Move]:
    """Goods from a supplier into a warehouse, van or provider's store. Serialised parts need their serials.

    Raises:
        Invalid: a wrong quantity, cost, place, or number of serials.
        Conflict: a serial number is here already.
    """
    may(actor, "receive")
    part, target = store.part(conn, part_id), storage(conn, location_id)
    if not (isinstance(unit_cost, Decimal) and unit_cost.is_finite() and unit_cost >= 0):
        raise Invalid(f"{unit_cost!r} is not a unit cost; use a Decimal of at least 0")
    source = store.place(conn, "SUPPLIER")
    return [
        post(
            conn,
            Draft(
                part, source, target, n, "receive", serial=serial, value=(n * unit_cost).quantize(LEDGER)
            ),
            actor,
            at,
        )
        for n, serial in pieces(part, rules.amount(quantity), serials)
    ]  # fmt: skip


def transfer(
    conn: Conn,
    part_id: int,
    from_location: int,
    to_location: int,
    quantity: Decimal,
    actor: Actor,
    at: datetime,
    *,
    serials: Sequence[str] = (),
) -> list[Move]:
    """From place to place at once, for people who hand it over; `ship` and `take_in` when it travels."""
    may(actor, "transfer")
    part, source, target = store.part(conn, part_id), storage(conn, from_location), storage(conn, to_location)
    _different(source, target)
    return [
        post(conn, Draft(part, source, target, n, "transfer", serial=serial), actor, at)
        for n, serial in pieces(part, rules.amount(quantity), serials)
    ]


def ship(
    conn: Conn,
    part_id: int,
    from_location: int,
    to_location: int,
    quantity: Decimal,
    actor: Actor,
    at: datetime,
    *,
    serials: Sequence[str] = (),
) -> list[int]:
    """Send stock on its way. Returns the transfers (one; one a piece for serialised parts) to be taken in."""
    may(actor, "transfer")
    part, source, target = store.part(conn, part_id), storage(conn, from_location), storage(conn, to_location)
    _different(source, target)
    transit = store.place(conn, "TRANSIT")
    shipped = [
        post(conn, Draft(part, source, transit, n, "transfer", serial=serial), actor, at)
        for n, serial in pieces(part, rules.amount(quantity), serials)
    ]
    return [ledger.insert_transfer(conn, target.id, move.id) for move in shipped]


def take_in(conn: Conn, transfer_id: int, actor: Actor, at: datetime) -> Move:
    """Receive a shipment, at the value it was sent with.

    Raises:
        Conflict: it was received before.
    """
    may(actor, "transfer")
    shipped_id, to_location = ledger.lock_transfer(conn, transfer_id)
    shipped = store.move(conn, shipped_id)
    draft = Draft(
        store.part(conn, shipped.part_id), store.place(conn, "TRANSIT"), store.place(conn, to_location),
        shipped.quantity, "transfer", serial=shipped.serial, value=shipped.value,
    )  # fmt: skip
    moved = post(conn, draft, actor, at)
    ledger.end_transfer(conn, transfer_id, moved.id)
    return moved


def adjust(
    conn: Conn,
    part_id: int,
    location_id: int,
    counted: Decimal,
    actor: Actor,
    at: datetime,
    *,
    unit_cost: Decimal | None = None,
    serial: str | None = None,
) -> Move | None:
    """Set a place to what was counted; the difference goes to stock differences. None when there is none.

    Args:
        unit_cost: of what was found where nothing lay; else found stock gets the place's average.

    Raises:
        Conflict: fewer than are reserved there.
    """
    may(actor, "adjust")
    part, here, edge = store.part(conn, part_id), storage(conn, location_id), store.place(conn, "ADJUSTMENT")
    target = ZERO if counted == 0 else rules.amount(counted)
    balance = ledger.lock(conn, [part_id], [location_id, edge.id])[location_id, part_id]
    found = target - balance.on_hand
    if found == 0:
        return None
    if found < 0:
        return post(conn, Draft(part, here, edge, -found, "adjust", serial=serial), actor, at)
    cost = unit_cost if unit_cost is not None else _average(conn, part_id, balance)
    value = (cost * found).quantize(LEDGER)
    return post(conn, Draft(part, edge, here, found, "adjust", serial=serial, value=value), actor, at)


def write_off(
    conn: Conn,
    part_id: int,
    location_id: int,
    quantity: Decimal,
    actor: Actor,
    at: datetime,
    *,
    serial: str | None = None,
) -> Move:
    """Scrap stock (核销): its value becomes a stock difference; old parts in DEFECTIVE have none."""
    may(actor, "write_off")
    part, source = store.part(conn, part_id), store.place(conn, location_id)
    if not source.physical or source.kind == "in_transit":
        raise Invalid(f"{source.code} holds nothing that can be scrapped; name a warehouse, van or DEFECTIVE")
    draft = Draft(
        part, source, store.place(conn, "SCRAP"), rules.amount(quantity), "write_off", serial=serial
    )
    return post(conn, draft, actor, at)


def reverse(conn: Conn, move_id: int, actor: Actor, at: datetime) -> Move:
    """Undo a move by its opposite. Leaving the inventory again it is worth the place's average now, and the
    difference to what was booked is a stock difference; coming back it has the value it left with.

    Raises:
        Conflict: reversed before, itself a reversal, of an ended order, or no longer there.
    """
    may(actor, "reverse")
    done = store.move(conn, move_id)
    if done.verb in ("reverse", "issue", "return_unused") or ledger.in_transfer(conn, move_id):
        raise Conflict(f"a move of the kind {done.verb} is not reversed; move the goods back instead")
    if done.order_id is not None and store.order_for_stock(conn, done.order_id)["state"] in _ENDED:
        raise Conflict("the order of this move has ended; correct its settlement instead")
    source, target = store.place(conn, done.to_location), store.place(conn, done.from_location)
    if scalar(conn, "select 1 from fsm.stock_move where reverses = %s", (move_id,)):
        raise Conflict(f"move {move_id} was reversed before")
    if done.verb == "consume":
        _old_stays_matched(conn, done)
    draft = Draft(
        store.part(conn, done.part_id), source, target, done.quantity, "reverse", done.order_id,
        done.visit_id, done.serial, None if source.physical else done.value, done.value, reverses=done.id,
    )  # fmt: skip
    try:
        with conn.transaction():
            moved = post(conn, draft, actor, at, old=done.verb == "return_old")
    except psycopg.errors.UniqueViolation as error:  # somebody else was quicker
        raise Conflict(f"move {move_id} was reversed before") from error
    if done.order_id is not None and done.verb in ("consume", "return_old"):
        column = "consumed" if done.verb == "consume" else "old_returned"
        reservations.count(conn, done.order_id, done.part_id, column, -done.quantity)
    return moved


def _old_stays_matched(conn: Conn, done: Move) -> None:
    spare = scalar(
        conn,
        "select consumed - old_returned from fsm.order_part where order_id = %s and part_id = %s for update",
        (done.order_id, done.part_id),
    )
    if spare < done.quantity:
        raise Conflict("the old part was handed back for this one; reverse that move first")


def _average(conn: Conn, part_id: int, balance: rules.Balance) -> Decimal:
    if balance.on_hand > 0:
        return balance.value / balance.on_hand
    last = scalar(
        conn,
        """select unit_cost from fsm.stock_move where part_id = %s and verb = 'receive'
           order by id desc limit 1""",
        (part_id,),
    )
    if last is None:
        raise Invalid("the part was never bought, so its cost is unknown; give a unit cost")
    return Decimal(last)


def _different(source: Place, target: Place) -> None:
    if source.id == target.id:
        raise Invalid(f"{source.code} is both where it is taken from and where it goes")
