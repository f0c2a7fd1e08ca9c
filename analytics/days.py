"""Where days of event time begin in a sequence of batches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from kit.database import EPOCH

Fact = Mapping[str, Any]


def days_of(facts: Sequence[Fact], day: int) -> Iterator[tuple[list[Fact], int | None]]:
    """Cut facts where a new day of event time begins: the facts through the first one of that day, and the day;
    None with the rest. What is cut is the same however many facts come at once."""
    group: list[Fact] = []
    for fact in facts:
        group.append(fact)
        its = (fact["last_ts"] - EPOCH) // timedelta(days=1) if fact["last_ts"] is not None else 0
        if its > day:
            yield group, its
            group, day = [], its
    if group:
        yield group, None
