"""Stock verbs of an order: reserve, issue, consume, return. Those without an order are in `warehouse`.

Each moves quantity and value, and posts the journal entry of the value in the same transaction. All take the
caller's connection inside the caller's transaction and never commit; a refused verb has changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from fsm_core.actors import Actor
from fsm_core.parts import ledger, reservations, rules, store
from fsm_core.parts.moving import Draft, may, pieces, post
from fsm_core.parts.reservations import Held
from fsm_core.parts.rules import ZERO, Place
from fsm_core.parts.store import Move, Part
from fsm_core.parts.warehouse import adjust, receive, reverse, ship, take_in, transfer, write_off
from kit.database import Conn, scalar
from kit.errors import Conflict, Forbidden, NotFound, NotReady

__all__ = [
    "adjust", "consume", "issue", "receive", "release", "reserve", "reserve_for", "return_old",
    "return_unused", "reverse", "ship", "take_in", "transfer", "write_off",
]  # fmt: skip
ENDED = frozenset({"settled", "closed", "cancelled"})
WORKING = frozenset({"on_site", "working", "paused", "done", "incomplete"})


def reserve(
    conn: Conn, order_id: int, part_id: int, quantity: Decimal, location_id: int, actor: Actor, at: datetime
) -> None:
    """Promise stock of one place to an order. Of many who try at once, as many succeed as there is stock for.

    Raises:
        NotReady: so much is not free there.
        Conflict: the order has ended.
    """
    may(actor, "reserve")
    _open_order(conn, order_id)
    part, place, n = store.part(conn, part_id), store.place(conn, location_id), rules.amount(quantity)
    _hold(conn, order_id, part, place, n, at)


def reserve_for(conn: Conn, order_id: int, technician_id: int, actor: Actor, at: datetime) -> None:
    """Reserve all the parts the order still expects, or none: from the technician's van first, then from the
    warehouses nearest to the site. What another technician's van held for the order is given up.

    Raises:
        NotReady: naming each part that is short (`details["short"]`).
    """
    may(actor, "reserve")
    _open_order(conn, order_id)
    ledger.take_turns(conn, reservations.parts_of(conn, order_id))
    _release(
        conn,
        [
            h
            for h in reservations.held(conn, order_id)
            if h.kind == "van" and h.technician_id != technician_id
        ],
        at,
    )
    wanted = reservations.expected(conn, order_id)
    if not wanted:
        return
    van = store.van(conn, technician_id)
    places = ([van.id] if van else []) + reservations.warehouses_near(conn, order_id)
    balances = ledger.lock(conn, wanted, places)
    takes, short = rules.pick(wanted, places, {key: balance.free for key, balance in balances.items()})
    if short:
        raise _not_ready(conn, order_id, short)
    for take in takes:
        part, place = store.part(conn, take.part_id), store.place(conn, take.location_id)
        _hold(conn, order_id, part, place, take.quantity, at)


def release(conn: Conn, order_id: int, actor: Actor, at: datetime) -> None:
    """Give up the order's open reservations; what was issued stays in the van as its own stock."""
    may(actor, "release")
    ledger.take_turns(conn, reservations.parts_of(conn, order_id))
    _release(conn, reservations.held(conn, order_id), at)


def issue(conn: Conn, order_id: int, technician_id: int, actor: Actor, at: datetime) -> list[Move]:
    """Hand the order's reserved warehouse stock to the technician's van, where it stays reserved.

    Raises:
        NotReady: the technician has no van.
    """
    may(actor, "issue")
    _open_order(conn, order_id)
    ledger.take_turns(conn, reservations.parts_of(conn, order_id))
    waiting = [held for held in reservations.held(conn, order_id) if held.kind != "van"]
    if not waiting:
        return []
    van = _van(conn, technician_id)
    moved: list[Move] = []
    for held in waiting:
        part, source = store.part(conn, held.part_id), store.place(conn, held.location_id)
        serials = store.serials_at(conn, part.id, source.id, int(held.remaining)) if part.serialised else ()
        for n, serial in pieces(part, held.remaining, serials):
            draft = Draft(
                part, source, van, n, "issue", order_id, serial=serial, from_reserved=n, to_reserved=n
            )
            moved.append(post(conn, draft, actor, at))
        reservations.use(conn, held.id, held.remaining, at)
        reservations.add(conn, order_id, part.id, van.id, held.remaining, at)
    return moved


def consume(
    conn: Conn,
    visit_id: int,
    part_id: int,
    quantity: Decimal,
    actor: Actor,
    at: datetime,
    serial: str | None = None,
) -> Move:
    """Use a part on the device. It must have been issued to, or reserved in, the van of the visit's engineer.

    Raises:
        Conflict: it was not; or the engineer is not on site; or the order has ended.
        Forbidden: another engineer's visit.
    """
    may(actor, "consume")
    visit = store.visit_for_stock(conn, visit_id)
    if actor.role == "engineer" and actor.technician_id != visit["technician_id"]:
        raise Forbidden("only the engineer of the visit uses parts on it")
    if visit["state"] not in WORKING or visit["order_state"] in ENDED | {"reviewed"}:
        raise Conflict(
            f"parts are used on site and until the order is reviewed; the visit is {visit['state']}, "
            f"{visit['number']} is {visit['order_state']}"
        )
    part, n = store.part(conn, part_id), rules.amount(quantity)
    van = store.van(conn, visit["technician_id"])
    held = [
        h
        for h in reservations.held(conn, visit["order_id"], part_id=part_id)
        if van and h.location_id == van.id
    ]
    if van is None or not held or held[0].remaining < n:
        have = held[0].remaining if held else ZERO
        raise Conflict(
            f"{visit['number']} has {have} of {part.sku} in this engineer's van, not {n}: "
            "issue or reserve it first",
            part=part.sku, issued=str(have),
        )  # fmt: skip
    (piece,) = pieces(part, n, (serial,) if serial else ())
    draft = Draft(
        part,
        van,
        store.place(conn, "INSTALLED"),
        n,
        "consume",
        visit["order_id"],
        visit_id,
        piece[1],
        from_reserved=n,
    )
    moved = post(conn, draft, actor, at)
    reservations.use(conn, held[0].id, n, at)
    reservations.count(conn, visit["order_id"], part_id, "reserved", -n)
    reservations.count(conn, visit["order_id"], part_id, "consumed", n)
    return moved


def return_unused(conn: Conn, order_id: int, actor: Actor, at: datetime) -> list[Move]:
    """Bring back what was issued for the order and not used to where it came from; end its reservations."""
    may(actor, "return_unused")
    ledger.take_turns(conn, reservations.parts_of(conn, order_id))
    moved: list[Move] = []
    for held in reservations.held(conn, order_id):
        _release(conn, [held], at)
        if held.kind == "van":
            moved += _bring_back(conn, held, actor, at)
    return moved


def return_old(
    conn: Conn, order_id: int, part_id: int, quantity: Decimal, actor: Actor, at: datetime
) -> Move:
    """Declare a replaced part as handed back; it lies in the defective store without value.

    Raises:
        Conflict: more than were used, or a part whose old one stays.
    """
    may(actor, "return_old")
    order, part, n = store.order_for_stock(conn, order_id), store.part(conn, part_id), rules.amount(quantity)
    if order["state"] in ENDED:
        raise Conflict(f"{order['number']} is {order['state']}")
    row = conn.execute(
        "select consumed - old_returned from fsm.order_part where order_id = %s and part_id = %s for update",
        (order_id, part_id),
    ).fetchone()
    if row is None or row[0] < n:
        raise Conflict(
            f"{order['number']} used {part.sku}, with {row[0] if row else 0} old ones left to return, not {n}"
        )
    draft = Draft(
        part,
        store.place(conn, "INSTALLED"),
        store.place(conn, "DEFECTIVE"),
        n,
        "return_old",
        order_id,
        value=ZERO,
    )
    moved = post(conn, draft, actor, at, old=True)
    reservations.count(conn, order_id, part_id, "old_returned", n)
    return moved


def _hold(conn: Conn, order_id: int, part: Part, place: Place, n: Decimal, at: datetime) -> None:
    if not ledger.hold(conn, place.id, part.id, n):
        have = store.available(conn, part.id, place.id)
        raise NotReady(
            f"{place.code} has {have} of {part.sku} free, not {n}", part=part.sku, available=str(have)
        )
    reservations.add(conn, order_id, part.id, place.id, n, at)
    reservations.count(conn, order_id, part.id, "reserved", n)


def _release(conn: Conn, held: Iterable[Held], at: datetime) -> None:
    for one in held:
        ledger.shift(conn, one.location_id, one.part_id, ZERO, -one.remaining, ZERO)
        reservations.end(conn, one.id, at)
        reservations.count(conn, one.order_id, one.part_id, "reserved", -one.remaining)


def _bring_back(conn: Conn, held: Held, actor: Actor, at: datetime) -> list[Move]:
    part, van, left = store.part(conn, held.part_id), store.place(conn, held.location_id), held.remaining
    moved: list[Move] = []
    for place_id, issued in reservations.issued_from(conn, held.order_id, part.id, van.id):
        back = min(left, issued)
        serials = store.serials_at(conn, part.id, van.id, int(back)) if part.serialised else ()
        for n, serial in pieces(part, back, serials) if back > 0 else []:
            draft = Draft(
                part, van, store.place(conn, place_id), n, "return_unused", held.order_id, serial=serial
            )
            moved.append(post(conn, draft, actor, at))
        left -= back
    return moved


def _not_ready(conn: Conn, order_id: int, short: dict[int, Decimal]) -> NotReady:
    parts = {part_id: store.part(conn, part_id) for part_id in short}
    number = scalar(conn, "select number from fsm.work_order where id = %s", (order_id,))
    text = ", ".join(f"{quantity} × {parts[part_id].sku}" for part_id, quantity in short.items())
    return NotReady(
        f"{number} is short of {text}: neither the van nor a warehouse has it free",
        short=[
            {"part_id": p, "sku": parts[p].sku, "name_en": parts[p].name_en, "name_zh": parts[p].name_zh,
             "short": str(quantity)}
            for p, quantity in short.items()
        ],
    )  # fmt: skip


def _open_order(conn: Conn, order_id: int) -> None:
    order = store.order_for_stock(conn, order_id)
    if order["state"] in ENDED:
        raise Conflict(f"{order['number']} is {order['state']}: no parts are held for it any more")


def _van(conn: Conn, technician_id: int) -> Place:
    van = store.van(conn, technician_id)
    if van is None:
        name = scalar(conn, "select name from fsm.technician where id = %s", (technician_id,))
        if name is None:
            raise NotFound(f"there is no technician {technician_id}")
        raise NotReady(f"{name} has no van to issue parts to")
    return van
