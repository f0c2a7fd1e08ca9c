"""The verbs of dispatch: whom one could send, sending somebody, and a round that plans all that waits.

Person and parts are taken together or not at all: `plan_visit` and `reserve_for` share a transaction. Under
concurrency the exclusion constraint on visits, the guarded update of the order and the locked stock balances decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic

import psycopg

from fsm_core.actors import Actor
from fsm_core.dispatch import explain, greedy, reading, solve, store
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.limit import Stop as Limit
from fsm_core.dispatch.model import Job, Reason, Stop
from fsm_core.dispatch.snapshot import Snapshot
from fsm_core.parts import actions as parts
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders import store as order_store
from fsm_core.work_orders.store import Visit
from kit import logs
from kit.database import Conn
from kit.errors import Conflict, NotFound, NotReady
from kit.settings import Dispatch, Settings, load

log = logs.get(__name__)
ACTOR = Actor.rule("dispatch")
_SECONDS_PER_ORDER = 0.007
"""Search time grows with the orders that wait, up to the setting."""


@dataclass(frozen=True)
class Candidate:
    """One engineer for one order: the visit that costs least, or the reasons against."""

    technician_id: int
    name: str
    feasible: bool
    start: datetime | None
    end: datetime | None
    travel_minutes: int | None
    distance_km: float | None
    reasons: list[Reason]


@dataclass(frozen=True)
class Round:
    """What a round has done.

    Attributes:
        planned: the visits made.
        refused: orders whose commit found something changed; they wait for the next round.
        unassigned: orders nobody can take now, with the rule that binds.
        seconds: wall time of the search.
    """

    planned: list[Visit] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    unassigned: dict[int, Reason] = field(default_factory=dict)
    seconds: float = 0.0


def candidates(
    conn: Conn, order_id: int, at: datetime, *, settings: Dispatch | None = None
) -> list[Candidate]:
    """Every active engineer for an order, the best first.

    Raises:
        NotFound: there is no such order.
    """
    snapshot, job = _single(conn, order_id, at, settings)
    return [_candidate(snapshot, job, option) for option in explain.options(Draft(snapshot.problem), job)]


def assign(
    conn: Conn,
    order_id: int,
    technician_id: int,
    actor: Actor,
    at: datetime,
    *,
    start: datetime | None = None,
    settings: Dispatch | None = None,
) -> Visit:
    """Send an engineer by hand, at `start` or as soon as it fits, with the parts; in the caller's transaction.

    Raises:
        NotReady: the constraint that binds is `details["constraint"]`: skill, parts, calendar, overlap, provider.
        NotFound: no such order or active engineer.
        Conflict, Forbidden: as `work_orders.actions.plan_visit`.
    """
    snapshot, job = _single(conn, order_id, at, settings)
    who = snapshot.engineers.get(technician_id)
    if who is None:
        raise NotFound(f"There is no active engineer {technician_id}.")
    if start is not None:
        minute = (start - snapshot.epoch) // timedelta(minutes=1)
        job = replace(job, window=(minute, minute))
        snapshot = _with(snapshot, job)
    draft = Draft(snapshot.problem)
    mine = explain.options(draft, job, [snapshot.problem.technician(technician_id)])[0]
    if mine.stop is None:
        assert mine.reason is not None
        raise _refusal(mine.reason, who.name, exact=start is not None)
    return commit(conn, snapshot, draft, mine.stop, actor, at, by="manual")


def round(conn: Conn, settings: Settings, at: datetime, *, urgent_only: bool = False) -> Round:
    """Plan all that waits: read, search with no transaction open, then one transaction per visit.

    `conn` is an autocommit connection outside a transaction. `urgent_only`: priority 1 by cheapest insertion alone.
    """
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        waiting = store.waiting(conn)[: reading.MOST]
        wanted = [order for order in waiting if order.priority == 1] if urgent_only else waiting
        if not wanted:
            return Round()
        snapshot = reading.read(conn, settings.dispatch, at, wanted)
    began = monotonic()
    draft = greedy.build(snapshot.problem) if urgent_only else _search(snapshot, settings.dispatch)
    plan = solve.finish(draft)
    done = Round(unassigned=dict(plan.unassigned), seconds=monotonic() - began)
    by = "urgent" if urgent_only else "automatic"
    for stop in sorted((stop for stop in plan.stops if stop.job in snapshot.orders), key=_urgency(snapshot)):
        _try(conn, snapshot, draft, stop, at, by, done)
    return done


def _search(snapshot: Snapshot, settings: Dispatch) -> Draft:
    """Search as long as the number of orders is worth; one order alone is inserted where it costs least."""
    count = len(snapshot.orders)
    if count == 1:
        return greedy.build(snapshot.problem)
    return solve.search(snapshot.problem, Limit(seconds=min(settings.seconds, _SECONDS_PER_ORDER * count)))


def _urgency(snapshot: Snapshot) -> Callable[[Stop], tuple[float, ...]]:
    return lambda stop: greedy.urgency(snapshot.problem.job(stop.job))


def _try(
    conn: Conn, snapshot: Snapshot, draft: Draft, stop: Stop, at: datetime, by: str, done: Round
) -> None:
    """Commit one visit, or leave the order to the next round because something moved meanwhile."""
    try:
        with conn.transaction():
            version = snapshot.orders[stop.job].version
            done.planned.append(commit(conn, snapshot, draft, stop, ACTOR, at, by=by, version=version))
    except (Conflict, NotFound, psycopg.errors.DeadlockDetected) as error:
        done.refused[stop.job] = str(error)
        log.info("left to the next round", order=snapshot.orders[stop.job].number, why=str(error))


def commit(
    conn: Conn,
    snapshot: Snapshot,
    draft: Draft,
    stop: Stop,
    actor: Actor,
    at: datetime,
    *,
    by: str,
    version: int | None = None,
) -> Visit:
    """The visit and its parts, in the caller's transaction.

    Raises:
        StaleVersion, Conflict, NotReady: something moved since the snapshot.
    """
    place = snapshot.problem.job(stop.job).place
    plan = orders.VisitPlan(
        stop.technician,
        snapshot.time(stop.departure),
        snapshot.time(stop.start),
        snapshot.time(stop.end),
        float(stop.travel),
        _km(snapshot, draft, stop, place),
        "manual" if by == "manual" else "automatic",
        _explain(snapshot, draft, stop, by),
    )
    visit = orders.plan_visit(conn, stop.job, plan, actor, at, version=version)
    # Whoever may send somebody may have the parts reserved for it: the rule reserves, not the person.
    parts.reserve_for(conn, stop.job, stop.technician, replace(actor, role="system"), at)
    return visit


def _explain(snapshot: Snapshot, draft: Draft, stop: Stop, by: str) -> dict[str, object]:
    """Compared with what else could be done when all other visits stay as they are planned."""
    job, without = snapshot.problem.job(stop.job), draft
    if stop.job in draft.where:
        without = draft.copy()
        without.remove(stop.job)
    return explain.explanation(snapshot, explain.options(without, job), stop, by=by)


def _km(snapshot: Snapshot, draft: Draft, stop: Stop, place: int) -> float:
    """Road distance from where he comes from."""
    key = (stop.technician, stop.shift)
    before = [other for other in draft.timed[key].stops if other.start < stop.start and other.job != stop.job]
    shift = snapshot.problem.technician(stop.technician).shifts[stop.shift]
    origin = snapshot.problem.job(before[-1].job).place if before else shift.origin
    return _rounded(snapshot.km(origin, place))


def _rounded(km: float) -> float:
    return float(f"{km:.1f}")


def _single(conn: Conn, order_id: int, at: datetime, settings: Dispatch | None) -> tuple[Snapshot, Job]:
    """The moment with this one order, which may have an open visit of its own that does not stand in its way."""
    found: Sequence[store.Waiting] = store.waiting(conn, order_id)
    if not found:
        order_store.get(conn, order_id)  # raises NotFound with the usual message
    snapshot = reading.read(conn, settings or load().dispatch, at, found, notice=timedelta(0))
    return snapshot, snapshot.problem.job(order_id)


def _with(snapshot: Snapshot, job: Job) -> Snapshot:
    others = [other for other in snapshot.problem.jobs if other.id != job.id]
    return replace(snapshot, problem=replace(snapshot.problem, jobs=[*others, job]))


def _candidate(snapshot: Snapshot, job: Job, option: explain.Option) -> Candidate:
    who, stop, insertion = snapshot.engineers[option.technician.id], option.stop, option.insertion
    if stop is None or insertion is None:
        assert option.reason is not None
        return Candidate(who.id, who.name, False, None, None, None, None, [option.reason])
    position = insertion.route.index(job.id)
    shift = option.technician.shifts[stop.shift]
    origin = snapshot.problem.job(insertion.route[position - 1]).place if position else shift.origin
    km = _rounded(snapshot.km(origin, job.place))
    return Candidate(
        who.id, who.name, True, snapshot.time(stop.start), snapshot.time(stop.end), stop.travel, km, []
    )


def _refusal(reason: Reason, name: str, *, exact: bool) -> NotReady:
    """At an exact time "not within the window" means that no shift covers it."""
    if exact and reason.code == "window":
        text = "No shift covers that time, with the way to the site and the work"
        reason = Reason("calendar", text, "该时间（含路程和工作）不在任何班次内")
    return NotReady(
        f"{name}: {reason.text_en}.", constraint=reason.code, text_en=reason.text_en, text_zh=reason.text_zh
    )
