"""What fails most: causes by weight, with their running share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ParetoRow:
    """One cause; shares are of the total, 0 to 1."""

    name: str
    weight: float
    share: float
    running: float


def pareto(weights: Mapping[str, float]) -> list[ParetoRow]:
    """Heaviest first, equal ones by name; weights are counts, hours or money."""
    total = sum(weights.values())
    rows, running = [], 0.0
    for name, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
        share = weight / total if total else 0.0
        running += share
        rows.append(ParetoRow(name, weight, share, running))
    return rows
