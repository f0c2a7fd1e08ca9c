"""Does a plan keep every hard rule? Written apart from the solvers and sharing no arithmetic with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from fsm_core.dispatch.model import Job, Plan, Problem, Rest, Shift, Stop, Technician


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: its code, the job, and what is wrong."""

    code: str
    job: int | None
    text: str


def check(problem: Problem, plan: Plan) -> list[Violation]:
    """All violations; empty when the plan may be carried out."""
    return [
        *_complete(problem, plan),
        *(each for stop in plan.stops for each in _visit(problem, stop)),
        *_stock(problem, plan),
        *_routes(problem, plan),
    ]


def _complete(problem: Problem, plan: Plan) -> Iterator[Violation]:
    """Every job is in the plan exactly once: as a visit or as left out; promises are not left out."""
    times = Counter(stop.job for stop in plan.stops)
    times.update(list(plan.unassigned))
    for job in problem.jobs:
        if times[job.id] != 1:
            yield Violation("once", job.id, f"job {job.id} is in the plan {times[job.id]} times")
        if job.pin is not None and job.id in plan.unassigned:
            yield Violation("pin", job.id, f"job {job.id} is promised and was left out")


def _visit(problem: Problem, stop: Stop) -> Iterator[Violation]:
    job, technician = problem.job(stop.job), problem.technician(stop.technician)
    if stop.end - stop.start != job.minutes:
        yield Violation(
            "duration", job.id, f"job {job.id} takes {job.minutes} minutes, not {stop.end - stop.start}"
        )
    if job.pin is not None:
        if (stop.technician, stop.start) != (job.pin.technician, job.pin.start):
            yield Violation("pin", job.id, f"job {job.id} was moved away from {job.pin}")
        return
    if lacking := set(job.skills) - set(technician.skills):
        yield Violation("skill", job.id, f"technician {technician.id} has not learned {sorted(lacking)}")
    if job.ready_from is None or stop.start < job.ready_from:
        yield Violation("ready", job.id, f"job {job.id} is not ready at {stop.start}")
    low, high = job.window
    if (low is not None and stop.start < low) or (high is not None and stop.start > high):
        yield Violation("window", job.id, f"job {job.id} begins at {stop.start}, outside {job.window}")
    shift = technician.shifts[stop.shift]
    if stop.departure < shift.start or stop.end > shift.end:
        yield Violation("shift", job.id, f"job {job.id} lies outside the shift {shift.start}-{shift.end}")


def _stock(problem: Problem, plan: Plan) -> Iterator[Violation]:
    """What the vans lack must be in the warehouse."""
    needs: dict[str, dict[int, float]] = {}
    for stop in plan.stops:
        job = problem.job(stop.job)
        for part, quantity in job.parts.items() if job.pin is None else ():
            by = needs.setdefault(part, {})
            by[stop.technician] = by.get(stop.technician, 0) + quantity
    for part, by in needs.items():
        vans = sum(min(needed, problem.technician(who).stock.get(part, 0)) for who, needed in by.items())
        lacking = sum(by.values()) - vans - problem.warehouse.get(part, 0)
        if lacking > 1e-6:
            yield Violation("parts", None, f"{lacking:g} of part {part} too few for this plan")


def _routes(problem: Problem, plan: Plan) -> Iterator[Violation]:
    order = sorted(plan.stops, key=lambda stop: (stop.technician, stop.start, stop.job))
    for technician, group in groupby(order, key=lambda stop: stop.technician):
        stops = list(group)
        for before, after in pairwise(stops):
            yield from _pair(problem, before, after)
        for index, of_shift in groupby(stops, key=lambda stop: stop.shift):
            yield from _shift(problem, problem.technician(technician), index, list(of_shift))


def _pair(problem: Problem, before: Stop, after: Stop) -> Iterator[Violation]:
    """Between two visits there is time for the way; promises are taken as they are, but started ones lead."""
    first, second = problem.job(before.job), problem.job(after.job)
    if second.pin is not None and second.pin.started and before.shift == after.shift:
        yield Violation("pin", second.id, f"job {second.id} is under way, and job {first.id} comes before it")
    if first.pin is not None and second.pin is not None:
        return
    leaves = after.departure if second.pin is None else second.pin.reserved_from
    if before.end > leaves:
        yield Violation(
            "overlap", second.id, f"job {second.id} begins its way at {leaves}, before {before.end}"
        )
    way = problem.travel[first.place][second.place]
    if before.shift == after.shift and before.end + way > after.start:
        yield Violation(
            "travel", second.id, f"the way to job {second.id} takes {way} minutes after {before.end}"
        )


def _shift(problem: Problem, technician: Technician, index: int, stops: list[Stop]) -> Iterator[Violation]:
    shift = technician.shifts[index]
    first = problem.job(stops[0].job)
    if first.pin is None and stops[0].start < shift.start + problem.travel[shift.origin][first.place]:
        yield Violation("travel", first.id, f"job {first.id} cannot be reached by {stops[0].start}")
    last = problem.job(stops[-1].job)
    if last.pin is None and stops[-1].end + _home(problem, shift, last) > shift.end:
        yield Violation("shift", last.id, f"technician {technician.id} is not home by {shift.end}")
    if shift.rest is not None and not any(_gaps(problem, shift, shift.rest, stops)):
        yield Violation("rest", None, f"technician {technician.id} has no rest in shift {index}")


def _home(problem: Problem, shift: Shift, last: Job) -> int:
    return 0 if shift.home is None else problem.travel[last.place][shift.home]


def _gaps(problem: Problem, shift: Shift, rest: Rest, stops: list[Stop]) -> Iterator[bool]:
    """For every gap whether the rest fits into it, the way included."""
    free, before = shift.start, None
    for stop in stops:
        job = problem.job(stop.job)
        given = job.pin is not None and (before is None or before.pin is not None)
        place = shift.origin if before is None else before.place
        way = 0 if given else problem.travel[place][job.place]
        yield _fits(rest, free, way, stop.start)
        free, before = stop.end, job
    assert before is not None
    late = float("inf") if before.pin is not None else shift.end
    yield _fits(rest, free, _home(problem, shift, before), late)


def _fits(rest: Rest, free: int, way: int, until: float) -> bool:
    begin = max(free, rest.earliest)
    return begin <= rest.latest and begin + rest.minutes <= until and free + way + rest.minutes <= until
