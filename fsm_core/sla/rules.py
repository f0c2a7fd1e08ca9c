"""Working time, and when something is due. Pure.

A due time is a function of (start, target minutes, calendar, pauses) and of nothing else. All instants are
aware UTC datetimes; calendars say local wall-clock hours, so a day of daylight-saving change has the working
time it really has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kit.errors import Invalid

Span = tuple[datetime, datetime]
RUNGS = (50, 75, 100)
"""Percent of the target at which a warning fires."""

STOPS_SLA = {
    "waiting_customer": True, "customer_approval": True, "waiting_parts": False, "waiting_access": False,
    "weather": False, "safety": False, "other": False,
}  # fmt: skip
"""Hold reasons, and whether the customer's clock stands still meanwhile."""

_DAY = timedelta(days=1)
_LONGEST_CLOSURE = 800  # days without one working hour before we call the calendar wrong


@dataclass(frozen=True)
class WorkingCalendar:
    """Weekly hours in a time zone, without the holidays.

    Attributes:
        zone: where the wall clock hangs.
        week: ISO weekday (1 = Monday) → [(from, to), …] in minutes after local midnight; `to` may exceed 1440
            (a night shift ends on the next day).
        holidays: local dates on which no shift begins.
    """

    zone: ZoneInfo
    week: Mapping[int, tuple[tuple[int, int], ...]]
    holidays: frozenset[date] = frozenset()

    @classmethod
    def from_row(
        cls, timezone: str, week: Mapping[str, Sequence[Sequence[str]]], holidays: Iterable[date] = ()
    ) -> WorkingCalendar:
        """From a row of fsm.calendar: `from_row("Asia/Shanghai", {"1": [["09:00", "17:00"]]}, [])`.

        Raises:
            Invalid: an unknown zone, a wrong time, or a week without any hours.
        """
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise Invalid(
                f"{timezone!r} is not a time zone; use an IANA name such as Asia/Shanghai"
            ) from error
        hours = {int(day): _shifts(pairs) for day, pairs in week.items() if pairs}
        if not hours or not set(hours) <= set(range(1, 8)):
            raise Invalid(
                "a working week needs hours on at least one of the ISO weekdays 1 (Monday) to 7 (Sunday)"
            )
        return cls(zone, hours, frozenset(holidays))

    def intervals(self, start: datetime, end: datetime) -> Iterator[Span]:
        """The working intervals between two instants, in order, disjoint, clipped to [start, end], in UTC."""
        day = start.astimezone(self.zone).date() - _DAY  # yesterday's night shift may reach into today
        last = end.astimezone(self.zone).date()
        edge = start
        while day <= last:
            for opens, closes in self._shifts(day):
                begin, finish = max(opens, edge), min(closes, end)
                if begin < finish:
                    yield begin, finish
                    edge = finish
            day += _DAY

    def working_minutes(self, start: datetime, end: datetime) -> float:
        """Working minutes between two instants; 0 when `end` is not after `start`."""
        return _total(self.intervals(start, end)) / timedelta(minutes=1)

    def is_working(self, at: datetime) -> bool:
        """Whether `at` is inside working time (its start counts, its end does not)."""
        return any(True for _ in self.intervals(at, at + timedelta(microseconds=1)))

    def add_working(self, start: datetime, minutes: float) -> datetime:
        """The instant at which `minutes` of working time have passed since `start`.

        Raises:
            Invalid: the calendar has no working time for more than two years.
        """
        return due(start, minutes, self, ())

    def _shifts(self, day: date) -> Iterator[Span]:
        if day in self.holidays:
            return
        for opens, closes in self.week.get(day.isoweekday(), ()):
            yield self._instant(day, opens), self._instant(day, closes)

    def _instant(self, day: date, minute: int) -> datetime:
        days, minute = divmod(minute, 1440)
        local = datetime.combine(day + days * _DAY, time(minute // 60, minute % 60), self.zone)
        return local.astimezone(UTC)


def due(start: datetime, minutes: float, calendar: WorkingCalendar, pauses: Iterable[Span]) -> datetime:
    """When `minutes` of working time outside the pauses have passed since `start`.

    A pause outside working time changes nothing; overlapping pauses count once. Hence, after a resume, the
    due time has moved by exactly the working time paused.

    Raises:
        Invalid: the calendar has no working time for more than two years.
    """
    left, stopped = timedelta(minutes=minutes), merged(pauses)
    if left <= timedelta(0):
        return start
    edge, closed = start, 0
    while closed < _LONGEST_CLOSURE:
        horizon = edge + 7 * _DAY
        for begin, end in _without(calendar.intervals(edge, horizon), stopped):
            closed = 0
            if left <= end - begin:
                return begin + left
            left -= end - begin
        edge, closed = horizon, closed + 7
    raise Invalid(
        f"no working time found for {_LONGEST_CLOSURE} days after {edge}: check the calendar's holidays"
    )


def used_minutes(start: datetime, end: datetime, calendar: WorkingCalendar, pauses: Iterable[Span]) -> float:
    """Working minutes outside the pauses between two instants: what a clock has used up."""
    return _total(_without(calendar.intervals(start, end), merged(pauses))) / timedelta(minutes=1)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, overlapping and touching ones joined, empty ones dropped."""
    joined: list[Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def rung_times(
    start: datetime, minutes: int, calendar: WorkingCalendar, pauses: Sequence[Span]
) -> list[tuple[int, datetime]]:
    """(percent, when it is reached) for each rung, earliest first; the last is the due time itself."""
    return [(percent, due(start, minutes * percent / 100, calendar, pauses)) for percent in RUNGS]


def _shifts(pairs: Sequence[Sequence[str]]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(_shift(*pair) for pair in pairs))


def _shift(opens: str, closes: str) -> tuple[int, int]:
    begin, end = _minute(opens), _minute(closes)
    return begin, end if end > begin else end + 1440


def _minute(text: str) -> int:
    try:
        hour, minute = (int(part) for part in text.split(":"))
    except ValueError:
        hour, minute = -1, 0
    if not ((0 <= hour < 24 and 0 <= minute < 60) or (hour, minute) == (24, 0)):
        raise Invalid(f"{text!r} is not a time of day; write HH:MM, 00:00 to 24:00")
    return hour * 60 + minute


def _total(spans: Iterable[Span]) -> timedelta:
    return sum((end - begin for begin, end in spans), timedelta(0))


def _without(spans: Iterable[Span], holes: list[Span]) -> Iterator[Span]:
    for begin, end in spans:
        edge = begin
        for hole_begin, hole_end in holes:
            if hole_end <= edge or hole_begin >= end:
                continue
            if edge < hole_begin:
                yield edge, hole_begin
            edge = hole_end
        if edge < end:
            yield edge, end
