"""One interface to all solvers: a problem, a budget and a seed give a plan that the checker has accepted."""

from __future__ import annotations

from fsm_core.dispatch import checker, greedy, reasons, routing, ruin
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.limit import Clock, Stop
from fsm_core.dispatch.model import Plan, Problem

_ROUTING_SHARE = 0.5


def solve(problem: Problem, stop: Stop, seed: int = 0) -> Plan:
    """The best plan found: greedy and OR-tools routing, then ruin and recreate on the better of the two.

    Never costs more than greedy. The same problem, iteration budget and seed give the same plan.

    Raises:
        RuntimeError: the checker refuses the plan (a fault of this package).
    """
    return finish(search(problem, stop, seed))


def search(problem: Problem, stop: Stop, seed: int = 0) -> Draft:
    """As `solve`, the draft."""
    quick = greedy.build(problem)
    if len(quick.free()) + len(quick.unserved()) == 0:
        return quick
    routed = routing.build(problem, stop.part(_ROUTING_SHARE))
    better = min(quick, routed, key=Draft.cost)  # greedy when equal
    return ruin.improve(better, Clock(stop.part(1 - _ROUTING_SHARE)), seed)


def quick(problem: Problem) -> Plan:
    """Cheapest insertion alone: for an urgent job, within milliseconds."""
    return finish(greedy.build(problem))


def finish(draft: Draft) -> Plan:
    """The plan of a draft, with the reason for every job left out, checked.

    Raises:
        RuntimeError: the checker refuses it.
    """
    plan = Plan(draft.stops(), {job.id: reasons.of_job(draft, job) for job in draft.unserved()})
    if violations := checker.check(draft.problem, plan):
        raise RuntimeError(f"a solver broke a rule: {violations[0]} (and {len(violations) - 1} more)")
    return plan
