"""Ruin and recreate: take a few neighbouring visits out, put them back better; keep what is not much worse.

Schrimpf et al. 2000 (the principle); Christiaens & Vanden Berghe 2020 (neighbouring visits as the ruin).
"""

from __future__ import annotations

import math
import random

from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.greedy import fill, urgency
from fsm_core.dispatch.limit import Clock
from fsm_core.dispatch.model import Job

_MOST = 10  # visits taken out at once


def improve(draft: Draft, clock: Clock, seed: int) -> Draft:
    """The best draft found from this one until the clock is up; never a worse one.

    With an iteration budget the result depends on draft, budget and seed alone.
    """
    rng, best, best_cost = random.Random(seed), draft, draft.cost()
    current, current_cost = draft, best_cost
    if not draft.free() and not draft.unserved():
        return draft
    heat = max(1.0, 0.02 * best_cost / max(1, len(draft.problem.jobs)))
    while not clock.up():
        trial = current.copy()
        _recreate(trial, _ruin(trial, rng), rng)
        cost = trial.cost()
        if cost < current_cost - heat * (1 - clock.share()) * math.log(1 - rng.random()):
            current, current_cost = trial, cost
        if cost < best_cost - 1e-9:
            best, best_cost = trial, cost
    return best


def _ruin(draft: Draft, rng: random.Random) -> list[Job]:
    """Remove some free visits near a random one."""
    problem, placed = draft.problem, sorted(draft.free())
    if not placed:
        return []
    centre = problem.job(rng.choice([*placed, *(job.id for job in draft.unserved())]))
    travel = problem.travel[centre.place]
    near = sorted(placed, key=lambda id: (travel[problem.job(id).place] * rng.uniform(0.7, 1.3), id))
    chosen = near[: rng.randint(1, min(_MOST, len(near)))]
    for id in chosen:
        draft.remove(id)
    return [problem.job(id) for id in chosen]


def _recreate(draft: Draft, removed: list[Job], rng: random.Random) -> None:
    """Insert the removed jobs and those left out before, in a random or in the urgent order."""
    taken = {job.id for job in removed}
    waiting = removed + [
        job for job in draft.unserved() if job.id not in taken and job.ready_from is not None
    ]
    rng.shuffle(waiting)
    if rng.random() < 0.5:
        waiting.sort(key=urgency)
    fill(draft, waiting)
