"""Small running statistics with bounded state: range, exponential moments, moving mean, rank, daily profile. Pure.

All are in the unit of what they are fed; none keeps more than its window.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

DAY_SECONDS = 86_400


class Quantiser:
    """A value as one of `bins` equal parts of the range seen so far; beyond the range are two more symbols.

    A new extreme is thereby always a rare symbol, and the parts are coarse on purpose: on the development
    sets 5 to 8 parts of the whole range told anomalies better than quantiles or a range that forgets.
    """

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.symbols = bins + 2
        self.low = math.inf
        self.high = -math.inf

    def step(self, value: float) -> int:
        """The symbol of a value, judged against the range before it."""
        if self.low > self.high:
            symbol = 0
        elif value > self.high:
            symbol = self.bins + 1
        elif value < self.low:
            symbol = self.bins
        elif self.high == self.low:
            symbol = 0
        else:
            symbol = int((value - self.low) / (self.high - self.low) * (self.bins - 1) + 0.5)
        self.low, self.high = min(self.low, value), max(self.high, value)
        return symbol


class Moments:
    """Exponentially weighted mean and deviation, unbiased from the first value on.

    Args:
        half_life: rows after which a value counts half.
    """

    def __init__(self, half_life: float) -> None:
        self._pace = 1.0 - 0.5 ** (1.0 / half_life)
        self._weight = 0.0
        self.mean = 0.0
        self.variance = 0.0

    def step(self, value: float) -> None:
        """Learn a value."""
        self._weight += self._pace * (1.0 - self._weight)
        gain, off = self._pace / self._weight, value - self.mean
        self.mean += gain * off
        self.variance = (1.0 - gain) * (self.variance + gain * off * off)

    @property
    def deviation(self) -> float:
        """0 before the second value."""
        return math.sqrt(self.variance)


class MovingMean:
    """Mean of the last `rows` values."""

    def __init__(self, rows: int) -> None:
        self._recent: deque[float] = deque(maxlen=rows)

    def step(self, value: float) -> float:
        """The mean with this value."""
        self._recent.append(value)
        return math.fsum(self._recent) / len(self._recent)


class Rarity:
    """How rare a score is among the last `rows` of its own past: -log10 of the part that was as high.

    Free of any distribution: a score above all of n before gives about log10(2 n), a middling one 0.3.
    """

    def __init__(self, rows: int, warm_rows: int = 30) -> None:
        self._rows, self._warm = rows, warm_rows
        self._sorted: list[float] = []
        self._order: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def step(self, score: float) -> float:
        """The rarity of a score, which then joins the past."""
        n = len(self._sorted)
        higher = n - bisect_left(self._sorted, score)
        rarity = -math.log10((higher + 0.5) / (n + 1)) if n >= self._warm else 0.0
        insort(self._sorted, score)
        self._order.append(score)
        if n >= self._rows:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        return max(rarity, 0.0)


class DailyProfile:
    """What is usual at this time of day, over the last few days.

    Args:
        days: how far it remembers.
        slots: parts of a day. Sparser sampling simply leaves slots empty.
    """

    def __init__(self, days: float = 5.0, slots: int = 96) -> None:
        self._days, self._slots = days, slots
        self._mean = [0.0] * slots
        self._seen = [0] * slots
        self._level = 0.0
        self._rows = 0
        self._first = 0.0

    def step(self, second: float, value: float) -> float:
        """The value less what is usual at `second` (since the Unix epoch, UTC); then the profile learns it.

        A slot without a past is measured against the recent level instead.
        """
        if self._rows == 0:
            self._first, self._level = second, value
        slot = int(second % DAY_SECONDS * self._slots / DAY_SECONDS)
        residual = value - (self._mean[slot] if self._seen[slot] else self._level)
        self._rows += 1
        interval = max((second - self._first) / self._rows, 1.0)
        limit = self._days * max(DAY_SECONDS / self._slots / interval, 1.0)
        self._seen[slot] = int(min(self._seen[slot] + 1, max(limit, 1.0)))
        self._mean[slot] += (value - self._mean[slot]) / self._seen[slot]
        self._level += max(1.0 / self._rows, 0.01) * (value - self._level)
        return residual
