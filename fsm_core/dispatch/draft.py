"""A plan in the making: routes with their best timing, stock still to give, what an insertion would cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fsm_core.dispatch.cost import SLIVER, begin_cost, dispatchable, eligible, penalty
from fsm_core.dispatch.model import Job, Key, Problem, Route, Routes, Shift, Stop, Technician
from fsm_core.dispatch.timing import Timed, best


@dataclass(frozen=True, slots=True)
class Insertion:
    """Where a job may go: the route, the position in it, the route's new timing, what it adds to the cost."""

    key: Key
    route: Route
    timed: Timed
    cost: float

    def stop(self, job: int) -> Stop:
        """The visit of the inserted job."""
        return next(stop for stop in self.timed.stops if stop.job == job)


class Draft:
    """Routes that keep every hard rule at any moment; starts with the pinned visits alone.

    Raises:
        ValueError: the pinned visits contradict the shifts' rest.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.routes: Routes = {
            (each.id, index): () for each in problem.technicians for index in range(len(each.shifts))
        }
        self.where: dict[int, Key] = {}
        self._used: dict[tuple[int, str], float] = {}
        self._drawn: dict[str, float] = {}
        for job in sorted((job for job in problem.jobs if job.pin), key=_pin_order):
            assert job.pin is not None
            key = problem.pinned_shift(job.pin, job.minutes)
            self.routes[key] += (job.id,)
            self.where[job.id] = key
        self.timed: dict[Key, Timed] = {key: self._given(key, route) for key, route in self.routes.items()}

    def copy(self) -> Draft:
        """An independent twin."""
        twin = object.__new__(Draft)
        twin.problem, twin.routes, twin.timed = self.problem, dict(self.routes), dict(self.timed)
        twin.where, twin._used, twin._drawn = dict(self.where), dict(self._used), dict(self._drawn)
        return twin

    def unserved(self) -> list[Job]:
        """The jobs in no route."""
        return [job for job in self.problem.jobs if job.id not in self.where]

    def free(self) -> list[int]:
        """The jobs in a route that may be moved."""
        return [id for id in self.where if self.problem.job(id).pin is None]

    def cost(self) -> float:
        """As `cost.plan_cost` of the plan this is."""
        problem = self.problem
        left = sum(penalty(problem.weights, job) for job in self.unserved() if dispatchable(problem, job))
        return left + sum(timed.cost for timed in self.timed.values())

    def cheapest(self, job: Job, technicians: Iterable[Technician] | None = None) -> Insertion | None:
        """The insertion that adds least to the cost, or None when the job fits nowhere."""
        found: Insertion | None = None
        if job.ready_from is None:
            return None
        for technician in self.problem.technicians if technicians is None else technicians:
            if not eligible(self.problem, technician, job) or not self.has_stock(technician, job):
                continue
            for index in range(len(technician.shifts)):
                found = self._cheaper((technician.id, index), job, found)
        return found

    def at(self, job: Job, key: Key, position: int) -> Insertion | None:
        """The insertion at one place, or None when it breaks a rule."""
        technician = self.problem.technician(key[0])
        if job.ready_from is None or not eligible(self.problem, technician, job):
            return None
        if not self.has_stock(technician, job):
            return None
        route = (*self.routes[key][:position], job.id, *self.routes[key][position:])
        timed = best(self.problem, key, route)
        return None if timed is None else Insertion(key, route, timed, timed.cost - self.timed[key].cost)

    def has_stock(self, technician: Technician, job: Job) -> bool:
        """Whether van and warehouse can still give what the job needs."""
        return all(
            self._drawn.get(part, 0) + self._extra(technician, part, wanted)
            <= self.problem.warehouse.get(part, 0) + SLIVER
            for part, wanted in job.parts.items()
        )

    def insert(self, job: Job, insertion: Insertion) -> None:
        """Carry out an insertion found on this very draft."""
        self.routes[insertion.key], self.timed[insertion.key] = insertion.route, insertion.timed
        self.where[job.id] = insertion.key
        self._take(insertion.key[0], job, 1)

    def remove(self, id: int) -> None:
        """Take a free job out again. What is left is feasible: nobody starts later than before."""
        key = self.where.pop(id)
        route = tuple(each for each in self.routes[key] if each != id)
        timed = best(self.problem, key, route)
        assert timed is not None, "a route stays feasible without one of its visits"
        self.routes[key], self.timed[key] = route, timed
        self._take(key[0], self.problem.job(id), -1)

    def stops(self) -> tuple[Stop, ...]:
        """All visits in order of technician and time."""
        return tuple(stop for key in sorted(self.routes) for stop in self.timed[key].stops)

    def _given(self, key: Key, route: Route) -> Timed:
        timed = best(self.problem, key, route)
        if timed is None:
            raise ValueError(
                f"the pinned visits {route} leave no room in shift {key[1]} of technician {key[0]}"
            )
        return timed

    def _cheaper(self, key: Key, job: Job, found: Insertion | None) -> Insertion | None:
        """The better of `found` and the best position in one route; hopeless positions are not timed."""
        problem, route, old = self.problem, self.routes[key], self.timed[key]
        shift = problem.technician(key[0]).shifts[key[1]]
        if max(job.earliest, shift.start) + job.minutes > shift.end or shift.start > job.latest:
            return found
        for position in range(len(route) + 1):
            limit = float("inf") if found is None else found.cost
            if self._least(shift, old.stops, position, job) >= limit:
                continue
            timed = best(problem, key, (*route[:position], job.id, *route[position:]))
            if timed is not None and timed.cost - old.cost < limit - SLIVER:
                new = (*route[:position], job.id, *route[position:])
                found = Insertion(key, new, timed, timed.cost - old.cost)
        return found

    def _least(self, shift: Shift, stops: tuple[Stop, ...], position: int, job: Job) -> float:
        """A lower bound of the added cost (where travel obeys the triangle inequality); infinite: never."""
        travel, weights = self.problem.travel, self.problem.weights
        before = stops[position - 1] if position else None
        came_from = shift.origin if before is None else self.problem.job(before.job).place
        begin = max(job.earliest, shift.start)
        if shift.rest is None:  # with a rest the stops before may still become earlier
            free = shift.start if before is None else before.end
            begin = max(begin, free + travel[came_from][job.place])
            if begin > job.latest or begin + job.minutes > shift.end:
                return float("inf")
        goes_to = self.problem.job(stops[position].job).place if position < len(stops) else shift.home
        detour = travel[came_from][job.place]
        if goes_to is not None:
            saved = travel[came_from][goes_to] if stops or position else 0
            detour += travel[job.place][goes_to] - saved
        return begin_cost(weights, job, begin) + detour * weights.travel_per_minute

    def _extra(self, technician: Technician, part: str, wanted: float) -> float:
        """How much more the warehouse must give when the technician needs `wanted` more."""
        used, van = self._used.get((technician.id, part), 0), technician.stock.get(part, 0)
        return max(0, used + wanted - van) - max(0, used - van)

    def _take(self, technician: int, job: Job, sign: int) -> None:
        who = self.problem.technician(technician)
        for part, wanted in job.parts.items():
            self._drawn[part] = self._drawn.get(part, 0) + self._extra(who, part, sign * wanted)
            self._used[technician, part] = self._used.get((technician, part), 0) + sign * wanted


def _pin_order(job: Job) -> tuple[int, int, int]:
    assert job.pin is not None
    return (not job.pin.started, job.pin.start, job.id)
