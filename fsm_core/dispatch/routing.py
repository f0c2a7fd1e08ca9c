"""The OR-tools routing back-end: parallel cheapest insertion, then guided local search.

A shift with pinned visits becomes several legs: from one promise to the next. Each leg is a vehicle of the
routing model, so pinned visits need no variables. The model treats parts per leg and waiting roughly; its
routes are timed and checked against stock exactly by a `Draft`, which drops what does not hold.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fsm_core.dispatch.cost import dispatchable, eligible, penalty
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.greedy import fill, urgency
from fsm_core.dispatch.limit import Stop
from fsm_core.dispatch.model import Job, Key, Problem, Rest, Shift

with warnings.catch_warnings():  # its SWIG types warn on import, and crash when warnings are errors
    warnings.simplefilter("ignore", DeprecationWarning)
    from ortools.constraint_solver import pywrapcp, routing_enums_pb2

_SCALE = 10  # the solver counts in whole tenths of a cost unit
_STEPS = 20  # search steps per iteration of the budget
_UNITS = 1000  # and in thousandths of a part


@dataclass(frozen=True)
class Leg:
    """A stretch of a shift without pinned visits: leave `origin` at `start`, be at `goal` by `end`.

    Attributes:
        lead: the last visit ends at least this many minutes before `end`.
        goal: None: anywhere.
        driven: the way counts also when nothing is visited.
    """

    key: Key
    origin: int
    start: int
    goal: int | None
    end: int
    lead: int
    rest: Rest | None
    driven: bool


def build(problem: Problem, stop: Stop) -> Draft:
    """A draft by the routing solver; the pinned visits alone when it finds none."""
    base = Draft(problem)
    jobs = [job for job in base.unserved() if dispatchable(problem, job)]
    legs = list(_legs(base))
    if not jobs or not legs:
        return base
    return _exact(base, _Model(problem, jobs, legs).solve(stop))


def _exact(draft: Draft, tours: dict[Key, list[int]]) -> Draft:
    """The solver's tours as far as they hold, the rest by insertion."""
    for key, tour in tours.items():
        for id in tour:
            job = draft.problem.job(id)
            spots = (draft.at(job, key, spot) for spot in range(len(draft.routes[key]), -1, -1))
            found = next((each for each in spots if each is not None), None)
            if found is not None:
                draft.insert(job, found)
    fill(draft, sorted(draft.unserved(), key=urgency))
    return draft


def _legs(draft: Draft) -> Iterator[Leg]:
    problem = draft.problem
    for technician in problem.technicians:
        for index, shift in enumerate(technician.shifts):
            yield from _shift_legs(problem, (technician.id, index), shift, draft.routes[technician.id, index])


def _shift_legs(problem: Problem, key: Key, shift: Shift, pinned: tuple[int, ...]) -> Iterator[Leg]:
    origin, start = shift.origin, shift.start
    for id in pinned:
        job = problem.job(id)
        assert job.pin is not None
        if not job.pin.started and start < job.pin.reserved_from:
            lead = job.pin.start - job.pin.reserved_from
            yield Leg(key, origin, start, job.place, job.pin.start, lead, None, True)
        origin, start = job.place, max(start, job.pin.start + job.minutes)
    if start < shift.end:
        yield Leg(key, origin, start, shift.home, shift.end, 0, shift.rest, bool(pinned))


class _Model:
    """Nodes: the jobs, then the start of every leg, then its end."""

    def __init__(self, problem: Problem, jobs: list[Job], legs: list[Leg]) -> None:
        self.problem, self.jobs, self.legs = problem, jobs, legs
        first, count = len(jobs), len(legs)
        self.manager = pywrapcp.RoutingIndexManager(
            first + 2 * count,
            count,
            list(range(first, first + count)),
            list(range(first + count, first + 2 * count)),
        )
        self.routing = pywrapcp.RoutingModel(self.manager)
        self._costs()
        self._times()
        self._parts()
        self._choices()

    def solve(self, stop: Stop) -> dict[Key, list[int]]:
        """Job ids by shift, in order."""
        parameters = pywrapcp.DefaultRoutingSearchParameters()
        parameters.first_solution_strategy = (
            routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
        )
        parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
        if stop.seconds is not None:
            parameters.time_limit.FromMilliseconds(max(1, int(stop.seconds * 1000)))
        if stop.iterations is not None:
            parameters.solution_limit = max(1, stop.iterations)
            self._bound(stop.iterations)
        solution = self.routing.SolveWithParameters(parameters)
        return {} if solution is None else self._tours(solution)

    def _bound(self, iterations: int) -> None:
        """On a small problem guided local search may find no further solution for ever; counting is repeatable."""
        left = iter(range(_STEPS * (iterations + 1)))
        self.routing.AddSearchMonitor(self.routing.solver().CustomLimit(lambda: next(left, None) is None))

    def _tours(self, solution: Any) -> dict[Key, list[int]]:
        tours: dict[Key, list[int]] = {}
        for vehicle, leg in enumerate(self.legs):
            index = solution.Value(self.routing.NextVar(self.routing.Start(vehicle)))
            while not self.routing.IsEnd(index):
                tours.setdefault(leg.key, []).append(self.jobs[self.manager.IndexToNode(index)].id)
                index = solution.Value(self.routing.NextVar(index))
        return tours

    def _travel(self) -> list[list[int]]:
        """Minutes between nodes; nothing leads into a start or out of an end."""
        starts = [job.place for job in self.jobs] + [leg.origin for leg in self.legs]
        goals: list[int | None] = [job.place for job in self.jobs] + [None] * len(self.legs)
        goals += [leg.goal for leg in self.legs]
        travel = self.problem.travel
        rows = [[0 if goal is None else travel[place][goal] for goal in goals] for place in starts]
        return rows + [[0] * len(goals)] * len(self.legs)

    def _costs(self) -> None:
        scale = self.problem.weights.travel_per_minute * _SCALE
        costs = [[round(minutes * scale) for minutes in row] for row in self._travel()]
        self.routing.SetArcCostEvaluatorOfAllVehicles(self.routing.RegisterTransitMatrix(costs))
        for vehicle, leg in enumerate(self.legs):
            if leg.driven:
                self.routing.SetVehicleUsedWhenEmpty(True, vehicle)

    def _times(self) -> None:
        jobs, legs = len(self.jobs), len(self.legs)
        travel = self._travel()
        steps = [[job.minutes + leg for leg in row] for job, row in zip(self.jobs, travel, strict=False)]
        steps += travel[jobs:]
        for number, leg in enumerate(self.legs):
            end = jobs + legs + number
            steps[jobs + number][end] = 0  # an empty leg; whether it can be driven was decided before
            for node, job in enumerate(self.jobs):
                steps[node][end] = job.minutes + max(travel[node][end], leg.lead)
        latest = max(leg.end for leg in self.legs)
        self.routing.AddDimension(self.routing.RegisterTransitMatrix(steps), latest, latest, False, "time")
        time = self.routing.GetDimensionOrDie("time")
        for vehicle, leg in enumerate(self.legs):
            time.CumulVar(self.routing.Start(vehicle)).SetRange(leg.start, leg.end)
            time.CumulVar(self.routing.End(vehicle)).SetRange(leg.start, leg.end)
            self._rest(time, vehicle, leg.rest)
        for node, job in enumerate(self.jobs):
            self._promise(time, self.manager.NodeToIndex(node), job, latest)

    def _promise(self, time: Any, index: int, job: Job, latest: int) -> None:
        time.CumulVar(index).SetRange(min(job.earliest, latest), int(min(job.latest, latest)))
        weights, at = self.problem.weights, job.priority - 1
        late, wait = weights.late_per_minute[at], weights.wait_per_minute[at]
        if job.due is not None and late:
            time.SetCumulVarSoftUpperBound(index, max(0, job.due), round(late * _SCALE))
        elif wait:
            time.SetCumulVarSoftUpperBound(index, job.earliest, max(1, round(wait * _SCALE)))

    def _rest(self, time: Any, vehicle: int, rest: Rest | None) -> None:
        if rest is None:
            return
        pause = self.routing.solver().FixedDurationIntervalVar(
            rest.earliest, rest.latest, rest.minutes, False, f"rest {vehicle}"
        )
        visits = [job.minutes for job in self.jobs] + [0] * (2 * len(self.legs))
        time.SetBreakIntervalsOfVehicle([pause], vehicle, visits)

    def _parts(self) -> None:
        """Per part and leg at most what van and warehouse hold; only for parts that could run short."""
        wanted: dict[str, float] = {}
        for job in self.jobs:
            for part, quantity in job.parts.items():
                wanted[part] = wanted.get(part, 0) + quantity
        for part, total in wanted.items():
            house = self.problem.warehouse.get(part, 0)
            if total <= house:
                continue
            stock = [house + self.problem.technician(leg.key[0]).stock.get(part, 0) for leg in self.legs]
            loads = [round(job.parts.get(part, 0) * _UNITS) for job in self.jobs] + [0] * (2 * len(self.legs))
            vector = self.routing.RegisterUnaryTransitVector(loads)
            self.routing.AddDimensionWithVehicleCapacity(
                vector, 0, [round(each * _UNITS) for each in stock], True, f"part {part}"
            )

    def _choices(self) -> None:
        """Who may take a job, and what leaving it out costs."""
        for node, job in enumerate(self.jobs):
            index = self.manager.NodeToIndex(node)
            allowed = [number for number, leg in enumerate(self.legs) if self._may(leg, job)]
            self.routing.AddDisjunction([index], round(penalty(self.problem.weights, job) * _SCALE))
            if allowed:
                self.routing.SetAllowedVehiclesForIndex(allowed, index)
            else:
                self.routing.ActiveVar(index).SetValue(0)

    def _may(self, leg: Leg, job: Job) -> bool:
        begin = max(leg.start, job.earliest)
        fits = begin + job.minutes <= leg.end and begin <= job.latest
        return fits and eligible(self.problem, self.problem.technician(leg.key[0]), job)
