"""Reads a moment of the database into a `Snapshot`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fsm_core.dispatch import snapshot, store
from fsm_core.technicians import store as technicians
from kit.database import Conn
from kit.settings import Dispatch

MOST = 200
"""Orders of one round; the less urgent ones wait for the next."""


def read(
    conn: Conn,
    settings: Dispatch,
    at: datetime,
    orders: Sequence[store.Waiting] | None = None,
    stock: store.Stock | None = None,
    notice: timedelta = snapshot.NOTICE,
) -> snapshot.Snapshot:
    """Orders that wait (or those given), other open visits, engineers with their shifts, free stock (or that given)."""
    horizon = at + timedelta(hours=settings.horizon_hours)
    wanted = store.waiting(conn)[:MOST] if orders is None else orders
    own = {order.id for order in wanted}  # an order's present visit does not stand in the way of a new one
    who = technicians.engineers(conn)
    facts = snapshot.Facts(
        at,
        wanted,
        [visit for visit in store.booked(conn) if visit.order_id not in own],
        who,
        technicians.shifts(conn, who, at, horizon),
        store.free_stock(conn) if stock is None else stock,
        notice,
    )
    return snapshot.build(facts, snapshot.Road(settings.detour, settings.speed_kmh))
