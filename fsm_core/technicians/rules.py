"""When an engineer can work: the calendar's hours, without absences. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fsm_core.sla.rules import Span, WorkingCalendar, merged


def shifts(calendar: WorkingCalendar, absences: Iterable[Span], start: datetime, end: datetime) -> list[Span]:
    """The stretches of working time within [start, end], in order, in UTC.

    Hours that touch (a day of 24 hours after another) are one stretch: work may go on over midnight.
    """
    holes = merged(absences)
    return [piece for span in merged(calendar.intervals(start, end)) for piece in without(span, holes)]


def without(span: Span, holes: Iterable[Span]) -> list[Span]:
    """What is left of a span outside the holes, which are in order and disjoint.

    >>> day = datetime(2026, 3, 2)
    >>> [(a.hour, b.hour) for a, b in without((day.replace(hour=8), day.replace(hour=17)),
    ...                                       [(day.replace(hour=10), day.replace(hour=12))])]
    [(8, 10), (12, 17)]
    """
    left: list[Span] = []
    edge, end = span
    for begin, finish in holes:
        if finish <= edge or begin >= end:
            continue
        if edge < begin:
            left.append((edge, begin))
        edge = max(edge, finish)
    return [*left, (edge, end)] if edge < end else left


def booked_minutes(spans: Iterable[Span], booked: Iterable[Span]) -> tuple[float, float]:
    """(minutes of working time, minutes of it that are booked): the workload."""
    taken = merged(booked)
    total = free = 0.0
    for span in spans:
        total += (span[1] - span[0]).total_seconds() / 60
        free += sum((end - begin).total_seconds() for begin, end in without(span, taken)) / 60
    return total, total - free
