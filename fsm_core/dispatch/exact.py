"""The optimum of tiny problems by CP-SAT: the oracle the other solvers are tested against.

Formulated apart from `timing`: one circuit per shift, start times as variables, the rest as a choice of arc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ortools.sat.python import cp_model

from fsm_core.dispatch.cost import begin_cost, dispatchable, eligible, penalty
from fsm_core.dispatch.model import Job, Key, Problem, Shift

_SCALE = 100  # hundredths of a cost unit
_UNITS = 1000  # thousandths of a part
_FAR = 10**6


@dataclass(frozen=True)
class Optimum:
    """The proven least cost, and the routes that have it."""

    cost: float
    routes: dict[Key, tuple[int, ...]]


def solve(problem: Problem, seconds: float = 30) -> Optimum | None:
    """The proven optimum, or None when it was not proven in time."""
    model = _Model(problem)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    if solver.solve(model.cp) != cp_model.OPTIMAL:
        return None
    routes = {key: _walk(solver, arcs) for key, arcs in model.arcs.items()}
    return Optimum(model.constant + solver.objective_value / _SCALE, routes)


def _walk(solver: Any, arcs: dict[tuple[int, int], Any]) -> tuple[int, ...]:
    follows = {tail: head for (tail, head), literal in arcs.items() if tail != head and solver.value(literal)}
    route, at = [], follows.get(-1, -1)
    while at != -1:
        route.append(at)
        at = follows[at]
    return tuple(route)


class _Model:
    """Node -1 is the start and the end of every shift's circuit."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.cp = problem, cp_model.CpModel()
        self.jobs = [job for job in problem.jobs if job.pin or dispatchable(problem, job)]
        self.constant = 0.0
        self.terms: list[Any] = []
        self.out = {job.id: self.cp.new_bool_var("out") for job in self.jobs}
        self.starts = {job.id: self._begin(job) for job in self.jobs}
        self.arcs: dict[Key, dict[tuple[int, int], Any]] = {}
        self.visits: dict[tuple[Key, int], Any] = {}
        for technician in problem.technicians:
            for index, shift in enumerate(technician.shifts):
                self._shift((technician.id, index), shift)
        self._served()
        self._stock()
        self.cp.minimize(sum(self.terms))

    def _begin(self, job: Job) -> Any:
        if job.pin is not None:
            self.constant += begin_cost(self.problem.weights, job, job.pin.start)
            return job.pin.start
        start = self.cp.new_int_var(job.earliest, max(job.earliest, int(min(job.latest, _FAR))), f"s{job.id}")
        weights, at = self.problem.weights, job.priority - 1
        self._after(job, start, job.earliest, weights.wait_per_minute[at])
        if job.due is not None:
            self._after(job, start, job.due, weights.late_per_minute[at])
        return start

    def _after(self, job: Job, start: Any, minute: int, weight: float) -> None:
        """Cost of every minute that `start` is after `minute`, if the job is not left out."""
        if weight:
            late = self.cp.new_int_var(0, 2 * _FAR, "")
            self.cp.add(late >= start - minute).only_enforce_if(~self.out[job.id])
            self.terms.append(round(weight * _SCALE) * late)

    def _shift(self, key: Key, shift: Shift) -> None:
        mine = [job for job in self.jobs if self._may(key, job)]
        arcs: dict[tuple[int, int], Any] = {(-1, -1): self.cp.new_bool_var("idle")}
        rests: list[Any] = []
        for job in mine:
            self.visits[key, job.id] = self.cp.new_bool_var("visit")
            arcs[job.id, job.id] = ~self.visits[key, job.id]
        for tail in [None, *mine]:
            for head in [None, *mine]:
                if tail is not head:
                    self._arc(shift, arcs, rests, tail, head)
        self.cp.add_circuit([(tail + 1, head + 1, literal) for (tail, head), literal in _numbered(arcs)])
        if shift.rest is not None:
            self.cp.add(sum(rests) + arcs[-1, -1] == 1)
        self.arcs[key] = arcs

    def _may(self, key: Key, job: Job) -> bool:
        if job.pin is not None:
            return self.problem.pinned_shift(job.pin, job.minutes) == key
        return eligible(self.problem, self.problem.technician(key[0]), job)

    def _arc(self, shift: Shift, arcs: Any, rests: list[Any], tail: Job | None, head: Job | None) -> None:
        literal = self.cp.new_bool_var("arc")
        arcs[-1 if tail is None else tail.id, -1 if head is None else head.id] = literal
        place = shift.origin if tail is None else tail.place
        goal = shift.home if head is None else head.place
        way = 0 if goal is None else self.problem.travel[place][goal]
        self.terms.append(round(way * self.problem.weights.travel_per_minute * _SCALE) * literal)
        free = shift.start if tail is None else self.starts[tail.id] + tail.minutes
        self._times(shift, literal, tail, head, free, way)
        if shift.rest is not None:
            resting = self.cp.new_bool_var("rest")
            self.cp.add_implication(resting, literal)
            rests.append(resting)
            self._resting(shift, resting, tail, head, free, way)

    def _times(
        self, shift: Shift, literal: Any, tail: Job | None, head: Job | None, free: Any, way: int
    ) -> None:
        promise = tail is not None and tail.pin is not None
        if head is None:
            if not promise:
                self.cp.add(free + way <= shift.end).only_enforce_if(literal)
            return
        start = self.starts[head.id]
        if head.pin is None:
            self.cp.add(start >= free + way).only_enforce_if(literal)
            self.cp.add(start + head.minutes <= shift.end).only_enforce_if(literal)
            return
        if tail is not None and (head.pin.started or (tail.pin and tail.pin.start > head.pin.start)):
            self.cp.add(literal == 0)
        elif tail is not None and tail.pin is None:
            self.cp.add(free + way <= head.pin.start).only_enforce_if(literal)
            self.cp.add(free <= head.pin.reserved_from).only_enforce_if(literal)

    def _resting(
        self, shift: Shift, resting: Any, tail: Job | None, head: Job | None, free: Any, way: int
    ) -> None:
        rest = shift.rest
        assert rest is not None
        promise = tail is not None and tail.pin is not None
        self.cp.add(free <= rest.latest).only_enforce_if(resting)
        if head is None and promise:
            return
        until = shift.end if head is None else self.starts[head.id]
        given = head is not None and head.pin is not None and (tail is None or promise)
        self.cp.add(free + (0 if given else way) + rest.minutes <= until).only_enforce_if(resting)
        self.cp.add(rest.earliest + rest.minutes <= until).only_enforce_if(resting)

    def _served(self) -> None:
        for job in self.jobs:
            visits = [literal for (_, id), literal in self.visits.items() if id == job.id]
            out = self.out[job.id]
            self.cp.add(sum(visits) + out == 1)
            if job.pin is None:
                self.terms.append(round(penalty(self.problem.weights, job) * _SCALE) * out)
            else:
                self.cp.add(out == 0)

    def _stock(self) -> None:
        for part in {part for job in self.jobs for part in job.parts if job.pin is None}:
            drawn = []
            for technician in self.problem.technicians:
                need = sum(
                    round(job.parts.get(part, 0) * _UNITS) * literal
                    for (key, id), literal in self.visits.items()
                    if key[0] == technician.id and (job := self.problem.job(id)).pin is None
                )
                draw = self.cp.new_int_var(0, _FAR * _UNITS, "draw")
                self.cp.add(draw >= need - round(technician.stock.get(part, 0) * _UNITS))
                drawn.append(draw)
            self.cp.add(sum(drawn) <= round(self.problem.warehouse.get(part, 0) * _UNITS))


def _numbered(arcs: dict[tuple[int, int], Any]) -> list[tuple[tuple[int, int], Any]]:
    """Node numbers without holes, as the circuit constraint wants them, -1 first."""
    number = {node: at - 1 for at, node in enumerate(sorted({tail for tail, _ in arcs}))}
    return [((number[tail], number[head]), literal) for (tail, head), literal in arcs.items()]
