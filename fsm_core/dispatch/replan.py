"""Moving visits that nobody has confirmed yet, when it pays: an urgent order may take the place of one that can wait.

Confirmed visits never move, nor those that begin soon. All moves of a replanning are one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import psycopg

from fsm_core.dispatch import actions, greedy, reading, solve, store
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.limit import Stop as Limit
from fsm_core.dispatch.model import Job, Pin, Stop
from fsm_core.dispatch.snapshot import Snapshot
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders.store import Visit
from kit import logs
from kit.database import Conn
from kit.errors import Conflict, NotFound
from kit.settings import Dispatch, Settings

log = logs.get(__name__)
SOON = timedelta(hours=1)
"""A visit whose engineer leaves within this stays as it is."""
WORTH = 120.0
"""What moving one visit must save, in cost units (minutes on the road)."""


def improve(conn: Conn, settings: Settings, at: datetime) -> list[Visit]:
    """The visits planned anew, or none when staying is as good; `conn` as for `actions.round`."""
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        movable = {visit.order_id: visit for visit in store.booked(conn) if _may_move(visit, at)}
        if not movable:
            return []
        snapshot = _snapshot(conn, settings.dispatch, at, list(movable))
    stays = greedy.build(
        replace(snapshot.problem, jobs=[_kept(snapshot, movable, job) for job in snapshot.problem.jobs])
    )
    draft = solve.search(snapshot.problem, Limit(seconds=settings.dispatch.seconds))
    solve.finish(draft)
    stops = [stop for stop in draft.stops() if stop.job in snapshot.orders]
    moved = [stop for stop in stops if stop.job in movable and not _same(snapshot, movable[stop.job], stop)]
    new = [stop for stop in stops if stop.job not in movable]
    saved = stays.cost() - draft.cost()
    if not moved or saved < WORTH * len(moved) or not movable.keys() <= draft.where.keys():
        return []
    return _commit(conn, snapshot, draft, [movable[stop.job] for stop in moved], moved + new, at)


def _may_move(visit: store.Booked, at: datetime) -> bool:
    return visit.state == "planned" and visit.planned_by == "automatic" and visit.travel_start > at + SOON


def _snapshot(conn: Conn, settings: Dispatch, at: datetime, movable: list[int]) -> Snapshot:
    """The moment as if the movable visits had not been planned: their parts are free again."""
    stock, wants = store.free_stock(conn), {order.id: order for order in store.waiting(conn, *movable)}
    for row in store.held(conn, movable):
        shelf = (
            stock.warehouse if row["kind"] == "warehouse" else stock.vans.setdefault(row["technician_id"], {})
        )
        shelf[row["sku"]] = shelf.get(row["sku"], 0) + row["quantity"]
        parts = wants[row["order_id"]].parts
        parts[row["sku"]] = parts.get(row["sku"], 0) + row["quantity"]
    waiting = store.waiting(conn)[: reading.MOST]
    return reading.read(conn, settings, at, [*wants.values(), *waiting], stock)


def _kept(snapshot: Snapshot, movable: dict[int, store.Booked], job: Job) -> Job:
    visit = movable.get(job.id)
    if visit is None:
        return job
    start, leave = (
        (instant - snapshot.epoch) // timedelta(minutes=1)
        for instant in (visit.planned_start, visit.travel_start)
    )
    # Its parts are reserved: here they stay in the stock that is given back, which only flatters staying.
    return replace(job, pin=Pin(visit.technician_id, start, leave))


def _same(snapshot: Snapshot, visit: store.Booked, stop: Stop) -> bool:
    return stop.technician == visit.technician_id and snapshot.time(stop.start) == visit.planned_start


def _commit(
    conn: Conn, snapshot: Snapshot, draft: Draft, old: list[store.Booked], stops: list[Stop], at: datetime
) -> list[Visit]:
    """Withdraw the old visits and plan the new ones, all or nothing."""
    try:
        with conn.transaction():
            for visit in old:
                orders.move_visit(conn, visit.id, "withdraw", actions.ACTOR, at, reason="replanned")
            made = [
                actions.commit(conn, snapshot, draft, stop, actions.ACTOR, at, by="replanned")
                for stop in stops
            ]
    except (Conflict, NotFound, psycopg.errors.DeadlockDetected) as error:
        log.info("replanning given up", why=str(error))
        return []
    log.info("replanned", moved=len(old), planned=len(made))
    return made
