"""One stock move: quantity and value from place to place, and the journal entry of the value with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fsm_core.actors import Actor
from fsm_core.parts import ledger, rules, store
from fsm_core.parts.rules import ZERO, Place
from fsm_core.parts.store import Move, Part
from fsm_core.settlement import journal
from fsm_core.settlement.money import LEDGER
from kit.database import Conn
from kit.errors import Conflict, Forbidden, Invalid


@dataclass(frozen=True)
class Draft:
    """A move to be posted.

    Attributes:
        value: what it is worth; None: moving average of where it lies.
        booked: what the counter account gets when that differs (a reversal).
        from_reserved, to_reserved: how much of it was, and stays, reserved.
    """

    part: Part
    source: Place
    target: Place
    quantity: Decimal
    verb: str
    order_id: int | None = None
    visit_id: int | None = None
    serial: str | None = None
    value: Decimal | None = None
    booked: Decimal | None = None
    from_reserved: Decimal = ZERO
    to_reserved: Decimal = ZERO
    reverses: int | None = None


def post(conn: Conn, draft: Draft, actor: Actor, at: datetime, *, old: bool = False) -> Move:
    """Move quantity and value between two locked balances, append to the ledger, post the journal entry."""
    part, source, target, n = draft.part, draft.source, draft.target, draft.quantity
    if at.tzinfo is None:
        raise Invalid(f"{at} has no time zone")
    balances = ledger.lock(conn, [part.id], [source.id, target.id])
    have = balances[source.id, part.id]
    rules.check_taken(source, have, n, draft.from_reserved, part.sku)
    value = rules.taken_value(have, n) if draft.value is None else draft.value
    _place_serial(conn, draft, old)
    ledger.shift(conn, source.id, part.id, -n, -draft.from_reserved, -value)
    ledger.shift(conn, target.id, part.id, n, draft.to_reserved, value)
    moved = ledger.insert_move(
        conn,
        {
            "part_id": part.id, "source": source.id, "target": target.id, "quantity": n, "value": value,
            "unit_cost": (value / n).quantize(LEDGER), "verb": draft.verb, "order_id": draft.order_id,
            "visit_id": draft.visit_id, "serial": draft.serial, "at": at, "actor": actor.id,
            "reverses": draft.reverses,
        },
    )  # fmt: skip
    lines = rules.postings(value, source, target, journal.currency(conn), booked=draft.booked)
    if any(line.amount for line in lines):
        journal.post(conn, journal.Head(f"stock:{moved.id}", "stock", at, order_id=draft.order_id), lines)
    return moved


def _place_serial(conn: Conn, draft: Draft, old: bool) -> None:
    if not draft.part.serialised or old:  # the old part's number was never ours
        return
    if draft.serial is None or draft.quantity != 1:
        raise Invalid(f"{draft.part.sku} is moved one by one, with the serial number of each")
    if not ledger.place_serial(conn, draft.part.id, draft.serial, draft.source, draft.target):
        where = draft.source.code if draft.source.physical else "outside: it is in stock already"
        raise Conflict(f"{draft.part.sku} number {draft.serial} is not at {where}")


def pieces(part: Part, n: Decimal, serials: Iterable[str]) -> list[tuple[Decimal, str | None]]:
    """The moves a quantity takes: one, or one a piece for serialised parts."""
    numbers = list(serials)
    if not part.serialised:
        if numbers:
            raise Invalid(f"{part.sku} has no serial numbers; leave them out")
        return [(n, None)]
    if len(numbers) != n or len(set(numbers)) != n:
        raise Invalid(f"{part.sku} needs one serial number for each of {n}; got {len(set(numbers))}")
    return [(Decimal(1), number) for number in numbers]


def may(actor: Actor, verb: str) -> None:
    if actor.role not in rules.MAY[verb]:
        raise Forbidden(f"a {actor.role} may not {verb.replace('_', ' ')} stock")


def storage(conn: Conn, location_id: int) -> Place:
    place = store.place(conn, location_id)
    if not place.valued or place.kind == "in_transit":
        raise Invalid(
            f"{place.code} is not a place to keep stock; use a warehouse, van, provider or customer store"
        )
    return place
