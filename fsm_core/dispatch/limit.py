"""How long a solver may search: seconds, iterations, or both. Only an iteration budget is repeatable."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop.

    Attributes:
        seconds: wall time, above 0; None: no limit.
        iterations: ruin-and-recreate rounds, and solutions of the routing solver; None: no limit.
    """

    seconds: float | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is None and self.iterations is None:
            raise ValueError("give seconds, iterations or both; a search without limit would never end")
        if (self.seconds is not None and self.seconds <= 0) or (
            self.iterations is not None and self.iterations < 0
        ):
            raise ValueError(f"seconds must be above 0 and iterations not below 0, got {self}")

    def part(self, share: float) -> Stop:
        """The same with a share of the time."""
        return Stop(None if self.seconds is None else self.seconds * share, self.iterations)


class Clock:
    """Counts down a `Stop` from its creation."""

    def __init__(self, stop: Stop) -> None:
        self._stop, self._began, self._rounds = stop, time.monotonic(), 0

    def up(self) -> bool:
        """Whether to stop; counts one iteration."""
        self._rounds += 1
        return self.share() >= 1

    def share(self) -> float:
        """How much of the budget is gone, 0 to 1 and beyond."""
        stop = self._stop
        spent = 0.0 if stop.seconds is None else (time.monotonic() - self._began) / stop.seconds
        if stop.iterations is not None:
            spent = max(spent, self._rounds / (stop.iterations + 1))
        return spent
