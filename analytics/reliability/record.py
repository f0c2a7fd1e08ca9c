"""The stored history as the statistics take it. Ages are operating hours of the whole device since it was new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from analytics.reliability.terms import COUNTED, Count, Kind

By = Literal["model", "component", "failure_mode", "fault_code", "site", "customer", "device", "period"]
ITEMS: tuple[By, ...] = ("component", "failure_mode", "fault_code")
"""Groups of parts of a model; their keys are `model/name`. The others are groups of devices, or months."""


@dataclass(frozen=True)
class Unit:
    """A device in service.

    Attributes:
        age_from, age_to: its age at the beginning and the end of the time it was watched in the period.
        watched: that time; None when it never reported.
        new: it was watched since it was new, so that its first components' ages are known.
    """

    id: int
    uid: str
    model: str
    site: str
    customer: str
    age_from: float
    age_to: float
    watched: tuple[datetime, datetime] | None
    new: bool

    @property
    def hours(self) -> float:
        """Operating hours in the period."""
        return max(self.age_to - self.age_from, 0.0)


@dataclass(frozen=True)
class Event:
    """Something that happened to a device.

    Attributes:
        kind: see `terms`; `replaced`: a component was exchanged without having failed.
        at, ended: when the fault began (or the work, for what was planned), and when the work was done.
        age, age_after: the device's age at both.
        renews: a new life of the component begins at `ended`.
        codes: fault codes of its failure mode that the device raised around it.
        repair_hours: hands on the machine, without pauses; None when not known.
        stop: while the machine could not run because of it; None when it could.
        visible: whether the reader may see the order itself.
    """

    device: int
    kind: Kind | Literal["replaced"]
    component: str | None
    mode: str | None
    cause: str | None
    codes: frozenset[str]
    at: datetime
    ended: datetime
    age: float
    age_after: float
    renews: bool
    repair_hours: float | None
    stop: tuple[datetime, datetime] | None
    order_id: int
    number: str
    visible: bool = True

    def is_failure(self, count: Count) -> bool:
        """Whether it counts as one."""
        return self.kind in COUNTED[count]


@dataclass(frozen=True)
class Catalog:
    """What can fail: `(model, mode)` → component, `(model, code)` → mode (None: the code names none)."""

    modes: Mapping[tuple[str, str], str]
    codes: Mapping[tuple[str, str], str | None]

    def items(self, by: By) -> list[tuple[str, str]]:
        """All (model, name) of a kind of item."""
        if by == "component":
            return sorted({(model, component) for (model, _), component in self.modes.items()})
        return sorted(self.modes if by == "failure_mode" else self.codes)


@dataclass(frozen=True)
class Record:
    """A population and what happened to it before `until`; the statistics are about [since, until).

    Attributes:
        events: also those before `since`, which say how old a component was then.
    """

    since: datetime
    until: datetime
    units: Sequence[Unit]
    events: Sequence[Event]
    catalog: Catalog

    def inside(self) -> list[Event]:
        """The events of the period."""
        return [event for event in self.events if self.since <= event.at < self.until]


def matches(event: Event, by: By, name: str) -> bool:
    """Whether an event belongs to an item of its device's model."""
    if by == "component":
        return event.component == name
    return event.mode == name if by == "failure_mode" else name in event.codes
