"""Which orders can go ahead and which cannot, and why: person, skill, working time and parts, as dispatch sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fsm_core.dispatch import explain, reading, reasons, store
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.snapshot import Snapshot
from fsm_core.readiness.rules import Readiness, decide
from fsm_core.work_orders import store as orders
from kit.database import Conn
from kit.settings import Dispatch, load


@dataclass(frozen=True)
class Line:
    """One order of the overview."""

    order_id: int
    number: str
    priority: int
    readiness: Readiness


def check(conn: Conn, order_id: int, at: datetime, *, settings: Dispatch | None = None) -> Readiness:
    """May this order be dispatched, and when could work begin at the earliest?

    Raises:
        NotFound: there is no such order.
    """
    order = orders.get(conn, order_id)
    snapshot = _read(conn, at, settings, store.waiting(conn, order_id))
    return _judge(snapshot, Draft(snapshot.problem), order_id, order.state, order.hold_reason)


def overview(conn: Conn, at: datetime, *, settings: Dispatch | None = None) -> list[Line]:
    """All accepted orders without a visit, by urgency; each as if it were the next to be dispatched."""
    snapshot = _read(conn, at, settings, store.waiting(conn)[: reading.MOST])
    draft = Draft(snapshot.problem)
    return [
        Line(order.id, order.number, order.priority, _judge(snapshot, draft, order.id, "accepted", None))
        for order in snapshot.orders.values()
    ]


def _read(conn: Conn, at: datetime, settings: Dispatch | None, wanted: Sequence[store.Waiting]) -> Snapshot:
    return reading.read(conn, settings or load().dispatch, at, wanted, notice=timedelta(0))


def _judge(snapshot: Snapshot, draft: Draft, order_id: int, state: str, held: str | None) -> Readiness:
    job = snapshot.problem.job(order_id)
    starts = [
        snapshot.time(option.stop.start) for option in explain.options(draft, job) if option.stop is not None
    ]
    return decide(starts, None if starts else reasons.of_job(draft, job), held, state)
