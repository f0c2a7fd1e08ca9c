"""What simulated people do next, and when. Pure: a visit or an order in, one step out.

The same rules drive the live staff, who use the HTTP API like anybody else, and the seeded history, which calls
the verbs directly. Every duration is a seeded function of the visit's id, so that a restart changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

DECLINES = 0.03
"""Share of visits that an engineer declines once planned."""
REVIEW_AFTER = timedelta(minutes=25)
CLOSE_AFTER = timedelta(hours=12)


@dataclass(frozen=True)
class VisitView:
    """What an engineer sees of a visit."""

    id: int
    state: str
    travel_start: datetime
    planned_start: datetime
    travel_minutes: float
    standard_hours: float
    since: datetime  # when it came into this state


@dataclass(frozen=True)
class Step:
    """The next action on a visit, at event time `at`; `reason` where the action needs one."""

    action: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True)
class Habit:
    """How this visit goes: seeded by its id."""

    answers_after: timedelta
    declines: bool
    travel_factor: float
    unpacks: timedelta
    work_factor: float

    @classmethod
    def of(cls, seed: int, visit_id: int) -> Habit:
        """The habit of one visit."""
        rng = random.Random(f"{seed}:visit:{visit_id}")
        return cls(
            answers_after=timedelta(minutes=rng.uniform(3, 12)),
            declines=rng.random() < DECLINES,
            travel_factor=rng.uniform(0.85, 1.3),
            unpacks=timedelta(minutes=rng.uniform(2, 8)),
            work_factor=rng.lognormvariate(-0.05, 0.22),
        )


def next_step(visit: VisitView, seed: int) -> Step | None:
    """What the engineer does next and when, or None when the visit is over."""
    habit = Habit.of(seed, visit.id)
    match visit.state:
        case "planned" if habit.declines:
            return Step("decline", visit.since + habit.answers_after, "Called to an emergency 临时紧急任务")
        case "planned":
            return Step("confirm", visit.since + habit.answers_after)
        case "confirmed":
            return Step("travel", max(visit.since, visit.travel_start))
        case "traveling":
            road = timedelta(minutes=visit.travel_minutes * habit.travel_factor)
            return Step("check_in", visit.since + road)
        case "on_site":
            return Step("start", visit.since + habit.unpacks)
        case "working":
            return Step("finish", visit.since + timedelta(hours=visit.standard_hours * habit.work_factor))
        case "paused":
            return Step("resume", visit.since + timedelta(minutes=15))
    return None


def review_at(work_done_at: datetime) -> datetime:
    """When the manager reviews an order."""
    return work_done_at + REVIEW_AFTER


def close_at(settled_at: datetime) -> datetime:
    """When the manager closes a settled order."""
    return settled_at + CLOSE_AFTER


def position(site: tuple[float, float], seed: int, visit_id: int) -> tuple[float, float]:
    """Where the phone says it is at check-in: within about 60 m of the site."""
    rng = random.Random(f"{seed}:position:{visit_id}")
    return site[0] + rng.gauss(0, 2e-4), site[1] + rng.gauss(0, 2e-4)


CAUSES: Mapping[str, str] = {
    "bearing": "wear", "mechanical_seal": "wear", "motor": "electrical_fault", "compressor": "wear",
    "condenser": "fouling", "evaporator": "fouling", "valve": "wear", "filter": "fouling",
}  # fmt: skip
"""Component → cause code (fsm.repair_code) that the engineer files; wear for the rest."""


def codes(component: str | None, *, really_failing: bool, parts_used: bool) -> tuple[str, str]:
    """(cause, remedy) that an honest engineer files, given what he found."""
    if not really_failing:
        return "no_fault_found", "inspect"
    return CAUSES.get(component or "", "wear"), "replace" if parts_used else "repair"


def signature(seed: int, visit_id: int) -> str:
    """A scribble as SVG path data."""
    rng = random.Random(f"{seed}:signature:{visit_id}")
    x, y, path = 8.0, 40.0, "M 8 40"
    for _ in range(14):
        x, y = x + rng.uniform(6, 16), 40 + rng.uniform(-24, 24)
        path += f" L {x:.1f} {y:.1f}"
    return path
