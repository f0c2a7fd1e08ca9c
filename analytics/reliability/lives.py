"""Lives of components in operating hours, as a period shows them.

A life begins when the component was renewed, or with the device. It ends

    failed      by a failure that counts,
    suspended   by a replacement or a failure that does not count (another mode, or a breakdown prevented when only
                breakdowns are asked for), because then a new life begins,
    running     with the period: right-censored.

Left truncation. A component that was already running when the watching began is at risk from its age at that moment
on (`entry`); the hours before count neither for nor against it, because those that failed in them are not in the
record. The age of a component that no record shows to have been replaced is that of its device (original equipment);
`origin="observed"` leaves such lives out unless the device was watched since it was new.

After a repair that renewed nothing the same life goes on. A fault that began before the last renewal belongs to the
life that this renewal ended; it begins no new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from analytics.reliability.record import ITEMS, By, Event, Record, Unit, matches
from analytics.reliability.terms import Count
from kit.errors import NotFound

Origin = Literal["original", "observed"]
RESOLUTION: Final = 0.1
"""Hours: a counter's step. Shorter lives are no lives; a failure at once has lived so long."""


@dataclass(frozen=True)
class Life:
    """One life: ages of the component when the watching began (`entry`) and ended (`end`)."""

    device: int
    uid: str
    component: str
    entry: float
    end: float
    how: Literal["failed", "suspended", "running"]
    order_id: int | None

    @property
    def failed(self) -> bool:
        """Whether it ended in a failure that counts."""
        return self.how == "failed"


@dataclass(frozen=True)
class Item:
    """A part of a model, or of all models when `model` is None."""

    by: By
    model: str | None
    name: str
    component: str


def item(record: Record, by: By, key: str) -> Item:
    """The item of a key (`model/name`).

    Raises:
        NotFound: no model has it.
    """
    model, _, name = key.partition("/")
    if by in ITEMS and (model, name) in record.catalog.items(by):
        mode = record.catalog.codes.get((model, name)) if by == "fault_code" else name
        component = name if by == "component" else record.catalog.modes.get((model, mode or ""), "")
        return Item(by, model, name, component)
    raise NotFound(
        f"There is no {by.replace('_', ' ')} {key!r}; a key is model/name, e.g. pump-p100/bearing."
    )


def lives(record: Record, of: Item, count: Count, origin: Origin = "original") -> list[Life]:
    """All lives of an item that the period shows, by device, oldest first."""
    return lives_of(record, [of], count, origin)[0]


def lives_of(
    record: Record, items: Sequence[Item], count: Count, origin: Origin = "original"
) -> list[list[Life]]:
    """The same of many items."""
    happened: dict[str | None, dict[int, list[Event]]] = {}
    for event in sorted(record.events, key=lambda each: (each.at, each.order_id)):
        if event.is_failure("all") or event.kind == "replaced":
            happened.setdefault(event.component, {}).setdefault(event.device, []).append(event)
    units: dict[str | None, list[Unit]] = {None: [unit for unit in record.units if unit.watched is not None]}
    for unit in units[None]:
        units.setdefault(unit.model, []).append(unit)
    found: list[list[Life]] = []
    for of in items:
        events = happened.get(of.component, {})
        fails = partial(_fails, of, count)
        found.append([
            life
            for unit in units.get(of.model, ())
            for life in _of_unit(record, unit, of.component, events.get(unit.id, ()), fails, origin)
        ])  # fmt: skip
    return found


def _fails(of: Item, count: Count, event: Event) -> bool:
    return event.is_failure(count) and matches(event, of.by, of.name)


def _of_unit(
    record: Record, unit: Unit, component: str, events: Sequence[Event],
    fails: Callable[[Event], bool], origin: Origin,
) -> list[Life]:  # fmt: skip
    found: list[Life] = []
    birth, known = 0.0, unit.new  # the device's age when this component was new; whether that is on record
    since = unit.age_from  # … from which this life is watched

    def end(age: float, how: Literal["failed", "suspended", "running"], order_id: int | None) -> None:
        entry, reached = max(since - birth, 0.0), age - birth
        if how == "failed":
            reached = max(reached, entry + RESOLUTION)
        if reached - entry >= RESOLUTION * 0.999 and (known or origin == "original"):
            found.append(Life(unit.id, unit.uid, component, entry, reached, how, order_id))

    renewed_at = None
    for event in events:
        if renewed_at is not None and event.at < renewed_at:
            continue
        if event.at >= record.since:
            end(event.age, "failed" if fails(event) else "suspended", event.order_id)
        if event.renews:
            birth, known, renewed_at = event.age_after, True, event.ended
        since = max(since, event.age_after)
    end(unit.age_to, "running", None)
    return found
