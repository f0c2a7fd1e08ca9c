from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_core.dispatch import checker, greedy, solve
from fsm_core.dispatch.model import Job, Pin, Plan, Problem, Rest, Shift, Stop, Technician
from tests.fsm_core.dispatch.problems import generated, line

WHO = Technician(0, (Shift(0, 480, 0, home=0),), frozenset({"rotating"}), {"bearing": 1})
JOB = Job(1, 1, 60, window=(20, 300), skills=frozenset({"rotating"}), parts={"bearing": 1}, ready_from=15)
GOOD = Stop(1, 0, 0, 20, 30, 90, 10)


def codes(job: Job, stop: Stop, who: Technician = WHO) -> set[str]:
    return {each.code for each in checker.check(Problem([who], [job], line(0, 10)), Plan((stop,)))}


def test_a_plan_that_keeps_the_rules_is_accepted() -> None:
    assert codes(JOB, GOOD) == set()


@pytest.mark.parametrize(
    ("job", "stop", "who", "code"),
    [
        (JOB, replace(GOOD, end=80), WHO, "duration"),
        (JOB, replace(GOOD, departure=0, start=5, end=65), WHO, "travel"),
        (JOB, replace(GOOD, start=16, end=76), WHO, "window"),
        (JOB, replace(GOOD, start=12, end=72), WHO, "ready"),
        (replace(JOB, ready_from=None), GOOD, WHO, "ready"),
        (replace(JOB, window=(None, None)), replace(GOOD, start=425, end=485), WHO, "shift"),
        (replace(JOB, window=(None, None)), replace(GOOD, start=415, end=475), WHO, "shift"),
        (JOB, GOOD, replace(WHO, skills=frozenset()), "skill"),
        (JOB, GOOD, replace(WHO, stock={}), "parts"),
        (replace(JOB, pin=Pin(0, 50, 40)), GOOD, WHO, "pin"),
        (JOB, replace(GOOD, start=100, end=160), replace(WHO, shifts=(Shift(0, 480, 0, None, Rest(95, 90, 100)),)),
         "rest"),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named(job: Job, stop: Stop, who: Technician, code: str) -> None:
    assert code in codes(job, stop, who)


def test_a_job_forgotten_or_done_twice_is_refused() -> None:
    problem = Problem([WHO], [JOB], line(0, 10))
    assert {each.code for each in checker.check(problem, Plan(()))} == {"once"}
    twice = Plan((GOOD, replace(GOOD, departure=100, start=110, end=170)))
    assert "once" in {each.code for each in checker.check(problem, twice)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_moving_any_visit_earlier_breaks_a_rule_or_leaves_slack_unused(seed: int, minutes: int) -> None:
    """Greedy starts every visit as early as its order allows, so a free visit moved forward must be refused."""
    problem = generated(seed, jobs=8)
    plan = solve.finish(greedy.build(problem))
    for number, stop in enumerate(plan.stops):
        if problem.job(stop.job).pin is not None:
            continue
        earlier = replace(
            stop, departure=stop.departure - minutes, start=stop.start - minutes, end=stop.end - minutes
        )
        stops = (*plan.stops[:number], earlier, *plan.stops[number + 1 :])
        shift = problem.technician(stop.technician).shifts[stop.shift]
        broken = checker.check(problem, Plan(stops, plan.unassigned))
        assert broken or shift.rest is not None
