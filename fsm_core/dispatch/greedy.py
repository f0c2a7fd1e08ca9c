"""Cheapest insertion: the most urgent job first, where it costs least. Fast enough for every event."""

from __future__ import annotations

from collections.abc import Iterable

from fsm_core.dispatch.cost import penalty
from fsm_core.dispatch.draft import Draft
from fsm_core.dispatch.model import Job, Problem


def build(problem: Problem) -> Draft:
    """Pinned visits, then all jobs that fit, in order of urgency."""
    draft = Draft(problem)
    fill(draft, sorted(draft.unserved(), key=urgency))
    return draft


def fill(draft: Draft, jobs: Iterable[Job]) -> None:
    """Insert the jobs one after the other, each where it costs least; not one whose place costs more than it."""
    for job in jobs:
        found = draft.cheapest(job)
        if found is not None and found.cost < penalty(draft.problem.weights, job):
            draft.insert(job, found)


def urgency(job: Job) -> tuple[int, float, float, int]:
    """Sorting key: priority, promised time, end of the window."""
    return job.priority, float("inf") if job.due is None else job.due, job.latest, job.id
