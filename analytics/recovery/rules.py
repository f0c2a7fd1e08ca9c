"""Whether a signal has recovered after a repair, in event time and operating hours. Pure.

The detectors start anew after a repair and soon take the level they find for normal, be it good or bad. So the
signal is held against what it was before: each metric that drove the alarm must come back to at most `share` of its
deviation before the repair, for `window` operating hours, within `hours` operating hours. The verdict depends on the
stored rows alone, not on how many of them are looked at at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.definitions import HOUR, Floats, Ints

HOURS: Final = 48.0
FEWEST: Final = 3  # different values that make a metric more than a stuck one


@dataclass(frozen=True)
class Policy:
    """How recovery is judged.

    Attributes:
        hours: operating hours within which the signal must have recovered.
        window: operating hours, in the regime of the alarm, whose mean must have come back.
        share: of the deviation before the repair that may remain.
        clear: a deviation before the repair below so many spreads of single rows proves nothing.
        longest_gap: hours that pass between two rows count as run up to so many.
        patience: after `hours` × this without enough rows in the alarm's regime nothing can be said.
    """

    hours: float = HOURS
    window: float = 12.0
    share: float = 0.5
    clear: float = 1.5
    longest_gap: float = 2.0
    patience: float = 4.0


@dataclass(frozen=True)
class Rows:
    """Rows of one device in the order of time.

    Attributes:
        ts: [n] µs; regime: [n] 0 is off; values: [n, driver], NaN where missing.
    """

    ts: Ints
    regime: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True)
class Signal:
    """A metric that drove the alarm: its baseline (or, without one, its limit) and the regime it was judged in."""

    metric: str
    value: float | None
    baseline: float | None
    limit: float | None
    regime: int


@dataclass(frozen=True)
class Target:
    """What a metric must come back to: `sign` × (mean - `level`) ≤ 0; `before` was its mean before the repair."""

    metric: str
    column: int
    regime: int
    sign: float
    level: float
    before: float


@dataclass(frozen=True)
class Verdict:
    """What became of a repair.

    Attributes:
        state: watching, recovered, not_recovered, recurred (the alarm was raised again before) or unknown (the
            machine hardly ran in the alarm's regime, or its metrics are stuck).
        ts: when it was so, µs; while watching: of the last row.
        run_hours: operating hours from the repair until then.
        means: by metric, of its last window; targets: by metric, the level it had to reach.
    """

    state: str
    ts: int
    run_hours: float
    means: dict[str, float]
    targets: dict[str, float]


def targets(signals: Sequence[Signal], before: Rows, policy: Policy) -> list[Target]:
    """What must come back, from the rows before the repair; metrics that did not clearly deviate are left out."""
    found = (_target(at, signal, before, policy) for at, signal in enumerate(signals))
    return [target for target in found if target is not None]


def _target(at: int, signal: Signal, before: Rows, policy: Policy) -> Target | None:
    values, hours = _in_regime(before, at, signal.regime, int(before.ts[0]) if len(before) else 0, policy)[1:]
    recent = np.cumsum(hours[::-1])[::-1] <= policy.window
    values, hours = values[recent], hours[recent]
    if len(values) < FEWEST or hours.sum() <= 0:
        return None
    mean = float(np.average(values, weights=hours + 1e-9))
    if signal.baseline is None:
        if signal.limit is None or signal.value is None or signal.value == signal.limit:
            return None
        sign = 1.0 if signal.value > signal.limit else -1.0
        return Target(signal.metric, at, signal.regime, sign, signal.limit, mean)
    off = mean - signal.baseline
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    if abs(off) <= policy.clear * spread or abs(off) < 1e-9:
        return None
    level = signal.baseline + policy.share * off
    return Target(signal.metric, at, signal.regime, float(np.sign(off)), level, mean)


def judge(
    repaired: int, wanted: Sequence[Target], after: Rows, raised: int | None, policy: Policy
) -> Verdict:
    """What can be said from the rows after a repair at `repaired` (µs).

    Args:
        wanted: of `targets`; without any the signal has recovered when it was not raised again within the hours.
        raised: when the alarm was raised again, µs; None: it was not, as far as the rows go.
    """
    run = np.cumsum(_hours(after, repaired, policy))
    levels = [_Level.of(target, after, repaired, policy) for target in wanted]
    in_time = _first(after.ts, run >= policy.hours)
    if levels:
        deadline = _all([in_time, *(level.known for level in levels)])
        recovered = _all([level.reached for level in levels])
    else:
        deadline, recovered = None, in_time
    events = [(at, rank, state) for at, rank, state in (
        (raised, 0, "recurred"), (recovered, 1, "recovered"), (deadline, 2, "not_recovered"),
        (_first(after.ts, run >= policy.patience * policy.hours), 3, "unknown"),
    ) if at is not None]  # fmt: skip
    last = int(after.ts[-1]) if len(after) else repaired
    ts, _, state = min(events, default=(last, 0, "watching"))
    so_far = int(np.searchsorted(after.ts, ts, side="right")) - 1
    return Verdict(
        state, ts, round(float(run[so_far]), 2) if so_far >= 0 else 0.0,
        {level.target.metric: level.at(ts) for level in levels if np.isfinite(level.at(ts))},
        {target.metric: target.level for target in wanted},
    )  # fmt: skip


@dataclass(frozen=True)
class _Level:
    """The running mean of a metric after the repair: [n] at `ts`; NaN before a window is full."""

    target: Target
    ts: Ints
    mean: Floats

    @classmethod
    def of(cls, target: Target, after: Rows, repaired: int, policy: Policy) -> _Level:
        ts, values, hours = _in_regime(after, target.column, target.regime, repaired, policy)
        weight, total = np.cumsum(hours), np.cumsum(hours * values)
        mean = np.full(len(ts), np.nan)
        full = np.flatnonzero(weight >= policy.window)
        if len(full) and _moves(values):
            begin = np.searchsorted(weight, weight[full] - policy.window, side="right") - 1
            before, sums = (np.where(begin >= 0, x[np.maximum(begin, 0)], 0.0) for x in (weight, total))
            mean[full] = (total[full] - sums) / np.maximum(weight[full] - before, 1e-9)
        return cls(target, ts, mean)

    @property
    def known(self) -> int | None:
        """When the first window was full."""
        return _first(self.ts, np.isfinite(self.mean))

    @property
    def reached(self) -> int | None:
        """When the mean had come back."""
        there = np.isfinite(self.mean) & (self.target.sign * (self.mean - self.target.level) <= 0)
        return _first(self.ts, there)

    def at(self, ts: int) -> float:
        """The mean at a time."""
        so_far = self.mean[: int(np.searchsorted(self.ts, ts, side="right"))]
        so_far = so_far[np.isfinite(so_far)]
        return float(so_far[-1]) if len(so_far) else float("nan")


def _moves(values: Floats) -> bool:
    return len(np.unique(values)) >= FEWEST


def _in_regime(
    rows: Rows, column: int, regime: int, start: int, policy: Policy
) -> tuple[Ints, Floats, Floats]:
    """Times, values and operating hours of the rows in a regime that have a value."""
    values = rows.values[:, column]
    keep = (rows.regime == regime) & np.isfinite(values)
    return rows.ts[keep], values[keep], _hours(rows, start, policy)[keep]


def _hours(rows: Rows, start: int, policy: Policy) -> Floats:
    """[n] operating hours that each row stands for: those since the row before it, if the machine runs."""
    since = np.diff(rows.ts, prepend=start) / HOUR
    return np.where(rows.regime > 0, np.clip(since, 0.0, policy.longest_gap), 0.0)


def _all(moments: Sequence[int | None]) -> int | None:
    """When the last of them had come; None when one has not."""
    there = [at for at in moments if at is not None]
    return max(there) if len(there) == len(moments) else None


def _first(ts: Ints, there: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    at = np.flatnonzero(there)
    return int(ts[at[0]]) if len(at) else None
