from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm_core.dispatch import reasons, solve
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.limit import Stop
from fsm_core.dispatch.model import Job, Pin, Problem, Shift, Technician
from tests.fsm_core.dispatch.problems import line, one

JOB = Job(1, 1, 60, skills=frozenset({"rotating"}))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"skills": frozenset({"plumbing"})}, "skill"),
        ({"parts": {"bearing": 1}}, "parts"),
        ({"ready_from": None}, "parts"),
        ({"minutes": 475}, "calendar"),
        ({"ready_from": 450}, "calendar"),
        ({"window": (500, 600)}, "window"),
        ({"window": (None, 5)}, "window"),
    ],
)
def test_a_job_nobody_can_take_names_the_rule_that_binds(change: dict[str, Any], code: str) -> None:
    plan = solve.solve(one(replace(JOB, **change)), Stop(iterations=5))
    reason = plan.unassigned[1]
    assert reason.code == code
    assert reason.text_en
    assert reason.text_zh


def test_the_same_job_without_the_obstacle_is_planned() -> None:
    plan = solve.solve(one(JOB), Stop(iterations=5))
    assert (plan.stops[0].departure, plan.stops[0].start, plan.stops[0].end) == (0, 10, 70)


def test_a_day_full_of_promises_is_named() -> None:
    promise = Job(2, 0, 440, pin=Pin(0, 20, 20))
    problem = Problem(
        [Technician(0, (Shift(0, 480, 0),), frozenset({"rotating"}))], [JOB, promise], line(0, 10)
    )
    assert solve.solve(problem, Stop(iterations=5)).unassigned[1].code == "overlap"


def test_parts_that_a_more_urgent_job_takes_are_named() -> None:
    first = replace(JOB, id=2, priority=1, parts={"bearing": 1})
    second = replace(JOB, parts={"bearing": 1})
    who = Technician(0, (Shift(0, 480, 0),), frozenset({"rotating"}), {"bearing": 1})
    plan = solve.solve(Problem([who], [first, second], line(0, 10)), Stop(iterations=5))
    assert [stop.job for stop in plan.stops] == [2]
    assert plan.unassigned[1].code == "parts"


def test_a_job_that_costs_more_than_it_is_worth_stays_out_and_says_so() -> None:
    far = replace(JOB, place=1, priority=4)
    problem = Problem([Technician(0, (Shift(0, 1000, 0),), JOB.skills)], [far], line(0, 400))
    assert solve.quick(problem).unassigned[1].code == "urgency"


def test_the_reason_of_whoever_comes_closest_is_told() -> None:
    novice = Technician(0, (Shift(0, 480, 0),))
    expert = Technician(1, (Shift(0, 30, 0),), JOB.skills)
    draft = Draft(Problem([novice, expert], [JOB], line(0, 10)))
    assert reasons.of_job(draft, JOB).code == "calendar"
    assert [reasons.of_technician(draft, each, JOB) is None for each in (novice, expert)] == [False, False]
