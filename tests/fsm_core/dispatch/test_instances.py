from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.dispatch import read
from fsm_core.dispatch import checker, greedy
from fsm_core.dispatch.cost import plan_cost
from fsm_core.dispatch.model import Plan, Reason
from fsm_core.dispatch.timing import best

NAMES = ("tiny-3x20-s11", "tiny-3x20-s12", "small-8x50-s11", "small-20x130-s21", "mid-60x400-s1")


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_the_best_known_plans_are_accepted_at_their_known_cost(shared_data: Path, name: str) -> None:
    folder = shared_data / "dispatch" / "synthetic"
    instance = json.loads((folder / f"{name}.json").read_text())
    known = json.loads((folder / f"{name}.best.json").read_text())
    problem = read(instance)
    crew = {each["id"]: number for number, each in enumerate(instance["technicians"])}
    jobs = {each["id"]: number for number, each in enumerate(instance["jobs"])}
    timed = [
        best(problem, (crew[who], 0), tuple(jobs[job] for job in jobs_of))
        for who, jobs_of in known["routes"].items()
    ]
    stops = tuple(stop for each in timed if each is not None for stop in each.stops)
    left = {job.id for job in problem.jobs} - {stop.job for stop in stops}
    plan = Plan(stops, {id: Reason("overlap", "", "") for id in left})
    assert None not in timed
    assert checker.check(problem, plan) == []
    assert plan_cost(problem, plan) == known["cost"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "cost"), [("tiny-3x20-s11", 306), ("tiny-3x20-s12", 2523), ("small-8x50-s11", 2110)]
)
def test_greedy_costs_what_cheapest_insertion_is_known_to_cost(
    shared_data: Path, name: str, cost: int
) -> None:
    instance = json.loads((shared_data / "dispatch" / "synthetic" / f"{name}.json").read_text())
    assert greedy.build(read(instance)).cost() == cost
