"""Problems for the tests: seeded random ones for hypothesis, small ones by hand."""

from __future__ import annotations

import math
import random

from fsm_core.dispatch.model import Job, Pin, Problem, Rest, Shift, Technician

SKILLS = ("electrical", "pneumatic", "rotating")
PARTS = ("bearing", "filter")


def line(*kilometres: int) -> list[list[int]]:
    """Travel minutes between places on a straight road, one minute per kilometre."""
    return [[abs(a - b) for b in kilometres] for a in kilometres]


def one(job: Job, technician: Technician | None = None, **more: object) -> Problem:
    """One technician (0, a shift of 480 minutes from place 0) and one job, 10 minutes away at place 1."""
    who = technician or Technician(0, (Shift(0, 480, 0),), frozenset({"rotating"}))
    return Problem([who], [job], line(0, 10), **more)  # type: ignore[arg-type]


def generated(
    seed: int, *, technicians: int = 3, jobs: int = 6, rests: bool = True, pins: bool = True
) -> Problem:
    """A random problem: skills, parts, windows, due times, rests, two days, promises."""
    rng = random.Random(seed)
    points = [(rng.uniform(0, 60), rng.uniform(0, 60)) for _ in range(technicians + jobs)]
    travel = [[math.ceil(math.dist(a, b) - 1e-9) for b in points] for a in points]
    crew = [_technician(rng, id, rests=rests) for id in range(technicians)]
    wanted = [_job(rng, 100 + number, technicians + number) for number in range(jobs)]
    if pins:
        wanted = _promise(rng, wanted, crew)
    stock = {part: rng.randint(0, 3) for part in PARTS}
    return Problem(crew, wanted, travel, stock)


def _technician(rng: random.Random, id: int, *, rests: bool) -> Technician:
    begin = rng.choice((0, 60, 240))
    rest = Rest(30, begin + 150, begin + 300) if rests and rng.random() < 0.5 else None
    home = id if rng.random() < 0.5 else None
    days = [
        Shift(begin + 1440 * day, begin + 480 + 1440 * day, id, home, rest if not day else None)
        for day in (0, 1)
    ]
    skills = frozenset(skill for skill in SKILLS if rng.random() < 0.7)
    return Technician(id, tuple(days[: rng.randint(1, 2)]), skills, {p: rng.randint(0, 2) for p in PARTS})


def _job(rng: random.Random, id: int, place: int) -> Job:
    opens = rng.choice((0, 0, 120, 300))
    return Job(
        id,
        place,
        minutes=rng.choice((20, 45, 90, 150)),
        priority=rng.randint(1, 4),
        window=rng.choice(((None, None), (None, None), (opens, opens + 240), (opens, None))),
        due=rng.choice((None, 120, 300, 600)),
        skills=frozenset(rng.sample(SKILLS, rng.choice((0, 1, 1, 2)))),
        parts={part: rng.randint(1, 2) for part in PARTS if rng.random() < 0.3},
        ready_from=rng.choice((0, 0, 0, 200, None)),
    )


def _promise(rng: random.Random, jobs: list[Job], crew: list[Technician]) -> list[Job]:
    """Up to one promised visit per technician, which leaves room for the rest."""
    for number, technician in enumerate(crew[: len(jobs)]):
        kind = rng.choice(("none", "none", "started", "later"))
        if kind == "none":
            continue
        shift = technician.shifts[0]
        at = shift.start - 10 if kind == "started" else shift.start + rng.randint(60, 100)
        pin = Pin(technician.id, at, at - rng.randint(0, 30), kind == "started")
        old = jobs[number]
        jobs[number] = Job(old.id, old.place, 45, old.priority, due=old.due, pin=pin)
    return jobs
