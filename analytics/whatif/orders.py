"""Orders of two ways to tune the same rows, side by side: which stay, appear or vanish. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

SAME = timedelta(days=3)  # two orders of a mode on a device within this time are the same


@dataclass(frozen=True)
class Ordered:
    """An order that a run opens, what opened it, and how it turned out.

    Attributes:
        verdict: right (its component was repaired within the horizon), false, undecided (the horizon is not over).
        repaired_at, lead_hours: of the repair it came before; None where there is none.
    """

    device_id: int
    model: str
    failure_mode: str
    component: str
    ts: datetime
    rule: str
    severity: int
    score: float
    evidence: dict[str, Any]
    verdict: str
    repaired_at: datetime | None
    lead_hours: float | None


@dataclass(frozen=True)
class Pair:
    """The same order of both runs; one of them None: it appears or vanishes."""

    live: Ordered | None
    changed: Ordered | None

    @property
    def status(self) -> str:
        """stay, appear or vanish."""
        return "appear" if self.live is None else "vanish" if self.changed is None else "stay"

    @property
    def first(self) -> Ordered:
        """The one there is; of two, that of the rules in force."""
        found = self.live or self.changed
        assert found is not None, "a pair has at least one order"
        return found


def pair(live: Sequence[Ordered], changed: Sequence[Ordered]) -> list[Pair]:
    """Match each order with at most one of the other run: on its device and failure mode, before the same repair or
    at about the same time, the nearest first. In order of time."""
    there = defaultdict[tuple[int, str], list[int]](list)
    for index, one in enumerate(changed):
        there[one.device_id, one.failure_mode].append(index)
    near = sorted(
        (abs(one.ts - changed[b].ts), a, b)
        for a, one in enumerate(live)
        for b in there[one.device_id, one.failure_mode]
        if _same(one, changed[b])
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, a, b in near:
        if a not in partner and b not in taken:
            partner[a] = b
            taken.add(b)
    pairs = [Pair(one, changed[partner[a]] if a in partner else None) for a, one in enumerate(live)]
    pairs += [Pair(None, one) for b, one in enumerate(changed) if b not in taken]
    return sorted(pairs, key=lambda p: (p.first.ts, p.first.device_id, p.first.failure_mode))


def _same(one: Ordered, other: Ordered) -> bool:
    same_repair = one.repaired_at is not None and one.repaired_at == other.repaired_at
    return same_repair or abs(one.ts - other.ts) <= SAME
