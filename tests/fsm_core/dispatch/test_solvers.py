from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_core.dispatch import checker, exact, greedy, routing, ruin, solve
from fsm_core.dispatch.cost import plan_cost
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.limit import Clock, Stop
from fsm_core.dispatch.model import Plan, Problem
from tests.fsm_core.dispatch.problems import generated

SEEDS = st.integers(0, 10**6)
BUDGET = Stop(iterations=15)


def accepted(problem: Problem, draft: Draft) -> Plan:
    """The draft's plan, checked, its cost confirmed by the other way of computing it."""
    plan = solve.finish(draft)
    assert checker.check(problem, plan) == []
    assert draft.cost() == pytest.approx(plan_cost(problem, plan))
    return plan


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(0, 12))
def test_every_solver_keeps_every_hard_rule(seed: int, jobs: int) -> None:
    problem = generated(seed, jobs=jobs)
    for draft in (greedy.build(problem), routing.build(problem, BUDGET)):
        accepted(problem, draft)
        accepted(problem, ruin.improve(draft, Clock(BUDGET), seed))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 14))
def test_a_solution_never_costs_more_than_greedy(seed: int, jobs: int) -> None:
    problem = generated(seed, jobs=jobs)
    plan = solve.solve(problem, BUDGET, seed)
    assert plan_cost(problem, plan) <= greedy.build(problem).cost() + 1e-6


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_no_solver_beats_the_proven_optimum(seed: int) -> None:
    problem = generated(seed, technicians=2, jobs=5)
    optimum = exact.solve(problem)
    assert optimum is not None
    assert greedy.build(problem).cost() >= optimum.cost - 1e-6
    assert routing.build(problem, BUDGET).cost() >= optimum.cost - 1e-6
    assert ruin.improve(greedy.build(problem), Clock(BUDGET), seed).cost() >= optimum.cost - 1e-6


def test_the_search_finds_the_optimum_of_tiny_problems() -> None:
    problems = [generated(seed, technicians=2, jobs=5) for seed in range(1000, 1016)]
    optima = [found.cost for problem in problems if (found := exact.solve(problem)) is not None]
    reached = [ruin.improve(greedy.build(each), Clock(Stop(iterations=150)), 1).cost() for each in problems]
    assert reached == pytest.approx(optima)


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_promised_visits_do_not_move(seed: int) -> None:
    problem = generated(seed)
    plan = solve.solve(problem, BUDGET, seed)
    for job in problem.jobs:
        if job.pin is not None:
            stop = plan.stop(job.id)
            assert stop is not None
            assert (stop.technician, stop.start) == (job.pin.technician, job.pin.start)


def test_the_same_budget_and_seed_give_the_same_plan() -> None:
    problem = generated(5, technicians=4, jobs=14)
    assert solve.solve(problem, BUDGET, 3) == solve.solve(problem, BUDGET, 3)


def test_routing_finds_what_greedy_misses() -> None:
    costs = [
        (greedy.build(problem).cost(), routing.build(problem, Stop(iterations=40)).cost())
        for problem in (generated(seed, technicians=4, jobs=14) for seed in range(6))
    ]
    assert sum(routed < quick for quick, routed in costs) >= 2


def test_a_search_without_any_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="never end"):
        Stop()
