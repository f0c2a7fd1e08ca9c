"""Greedy, routing and the whole solver on one-day dispatch instances: cost, jobs left out, seconds.

    python -m benchmarks.dispatch --quick [--data DIR]

Prints one JSON object a line. `--data` adds instances of a folder (NAME.json, with NAME.best.json where known).
Every plan is checked; a plan that breaks a rule ends the run.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fsm_core.dispatch import greedy, routing, solve
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.limit import Stop
from fsm_core.dispatch.model import Job, Pin, Problem, Rest, Shift, Technician

QUICK_JOBS = 60
SKILLS = ("electrical", "pneumatic", "refrigeration", "rotating")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"one second each, at most {QUICK_JOBS} jobs")
    parser.add_argument("--data", type=Path, help="folder of instances")
    given = parser.parse_args()
    seconds = 1.0 if given.quick else 10.0
    for name, problem, best in (*_generated(given.quick), *_files(given.data, quick=given.quick)):
        for method, run in _methods(problem, seconds).items():
            _measure(name, problem, method, run, best)
    _urgent()


def _methods(problem: Problem, seconds: float) -> Mapping[str, Callable[[], Draft]]:
    return {
        "greedy": lambda: greedy.build(problem),
        f"routing {seconds:g} s": lambda: routing.build(problem, Stop(seconds)),
        f"solve {seconds:g} s": lambda: solve.search(problem, Stop(seconds), 1),
    }


def _measure(name: str, problem: Problem, method: str, run: Callable[[], Draft], best: float | None) -> None:
    began = time.perf_counter()
    draft = run()
    took = time.perf_counter() - began
    solve.finish(draft)  # raises when the checker refuses the plan
    context: dict[str, Any] = {
        "instance": name, "method": method, "jobs": len(problem.jobs), "technicians": len(problem.technicians),
        "unserved": len(draft.unserved()), "seconds": round(took, 3),
    }  # fmt: skip
    if best:
        context["times_best_known"] = round(draft.cost() / best, 3)
    _emit("dispatch_cost", round(draft.cost(), 1), "cost", context)


def _urgent() -> None:
    """One urgent job more in a full day, twenty times over."""
    day = _random(7, technicians=14, jobs=80)
    urgent = [Job(10_000 + n, day.jobs[n].place, 60, 1, due=240) for n in range(20)]
    draft = Draft(Problem(day.technicians, [*day.jobs, *urgent], day.travel))
    greedy.fill(draft, sorted(day.jobs, key=greedy.urgency))
    times = []
    for job in urgent:
        began = time.perf_counter()
        draft.cheapest(job)
        times.append(1000 * (time.perf_counter() - began))
    _emit("dispatch_urgent_p95", round(sorted(times)[18], 2), "ms", {"jobs": 80, "technicians": 14})


def _emit(name: str, value: float, unit: str, context: Mapping[str, Any]) -> None:
    print(json.dumps({"name": name, "value": value, "unit": unit, "context": context}), flush=True)


def _generated(quick: bool) -> Iterator[tuple[str, Problem, None]]:
    for technicians, jobs in ((5, 20), (14, 40)) if quick else ((14, 40), (14, 120), (40, 250)):
        yield f"generated-{technicians}x{jobs}", _random(1, technicians=technicians, jobs=jobs), None


def _random(seed: int, *, technicians: int, jobs: int) -> Problem:
    """Engineers and jobs spread over a region of 60 km, four skills, two shifts."""
    rng = random.Random(seed)
    points = [(rng.uniform(0, 60), rng.uniform(0, 60)) for _ in range(technicians + jobs)]
    travel = [[math.ceil(math.dist(a, b) * 1.3 / 40 * 60 - 1e-9) for b in points] for a in points]
    crew = [
        Technician(n, (Shift(s := rng.choice((0, 420)), s + 540, n, n),), frozenset(rng.sample(SKILLS, 3)))
        for n in range(technicians)
    ]
    wanted = [
        Job(1000 + n, technicians + n, rng.choice((45, 60, 90, 150)), rng.choice((1, 2, 2, 3, 3, 4)),
            due=rng.choice((240, 480, 720, None)), skills=frozenset({rng.choice(SKILLS)}))
        for n in range(jobs)
    ]  # fmt: skip
    return Problem(crew, wanted, travel)


def _files(folder: Path | None, *, quick: bool) -> Iterator[tuple[str, Problem, float | None]]:
    for path in [] if folder is None else sorted(folder.glob("*.json")):
        if path.stem.endswith(".best"):
            continue
        instance = json.loads(path.read_text(encoding="utf-8"))
        if quick and len(instance["jobs"]) > QUICK_JOBS:
            continue
        best = path.with_suffix(".best.json")
        yield path.stem, read(instance), json.loads(best.read_text())["cost"] if best.exists() else None


def read(instance: Mapping[str, Any]) -> Problem:
    """An instance as a problem; tools and territories become skills, started jobs take their parts beforehand."""
    crew = {each["id"]: number for number, each in enumerate(instance["technicians"])}
    points = [tuple(each["home"]) for each in instance["technicians"]]
    points += [tuple(each["loc"]) for each in instance["jobs"]]
    road = instance["travel"]
    travel = [[_minutes(a, b, road) for b in points] for a in points]
    technicians = [_technician(each, number, instance) for number, each in enumerate(instance["technicians"])]
    jobs = [_job(each, n, len(crew) + n, crew) for n, each in enumerate(instance["jobs"])]
    return Problem(technicians, jobs, travel)


def _minutes(a: tuple[float, ...], b: tuple[float, ...], road: Mapping[str, float]) -> int:
    km = math.dist(a, b)
    return math.ceil(km * road["detour"] / road["speed_kmh"] * 60 + road["fixed_min"]) if km else 0


def _technician(row: Mapping[str, Any], number: int, instance: Mapping[str, Any]) -> Technician:
    pause = row["brk"]
    rest = None if pause is None else Rest(pause["dur"], pause["earliest"], pause["latest"])
    stock = list(row["stock"])
    for job in instance["jobs"]:
        if job["pinned"] and job["pinned"]["tech"] == row["id"]:
            stock = [have - used for have, used in zip(stock, job["parts"], strict=True)]
    can = _tags(row, "skills", "tools", "territories")
    begin, end = row["shift"]
    return Technician(
        number, (Shift(begin, end, number, number, rest),), can, {str(n): q for n, q in enumerate(stock)}
    )


def _job(row: Mapping[str, Any], number: int, place: int, crew: Mapping[str, int]) -> Job:
    pinned = row["pinned"]
    needs = _tags(row, "skills", "tools") | {f"territories{row['territory']}"}
    low, high = row["window"]
    return Job(
        number,
        place,
        row["dur"],
        row["priority"],
        (low, high),
        row["due"],
        frozenset(needs),
        {str(n): q for n, q in enumerate(row["parts"]) if q},
        0 if row["parts_ready"] else None,
        None if pinned is None else Pin(crew[pinned["tech"]], pinned["start"], pinned["start"], True),
    )


def _tags(row: Mapping[str, Any], *kinds: str) -> frozenset[str]:
    return frozenset(f"{kind}{value}" for kind in kinds for value in row[kind])


if __name__ == "__main__":
    main()
