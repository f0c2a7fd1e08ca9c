"""From rows to a `Problem` and back: minutes after an epoch for times, indices for places, skus for parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, floor

from fsm_core.dispatch import travel
from fsm_core.dispatch.model import Job, Pin, Problem, Shift, Technician, Weights
from fsm_core.dispatch.reasons import PROVIDER
from fsm_core.dispatch.store import Booked, Stock, Waiting
from fsm_core.sla.rules import Span
from fsm_core.technicians.store import Engineer

NOTICE = timedelta(minutes=10)
"""Rounds send nobody off sooner than this; by hand one may."""
_MORE = timedelta(minutes=15)  # a visit that has run over its time is expected to last this much longer
_FRESH = timedelta(hours=12)  # an older position says nothing
_MINUTE = timedelta(minutes=1)
_STARTED = frozenset({"traveling", "on_site", "working", "paused"})
WEIGHTS = Weights(
    unserved=(2_000_000, 1_000_000, 500_000, 250_000),  # above any lateness: a late visit is better than none
    late_per_minute=(20, 8, 3, 1),
    wait_per_minute=(2, 0.5, 0.2, 0.1),
)
"""Urgent orders soon, promises kept, short ways, in this order."""


@dataclass(frozen=True)
class Road:
    """How travel is estimated."""

    detour: float
    speed_kmh: float


@dataclass(frozen=True)
class Facts:
    """All rows of one moment."""

    at: datetime
    orders: Sequence[Waiting]
    visits: Sequence[Booked]
    engineers: Sequence[Engineer]
    shifts: Mapping[int, Sequence[Span]]
    stock: Stock
    notice: timedelta = NOTICE


@dataclass(frozen=True)
class Snapshot:
    """A problem, and what its numbers mean. Jobs of open visits have the negative id of the visit."""

    epoch: datetime
    problem: Problem
    road: Road
    orders: Mapping[int, Waiting]
    engineers: Mapping[int, Engineer]
    places: Sequence[travel.Place]

    def time(self, minute: int) -> datetime:
        """The instant of a minute of the problem."""
        return self.epoch + minute * _MINUTE

    def km(self, place: int, other: int) -> float:
        """Road distance between two places."""
        return travel.road_km(self.places[place], self.places[other], detour=self.road.detour)


@dataclass
class _Places:
    known: dict[travel.Place, int] = field(default_factory=dict)

    def index(self, latitude: float, longitude: float) -> int:
        return self.known.setdefault((latitude, longitude), len(self.known))


def build(facts: Facts, road: Road) -> Snapshot:
    """The dispatch problem of one moment."""
    epoch = _whole(facts.at)
    places = _Places()
    crew = [_technician(facts, each, epoch, places) for each in facts.engineers]
    jobs = [_job(order, epoch, places) for order in facts.orders]
    jobs += _promises(facts.visits, {each.id: each for each in crew}, epoch, places)
    matrix = travel.matrix(list(places.known), detour=road.detour, speed_kmh=road.speed_kmh)
    problem = Problem(crew, jobs, matrix, facts.stock.warehouse, WEIGHTS)
    orders = {order.id: order for order in facts.orders}
    return Snapshot(
        epoch, problem, road, orders, {each.id: each for each in facts.engineers}, list(places.known)
    )


def _whole(at: datetime) -> datetime:
    """The next whole minute, so that nothing is planned into the past."""
    floored = at.replace(second=0, microsecond=0)
    return floored if floored == at else floored + _MINUTE


def _technician(facts: Facts, who: Engineer, epoch: datetime, places: _Places) -> Technician:
    home = places.index(who.latitude, who.longitude)
    shifts = []
    for begin, end in facts.shifts[who.id]:
        start = max(ceil((begin - epoch) / _MINUTE), facts.notice // _MINUTE)
        finish = floor((end - epoch) / _MINUTE)
        if start < finish:
            shifts.append(Shift(start, finish, _origin(who, begin, epoch, home, places)))
    skills = set(who.skills) | ({f"{PROVIDER}{who.provider_id}"} if who.provider_id is not None else set())
    return Technician(who.id, tuple(shifts), frozenset(skills), facts.stock.vans.get(who.id, {}))


def _origin(who: Engineer, begin: datetime, epoch: datetime, home: int, places: _Places) -> int:
    """A shift under way leaves from where he was last seen, a coming one from his base."""
    if begin > epoch or who.seen_at is None or epoch - who.seen_at > _FRESH:
        return home
    assert who.seen_latitude is not None
    assert who.seen_longitude is not None
    return places.index(who.seen_latitude, who.seen_longitude)


def _job(order: Waiting, epoch: datetime, places: _Places) -> Job:
    skills = {order.skill} if order.skill else set()
    if order.provider_id is not None:
        skills.add(f"{PROVIDER}{order.provider_id}")
    return Job(
        order.id,
        places.index(order.latitude, order.longitude),
        max(1, order.minutes),
        order.priority,
        due=None if order.due_at is None else floor((order.due_at - epoch) / _MINUTE),
        skills=frozenset(skills),
        parts={sku: float(quantity) for sku, quantity in order.parts.items()},
    )


def _promises(
    visits: Sequence[Booked], crew: Mapping[int, Technician], epoch: datetime, places: _Places
) -> list[Job]:
    """Open visits as pinned jobs; of one technician only one counts as under way. Those outside all shifts of
    the horizon bind nobody's working time.
    """
    jobs: list[Job] = []
    away: set[int] = set()
    for visit in sorted(visits, key=lambda visit: (visit.state not in _STARTED, visit.planned_start)):
        started = visit.state in _STARTED and visit.technician_id not in away
        pin, minutes = _pin(visit, epoch, started=started)
        who = crew.get(visit.technician_id)
        if who is None or not any(
            pin.reserved_from < shift.end and pin.start + minutes > shift.start for shift in who.shifts
        ):
            continue
        away |= {visit.technician_id} if started else set()
        jobs.append(
            Job(-visit.id, places.index(visit.latitude, visit.longitude), minutes, visit.priority, pin=pin)
        )
    return jobs


def _pin(visit: Booked, epoch: datetime, *, started: bool) -> tuple[Pin, int]:
    """(promise, minutes). What should have begun and has not is expected to begin now."""
    end = visit.planned_end
    if visit.state in _STARTED:
        end = max(end, epoch + _MORE)
    leave = floor((visit.travel_start - epoch) / _MINUTE)
    start = floor((visit.planned_start - epoch) / _MINUTE)
    minutes = max(1, ceil((end - epoch) / _MINUTE) - start)
    if started:
        late = max(0, start)
        return Pin(visit.technician_id, start - late, min(leave, start - late), True), minutes + late
    late = max(0, -start)
    overrun = visit.state in _STARTED
    return Pin(visit.technician_id, start + late, leave), max(1, minutes - late if overrun else minutes)
