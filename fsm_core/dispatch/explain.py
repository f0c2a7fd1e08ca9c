"""Why this engineer at this time: what it cost, and what the others would have cost or why they cannot. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fsm_core.dispatch import reasons
from fsm_core.dispatch.draft import Draft, Insertion
from fsm_core.dispatch.model import Job, Reason, Stop, Technician
from fsm_core.dispatch.snapshot import Snapshot

_SHOWN = 5  # alternatives kept with a visit


@dataclass(frozen=True)
class Option:
    """One technician for one job: his cheapest visit, or the reason against him."""

    technician: Technician
    insertion: Insertion | None
    stop: Stop | None
    reason: Reason | None

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """Feasible ones first, by cost, then by time."""
        if self.insertion is None or self.stop is None:
            return True, 0, 0, self.technician.id
        return False, self.insertion.cost, self.stop.start, self.technician.id


def options(draft: Draft, job: Job, technicians: Iterable[Technician] | None = None) -> list[Option]:
    """All technicians for a job that is not in the draft, the best first."""
    found = []
    for technician in draft.problem.technicians if technicians is None else technicians:
        insertion = draft.cheapest(job, [technician])
        stop = None if insertion is None else insertion.stop(job.id)
        reason = None if insertion else reasons.against(draft, technician, job)
        found.append(Option(technician, insertion, stop, reason))
    return sorted(found, key=lambda option: option.rank)


def explanation(snapshot: Snapshot, options: list[Option], chosen: Stop, *, by: str) -> dict[str, Any]:
    """What is kept with the visit, as JSON."""
    order, who = snapshot.orders[chosen.job], snapshot.engineers[chosen.technician]
    due = order.due_at
    start = snapshot.time(chosen.start)
    late = 0 if due is None else max(0, round((start - due).total_seconds() / 60))
    others = [option for option in options if option.technician.id != chosen.technician]
    able = sum(option.insertion is not None for option in options)
    return {
        "by": by,
        "technician": {"id": who.id, "name": who.name},
        "travel_minutes": chosen.travel,
        "due_at": None if due is None else due.isoformat(),
        "late_minutes": late,
        "text_en": f"{who.name}: {chosen.travel} min on the road, begins {start:%Y-%m-%d %H:%M} UTC"
        + (f", {late} min after the promise" if late else ", within the promise" if due else "")
        + f"; {able} of {len(options)} engineers could go.",
        "text_zh": f"{who.name}：路程 {chosen.travel} 分钟，{start:%Y-%m-%d %H:%M} UTC 开始"
        + (f"，超出承诺 {late} 分钟" if late else "，在承诺时限内" if due else "")
        + f"；{len(options)} 名工程师中 {able} 名可派。",
        "alternatives": [_alternative(snapshot, option) for option in others[:_SHOWN]],
    }


def _alternative(snapshot: Snapshot, option: Option) -> dict[str, Any]:
    who = snapshot.engineers[option.technician.id]
    known: dict[str, Any] = {"technician_id": who.id, "name": who.name, "feasible": option.stop is not None}
    if option.stop is not None and option.insertion is not None:
        start = snapshot.time(option.stop.start)
        return known | {
            "start": start.isoformat(),
            "travel_minutes": option.stop.travel,
            "added_cost": round(option.insertion.cost, 1),
        }
    assert option.reason is not None
    reason = option.reason
    return known | {"reason": {"code": reason.code, "text_en": reason.text_en, "text_zh": reason.text_zh}}
