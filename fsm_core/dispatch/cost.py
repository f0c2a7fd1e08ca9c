"""What a plan costs: unserved jobs, lateness, waiting, travel. The one measure of plans."""

from __future__ import annotations

from fsm_core.dispatch.model import Job, Key, Plan, Problem, Technician, Weights

SLIVER = 1e-9
"""Quantities closer than this are equal."""


def begin_cost(weights: Weights, job: Job, start: int) -> float:
    """Lateness and waiting of a job that begins at `start`; a promise without due time costs nothing."""
    if job.pin is not None and not job.pin.started and job.due is None:
        return 0.0
    late = 0 if job.due is None else max(0, start - job.due)
    wait = max(0, start - job.earliest)
    at = job.priority - 1
    return late * weights.late_per_minute[at] + wait * weights.wait_per_minute[at]


def penalty(weights: Weights, job: Job) -> float:
    """What leaving a job out costs."""
    return weights.unserved[job.priority - 1]


def missing_skills(technician: Technician, job: Job) -> frozenset[str]:
    """What the job needs and the technician has not learned."""
    return job.skills - technician.skills


def missing_parts(problem: Problem, technician: Technician, job: Job) -> dict[str, float]:
    """How much of each part is lacking when the van gives what it has and the warehouse the rest."""
    short = {
        part: wanted - technician.stock.get(part, 0) - problem.warehouse.get(part, 0)
        for part, wanted in job.parts.items()
    }
    return {part: lacking for part, lacking in short.items() if lacking > SLIVER}


def eligible(problem: Problem, technician: Technician, job: Job) -> bool:
    """True when skill and parts allow the technician to take the job, his time aside."""
    if job.pin is not None:
        return job.pin.technician == technician.id
    return not missing_skills(technician, job) and not missing_parts(problem, technician, job)


def dispatchable(problem: Problem, job: Job) -> bool:
    """True when the job is ready and anybody may take it."""
    return job.ready_from is not None and any(eligible(problem, each, job) for each in problem.technicians)


def plan_cost(problem: Problem, plan: Plan) -> float:
    """The cost of a plan that keeps the hard rules; jobs nobody may take cost nothing."""
    weights = problem.weights
    served = {stop.job for stop in plan.stops}
    cost = sum(
        penalty(weights, job) for job in problem.jobs if job.id not in served and dispatchable(problem, job)
    )
    cost += sum(begin_cost(weights, problem.job(stop.job), stop.start) for stop in plan.stops)
    return cost + weights.travel_per_minute * _travel(problem, plan)


def _travel(problem: Problem, plan: Plan) -> int:
    """Minutes on the road, the way home included."""
    total = 0
    last: dict[Key, int] = {}
    for stop in sorted(plan.stops, key=lambda stop: (stop.technician, stop.shift, stop.start)):
        place = problem.job(stop.job).place
        shift = problem.technician(stop.technician).shifts[stop.shift]
        total += problem.travel[last.get((stop.technician, stop.shift), shift.origin)][place]
        last[stop.technician, stop.shift] = place
    for (technician, index), place in last.items():
        home = problem.technician(technician).shifts[index].home
        total += 0 if home is None else problem.travel[place][home]
    return total
