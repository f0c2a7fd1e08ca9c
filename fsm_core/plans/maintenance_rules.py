"""When planned maintenance is due: by calendar, run-hours or chosen dates. Pure.

A fixed plan runs on a grid from its start: the k-th due date is start + k intervals, so 31 January comes back to
31 March after 28 February. A floating plan, and one with both calendar and hours (whichever is first), counts from
the last completion. Of intervals that passed unserved the newest is ordered, and the others are noted.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import floor, sqrt
from zoneinfo import ZoneInfo

_Z90 = 1.2815515655446004
"""The 90 % point of the normal distribution."""
STALE = timedelta(days=3)


@dataclass(frozen=True)
class Plan:
    """A maintenance plan, in local dates of its site; fields as in fsm.maintenance_plan."""

    start_on: date
    zone: ZoneInfo
    every_months: int | None = None
    every_days: int | None = None
    every_hours: float | None = None
    dates: tuple[date, ...] = ()
    start_hours: float = 0.0
    floating: bool = False
    at_time: time = time(9)
    lead_days: int = 0

    @property
    def from_completion(self) -> bool:
        """Whether it counts from the last completion instead of running on a grid."""
        by_date = self.every_months is not None or self.every_days is not None
        return self.floating or (by_date and self.every_hours is not None)

    def due_at(self, day: date) -> datetime:
        """That local day at the plan's hour."""
        return datetime.combine(day, self.at_time, self.zone)


@dataclass(frozen=True)
class Served:
    """What the plan has had.

    Attributes:
        keys: of all that came due before.
        done_on, done_hours: local date and life at the last completion; None: never.
        pending: an order of the plan is still open; nothing comes due meanwhile.
    """

    keys: frozenset[str] = frozenset()
    done_on: date | None = None
    done_hours: float | None = None
    pending: bool = False


@dataclass(frozen=True)
class Due:
    """One order to be opened. `key` makes it one; `missed` intervals passed unserved before it."""

    key: str
    due_at: datetime
    missed: int


def due(plan: Plan, served: Served, now: datetime, life: float | None) -> Due | None:
    """What is due by `now` at a life of so many hours (None: not known, then only the calendar counts)."""
    if served.pending:
        return None
    if plan.from_completion:
        return _since_completion(plan, served, now, life)
    found = [_grid_date(plan, served, now), _grid_hours(plan, served, now, life), _chosen(plan, served, now)]
    return min((one for one in found if one is not None), key=lambda one: one.due_at, default=None)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or its last one.

    >>> add_months(date(2026, 1, 31), 1), add_months(date(2026, 1, 31), 2)
    (datetime.date(2026, 2, 28), datetime.date(2026, 3, 31))
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _grid(plan: Plan, origin: date) -> Iterator[date]:
    """origin + 1, 2, 3 … intervals, for ever; nothing for a plan without a calendar."""
    count = 0
    while plan.every_months or plan.every_days:
        count += 1
        if plan.every_months:
            yield add_months(origin, count * plan.every_months)
        else:
            assert plan.every_days is not None
            yield origin + timedelta(days=count * plan.every_days)


def _passed(plan: Plan, days: Iterator[date], now: datetime) -> list[date]:
    horizon = now.astimezone(plan.zone).date() + timedelta(days=plan.lead_days)
    found: list[date] = []
    for day in days:
        if day > horizon:
            break
        found.append(day)
    return found


def _newest(plan: Plan, days: list[date], served: Served) -> Due | None:
    """The newest of the days that came due, unless that or a later one was served."""
    last = max((key for key in served.keys if key.startswith("date:")), default="")
    fresh = [day for day in days if f"date:{day.isoformat()}" > last]
    if not fresh:
        return None
    return Due(f"date:{fresh[-1].isoformat()}", plan.due_at(fresh[-1]), len(fresh) - 1)


def _grid_date(plan: Plan, served: Served, now: datetime) -> Due | None:
    return _newest(plan, _passed(plan, _grid(plan, plan.start_on), now), served)


def _chosen(plan: Plan, served: Served, now: datetime) -> Due | None:
    return _newest(plan, _passed(plan, iter(sorted(plan.dates)), now), served)


def _grid_hours(plan: Plan, served: Served, now: datetime, life: float | None) -> Due | None:
    if plan.every_hours is None or life is None:
        return None
    count = floor((life - plan.start_hours) / plan.every_hours)
    last = max((int(key.partition(":")[2]) for key in served.keys if key.startswith("hours:")), default=0)
    if count <= last:
        return None
    return Due(f"hours:{count}", now, count - last - 1)


def _since_completion(plan: Plan, served: Served, now: datetime, life: float | None) -> Due | None:
    origin = served.done_on or plan.start_on
    days = _passed(plan, _grid(plan, origin), now)
    hours = 0
    if plan.every_hours is not None and life is not None:
        base = plan.start_hours if served.done_hours is None else served.done_hours
        hours = max(0, floor((life - base) / plan.every_hours))
    if not days and not hours:
        return None
    key = f"cycle:{len(served.keys) + 1}"
    first = min([plan.due_at(day) for day in days[:1]] + ([now] if hours else []))
    return Due(key, first, max(len(days), hours) - 1)


@dataclass(frozen=True)
class Forecast:
    """When a life in hours will be reached: 10 %, 50 % and 90 % likely by then. Stale: the meter is silent."""

    p10: datetime
    p50: datetime
    p90: datetime
    stale: bool


def forecast(
    target: float, life: float, read_at: datetime, daily: Sequence[float], now: datetime
) -> Forecast | None:
    """From the hours run on each of the last days; None when it has not run at all.

    The sum of d days is taken as normal with mean m·d and deviation s·√d; solved for d. A silent meter keeps the
    forecast of its last reading.
    """
    mean = sum(daily) / len(daily) if daily else 0.0
    if mean <= 0:
        return None
    spread = sqrt(sum((hours - mean) ** 2 for hours in daily) / max(1, len(daily) - 1))
    left = max(0.0, target - life)
    p10, p50, p90 = (
        read_at + timedelta(days=((sqrt((z * spread) ** 2 + 4 * mean * left) - z * spread) / (2 * mean)) ** 2)
        for z in (_Z90, 0.0, -_Z90)
    )
    return Forecast(p10, p50, p90, now - read_at > STALE)
