"""What two ways to tune the same rows raise, held against each other. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics.detectors.protocol import Finding
from analytics.store import moment
from analytics.whatif.orders import SAME


@dataclass(frozen=True)
class Raised:
    """A failure mode that a rule raises."""

    device_id: int
    ts: datetime
    rule: str
    failure_mode: str
    severity: int
    score: float
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """Raises of one way without one of the other near them, and pairs (live, changed) of the same episode."""

    appear: list[Raised]
    vanish: list[Raised]
    kept: list[tuple[Raised, Raised]]


def raises(found: Sequence[tuple[int, Finding]], start: datetime) -> list[Raised]:
    """All from a time on."""
    return [
        Raised(device, moment(f.ts), f.rule, f.mode, f.severity, f.score, f.evidence())
        for device, f in found
        if f.kind == "raise" and moment(f.ts) >= start
    ]


def compare(live: Sequence[Raised], changed: Sequence[Raised]) -> Compared:
    """Hold them against each other: the same episode is the same mode on the same device at about the same time."""
    before, after = _by_mode(live), _by_mode(changed)
    near = [(raised, _near(raised, after)) for raised in live]
    return Compared(
        [raised for raised in changed if _near(raised, before) is None],
        [raised for raised, other in near if other is None],
        [(raised, other) for raised, other in near if other is not None],
    )


_ByMode = dict[tuple[int, str], list[Raised]]


def _by_mode(raised: Sequence[Raised]) -> _ByMode:
    found: _ByMode = defaultdict(list)
    for one in raised:
        found[one.device_id, one.failure_mode].append(one)
    return found


def _near(raised: Raised, others: _ByMode) -> Raised | None:
    """The first of the others that is the same episode."""
    its = others.get((raised.device_id, raised.failure_mode), [])
    return next((other for other in its if abs(other.ts - raised.ts) <= SAME), None)
