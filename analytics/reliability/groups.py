"""MTBF, MTTR and availability of groups: the whole table from one record.

Definitions:
    MTBF            pooled operating hours of the group's devices ÷ failures, devices that never failed included.
    MTTR            mean hands-on hours of a failure's repair (ISO 14224: mean active repair time); no planned work.
    MDT             mean down time: from the moment the machine could not run until it was whole again; for a
                    breakdown since the fault, for a prevented failure since the work began.
    inherent        availability that design and repair alone allow: MTBF ÷ (MTBF + MTTR). Waiting for people and
    availability    parts is not in it. None without failures or repair times.
    operational     share of the calendar time watched in which the machine was not down, whatever the reason:
    availability    repairs with all waiting, and (for groups of devices) planned work. A machine that stands by is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from analytics.reliability.rates import Mtbf, Mttr, mtbf_of, mttr
from analytics.reliability.record import ITEMS, By, Event, Record, Unit, matches
from analytics.reliability.terms import COUNTED, Count

Interval = tuple[datetime, datetime]
_HOUR = timedelta(hours=1)


@dataclass
class Pool:
    """What a group's figures rest on; `model` only where the group is a part of one.

    `stops` are those of its events, or in a month all that reach into it; `span` cuts them to the month.
    """

    key: str
    model: str | None = None
    devices: int = 0
    hours: float = 0.0
    calendar_hours: float = 0.0
    events: list[Event] = field(default_factory=list)
    span: Interval | None = None
    stopping: list[Event] | None = None


@dataclass(frozen=True)
class Figures:
    """A row of the table. `order_ids` are the failures that the reader may see."""

    key: str
    model: str | None
    devices: int
    hours: float
    failures: int
    breakdowns: int
    mtbf: Mtbf | None
    mttr: Mttr | None
    down_hours: float | None
    inherent: float | None
    operational: float | None
    order_ids: tuple[int, ...]


def pools(record: Record, by: By, months: Sequence[tuple[datetime, float]] = ()) -> list[Pool]:
    """The groups, by key.

    Args:
        months: for `period`: start of each month (UTC) and the operating hours of the population in it.
    """
    if by == "period":
        return _months(record, months)
    return _items(record, by) if by in ITEMS else _devices(record, by)


def figures(record: Record, groups: Sequence[Pool], level: float, count: Count) -> list[Figures]:
    """The rows of the table."""
    failed = [[event for event in pool.events if event.is_failure(count)] for pool in groups]
    rates = mtbf_of([pool.hours for pool in groups], [len(events) for events in failed], level)
    return [
        _figures(record, pool, events, rate, level)
        for pool, events, rate in zip(groups, failed, rates, strict=True)
    ]


def _figures(record: Record, pool: Pool, failed: list[Event], rate: Mtbf | None, level: float) -> Figures:
    seen = [event for event in failed if event.visible]
    worked = [event.repair_hours for event in seen if event.repair_hours]
    repair = mttr(worked, level) if worked else None
    stops = [(event.stop[1] - event.stop[0]) / _HOUR for event in seen if event.stop]
    inherent = None
    if rate is not None and rate.value is not None and repair is not None:
        inherent = rate.value / (rate.value + repair.mean)
    return Figures(
        pool.key, pool.model, pool.devices, pool.hours, len(failed),
        sum(event.kind == "breakdown" for event in failed), rate, repair,
        sum(stops) / len(stops) if stops else None, inherent, _operational(record, pool),
        tuple(event.order_id for event in seen),
    )  # fmt: skip


def _operational(record: Record, pool: Pool) -> float | None:
    """None where nothing was watched, or where the reader may not see all that stopped the machines."""
    events = pool.events if pool.stopping is None else pool.stopping
    if pool.calendar_hours <= 0 or not all(event.visible for event in events):
        return None
    by_device: dict[int, list[Interval]] = {}
    for event in events:
        if event.stop is not None:
            by_device.setdefault(event.device, []).append(event.stop)
    down = 0.0
    for unit in record.units:
        if unit.id in by_device and unit.watched is not None:
            down += covered(by_device[unit.id], *_cut(unit.watched, pool.span))
    return max(0.0, 1 - down / pool.calendar_hours)


def _cut(watched: Interval, span: Interval | None) -> Interval:
    return watched if span is None else (max(watched[0], span[0]), min(watched[1], span[1]))


def covered(intervals: Iterable[Interval], start: datetime, end: datetime) -> float:
    """Hours of [start, end] that lie in one interval at least."""
    total, reached = timedelta(0), start
    for begin, finish in sorted(intervals):
        begin, finish = max(begin, reached), min(finish, end)
        if finish > begin:
            total += finish - begin
            reached = finish
    return total / _HOUR


def _devices(record: Record, by: By) -> list[Pool]:
    made: dict[str, Pool] = {}
    where: dict[int, Pool] = {}
    for unit in record.units:
        key = {"model": unit.model, "site": unit.site, "customer": unit.customer, "device": unit.uid}[by]
        pool = where[unit.id] = made.setdefault(key, Pool(key))
        pool.devices += 1
        pool.hours += unit.hours
        pool.calendar_hours += _calendar(unit)
    for event in record.inside():
        where[event.device].events.append(event)
    return [made[key] for key in sorted(made)]


def _calendar(unit: Unit) -> float:
    return (unit.watched[1] - unit.watched[0]) / _HOUR if unit.watched else 0.0


def _items(record: Record, by: By) -> list[Pool]:
    """Parts of each model: all its devices carry them, so all their hours count."""
    models = {pool.key: pool for pool in _devices(record, "model")}
    model_of = {unit.id: unit.model for unit in record.units}
    happened: dict[str, list[Event]] = {}
    for event in record.inside():
        happened.setdefault(model_of[event.device], []).append(event)
    return [
        Pool(
            f"{model}/{name}", model, base.devices, base.hours, base.calendar_hours,
            [event for event in happened.get(model, ()) if matches(event, by, name)],
        )
        for model, name in record.catalog.items(by)
        if (base := models.get(model)) is not None
    ]  # fmt: skip


def _months(record: Record, months: Sequence[tuple[datetime, float]]) -> list[Pool]:
    made = []
    for start, hours in months:
        span = start, (start + timedelta(days=32)).replace(day=1)
        cuts = [_cut(unit.watched, span) for unit in record.units if unit.watched]
        calendar = sum(((until - since) / _HOUR for since, until in cuts if until > since), 0.0)
        events = [event for event in record.inside() if span[0] <= event.at < span[1]]
        reaching = [
            event
            for event in record.events
            if event.stop and event.stop[0] < span[1] and event.stop[1] > span[0]
        ]
        devices = sum(until > since for since, until in cuts)
        name = start.astimezone(UTC).strftime("%Y-%m")
        made.append(Pool(name, None, devices, hours, calendar, events, span, reaching))
    return made


def failures_by(events: Iterable[Event], of: str, count: Count) -> dict[str, int]:
    """Failures by a property (`component`, `mode`, `cause`, `device`) or by `codes`; `-` where it is not known."""
    found: dict[str, int] = {}
    for event in events:
        if event.kind not in COUNTED[count]:
            continue
        values = sorted(event.codes) if of == "codes" else [getattr(event, of)]
        for value in values or [None]:
            key = "-" if value is None else str(value)
            found[key] = found.get(key, 0) + 1
    return found
