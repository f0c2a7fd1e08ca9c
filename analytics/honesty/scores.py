"""Precision, recall and lead time of each rule on each model, from the engineers' cause codes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles

HORIZON = timedelta(days=30)  # an alarm so long before a failure, or less, has announced it


@dataclass(frozen=True)
class Raise:
    """A row of reports.alarm_honesty."""

    device_id: int
    model: str
    rule: str
    failure_mode: str
    score: float
    raised_at: datetime
    cleared_at: datetime | None
    order_id: int | None
    verdict: str
    lead_hours: float | None = None


@dataclass(frozen=True)
class Failure:
    """A row of reports.failure: a fault that an engineer found. An alarm until `at` has announced it; it was over at
    `repaired_at`."""

    device_id: int
    model: str
    failure_mode: str
    at: datetime
    repaired_at: datetime


@dataclass(frozen=True)
class Score:
    """A rule on a model. Orders, not raises, are counted: several raises of one order are one.

    Attributes:
        right, false, other, undecided: orders by verdict; `other` led to a fault of another failure mode.
        precision: right ÷ (right + false + other), with a 90 % Wilson interval; None where nothing is decided.
        failures, announced: faults of modes that the rule has ever raised on the model; those it raised beforehand.
        recall: announced ÷ failures; None where there were none.
        lead_hours: 10 %, 50 % and 90 % of the right orders' leads; None where there are none.
    """

    model: str
    rule: str
    right: int
    false: int
    other: int
    undecided: int
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    failures: int
    announced: int
    recall: float | None
    lead_hours: tuple[float, float, float] | None


def scores(
    raises: Sequence[Raise], failures: Sequence[Failure], earlier: Sequence[Raise] = ()
) -> list[Score]:
    """Of every rule on every model, in the order of their names.

    Args:
        raises, failures: of the period.
        earlier: raises before it, within the horizon: they count for nothing but failures that they announced.
    """
    keys = sorted({(one.model, one.rule) for one in raises})
    return [_score(*key, _of(raises, key), _of(earlier, key), failures) for key in keys]


def _of(raises: Sequence[Raise], key: tuple[str, str]) -> list[Raise]:
    return [one for one in raises if (one.model, one.rule) == key]


def _score(
    model: str, rule: str, raises: Sequence[Raise], earlier: Sequence[Raise], failures: Sequence[Failure]
) -> Score:
    orders: dict[int, Raise] = {}
    for one in sorted(raises, key=lambda r: r.raised_at, reverse=True):
        if one.order_id is not None:
            orders[one.order_id] = one  # the first raise of the order stays
    by = {
        verdict: sum(one.verdict == verdict for one in orders.values())
        for verdict in ("right", "false", "other", "undecided")
    }
    decided = by["right"] + by["false"] + by["other"]
    low, high = wilson(by["right"], decided) if decided else (None, None)
    modes = {one.failure_mode for one in (*raises, *earlier)}
    ours = [one for one in failures if one.model == model and one.failure_mode in modes]
    announced = len({failure for one in (*raises, *earlier) if (failure := announces(one, ours)) is not None})
    leads = [r.lead_hours for r in orders.values() if r.verdict == "right" and r.lead_hours is not None]
    return Score(
        model, rule, by["right"], by["false"], by["other"], by["undecided"],
        by["right"] / decided if decided else None, low, high,
        len(ours), announced, announced / len(ours) if ours else None, deciles(leads),
    )  # fmt: skip


def announces(one: Raise, failures: Sequence[Failure]) -> Failure | None:
    """The failure that an alarm has announced: the first on its device and mode that was repaired after it was raised,
    if it was raised before that was known and within the horizon. What comes after the repair is another fault."""
    following = [
        failure
        for failure in failures
        if (failure.device_id, failure.failure_mode) == (one.device_id, one.failure_mode)
        and failure.repaired_at > one.raised_at
    ]
    first = min(following, key=lambda failure: failure.repaired_at, default=None)
    return first if first is not None and first.at - HORIZON <= one.raised_at <= first.at else None


def wilson(hits: int, n: int, z: float = 1.6449) -> tuple[float, float]:
    """Interval of a share, 90 % by default (Wilson 1927): sensible also for 0 of n and n of n.

    >>> [round(x, 3) for x in wilson(8, 10)]
    [0.541, 0.931]
    """
    share, square = hits / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * (share * (1 - share) / n + square / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def deciles(values: Sequence[float]) -> tuple[float, float, float] | None:
    """10 %, 50 % and 90 % of some values; None where there are none."""
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0], values[0]
    tenths = quantiles(values, n=10, method="inclusive")
    return tenths[0], tenths[4], tenths[8]
