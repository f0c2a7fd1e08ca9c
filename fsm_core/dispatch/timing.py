"""When the visits of one route take place: as early as possible, the rest where it costs least."""

from __future__ import annotations

from dataclasses import dataclass

from fsm_core.dispatch.cost import begin_cost
from fsm_core.dispatch.model import Job, Key, Problem, Rest, Route, Shift, Stop


@dataclass(frozen=True, slots=True)
class Timed:
    """A feasible timing of a route and what it costs (lateness, waiting, travel)."""

    stops: tuple[Stop, ...]
    cost: float


def best(problem: Problem, key: Key, route: Route) -> Timed | None:
    """The cheapest timing of the visits in this order, or None when none keeps all hard rules of time."""
    if not route:
        return Timed((), 0.0)
    shift = problem.technician(key[0]).shifts[key[1]]
    if shift.rest is None:
        return _walk(problem, key, shift, route, None)
    found = [timed for gap in range(len(route) + 1) if (timed := _walk(problem, key, shift, route, gap))]
    return min(found, key=lambda timed: timed.cost, default=None)


def _walk(problem: Problem, key: Key, shift: Shift, route: Route, rest_gap: int | None) -> Timed | None:
    """Visit after visit, each as early as possible, the rest before visit `rest_gap`."""
    place, free, before = shift.origin, shift.start, None
    stops: list[Stop] = []
    cost = 0.0
    for gap, id in enumerate(route):
        job = problem.job(id)
        travel = problem.travel[place][job.place]
        rest = shift.rest if gap == rest_gap else None
        start = _start(job, before, free, travel, rest, first=gap == 0)
        if start is None or (job.pin is None and start + job.minutes > shift.end):
            return None
        stops.append(
            Stop(id, *key, _departure(start, travel, free, rest, job), start, start + job.minutes, travel)
        )
        cost += begin_cost(problem.weights, job, start) + travel * problem.weights.travel_per_minute
        place, free, before = job.place, start + job.minutes, job
    back = 0 if shift.home is None else problem.travel[place][shift.home]
    rest = shift.rest if rest_gap == len(route) else None
    arrival = _arrival(free, back, rest)
    overrun = before is not None and before.pin is not None  # a fact, not a choice of this plan
    if arrival is None or (arrival > shift.end and not overrun):
        return None
    return Timed(tuple(stops), cost + back * problem.weights.travel_per_minute)


def _start(
    job: Job, before: Job | None, free: int, travel: int, rest: Rest | None, *, first: bool
) -> int | None:
    """When work on `job` begins; None when it cannot in this order."""
    if job.pin is None:
        arrival = _arrival(free, travel, rest)
        if arrival is None:
            return None
        start = max(arrival, job.earliest)
        return start if start <= job.latest else None
    if job.pin.started and not first:
        return None
    if before is None or before.pin is not None:  # given facts; this plan did not choose the leg between them
        if before is not None and before.pin is not None and before.pin.start > job.pin.start:
            return None
        arrival = _arrival(free, 0, rest)
        fits = rest is None or (arrival is not None and arrival <= job.pin.start)
    else:
        arrival = _arrival(free, travel, rest)
        fits = arrival is not None and arrival <= job.pin.start and free <= job.pin.reserved_from
    return job.pin.start if fits else None


def _arrival(free: int, travel: int, rest: Rest | None) -> int | None:
    """When he arrives who is free at `free`; the rest may be taken on the way. None: it begins too late."""
    if rest is None:
        return free + travel
    begin = max(free, rest.earliest)
    return max(free + travel, begin) + rest.minutes if begin <= rest.latest else None


def _departure(start: int, travel: int, free: int, rest: Rest | None, job: Job) -> int:
    """The latest departure that is in time, before the rest when the rest falls into the way."""
    if job.pin is not None:
        return job.pin.reserved_from
    late = start - travel
    if rest is None:
        return late
    begin = min(rest.latest, max(free, rest.earliest))
    return late if late >= begin + rest.minutes or start <= begin else max(free, late - rest.minutes)
