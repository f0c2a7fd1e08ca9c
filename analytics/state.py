"""State of streaming models: one row of float64 per device, in named fields over named axes. Pure.

All state of a device is one contiguous row, so that saving and restoring it is a copy of bytes, and a state
that was saved under an older device type can be laid out anew by the names of its axes. For a step the rows of
the devices at hand are gathered field by field (contiguous arrays), worked on in place, and put back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.definitions import Definition, Floats, Ints
from kit.errors import Invalid

Rows = dict[str, Floats]
"""Fields of one owner for some devices: name → [device, *axes], writable."""
Layout = list[dict[str, Any]]


@dataclass(frozen=True)
class Field:
    """One quantity kept per device and per combination of its axes (see `Definition.axis`)."""

    name: str
    axes: tuple[str, ...] = ()
    start: float = 0.0


@dataclass(frozen=True)
class _Place:
    owner: str
    field: Field
    axes: tuple[tuple[str, ...], ...]
    first: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.axes)

    @property
    def end(self) -> int:
        return self.first + math.prod(self.shape)


class State:
    """The fields of several owners (baseline, detectors) for a growing number of devices (slots)."""

    def __init__(self, definition: Definition, owners: Mapping[str, Sequence[Field]]) -> None:
        self._places: list[_Place] = []
        at = 0
        for owner, fields in owners.items():
            for field in fields:
                axes = tuple(definition.axis(axis) for axis in field.axes)
                self._places.append(_Place(owner, field, axes, at))
                at = self._places[-1].end
        self.width = at
        self._fresh = np.empty(at)
        for place in self._places:
            self._fresh[place.first : place.end] = place.field.start
        self._rows: Floats = np.tile(self._fresh, (1, 1))

    def grow(self, slots: int) -> None:
        """Have room for at least so many slots."""
        if slots > len(self._rows):
            rows = np.tile(self._fresh, (max(slots, 2 * len(self._rows)), 1))
            rows[: len(self._rows)] = self._rows
            self._rows = rows

    def gather(self, slots: Ints) -> dict[str, Rows]:
        """Copies of the fields of some devices, by owner, to be worked on in place."""
        rows = self._rows[slots]
        work: dict[str, Rows] = {}
        for place in self._places:
            values = np.ascontiguousarray(rows[:, place.first : place.end])
            work.setdefault(place.owner, {})[place.field.name] = values.reshape(len(slots), *place.shape)
        return work

    def scatter(self, slots: Ints, work: dict[str, Rows]) -> None:
        """Put back what `gather` gave."""
        rows = np.empty((len(slots), self.width))
        for place in self._places:
            rows[:, place.first : place.end] = work[place.owner][place.field.name].reshape(len(slots), -1)
        self._rows[slots] = rows

    def read(self, owner: str, field: str, slots: int) -> Floats:
        """One field of the first so many slots: [slot, *axes]; read only."""
        place = next(p for p in self._places if p.owner == owner and p.field.name == field)
        return self._rows[:slots, place.first : place.end].reshape(slots, *place.shape)

    def newest(self, owner: str, field: str, slots: Ints) -> Floats:
        """One field without axes of some slots: [slot]."""
        place = next(p for p in self._places if p.owner == owner and p.field.name == field)
        found: Floats = self._rows[slots, place.first]
        return found

    @property
    def layout(self) -> Layout:
        """Names and labels of everything in a saved row, in its order; JSON."""
        return [
            {"field": f"{place.owner}.{place.field.name}", "axes": [list(labels) for labels in place.axes]}
            for place in self._places
        ]

    def dump(self, slot: int) -> bytes:
        """The row of a slot, little endian."""
        return bytes(self._rows[slot].astype("<f8").data)

    def load(self, slot: int, data: bytes, layout: Layout | None = None) -> None:
        """Take over a row that was saved under `layout` (default: this one); what it lacks stays as new.

        Raises:
            Invalid: the data is not as long as its layout says.
        """
        saved = np.frombuffer(data, "<f8")
        if layout is None or layout == self.layout:
            if len(saved) != self.width:
                raise Invalid(f"A saved state of {len(saved)} numbers; {self.width} are right.")
            self._rows[slot] = saved
            return
        self._rows[slot] = self._fresh
        for name, axes, values in _split(saved, layout):
            self._take(slot, name, axes, values)

    def _take(self, slot: int, name: str, axes: list[list[str]], values: Floats) -> None:
        for place in self._places:
            if name != f"{place.owner}.{place.field.name}" or len(axes) != len(place.axes):
                continue
            target = self._rows[slot, place.first : place.end].reshape(place.shape)
            if not axes:
                target[...] = values
                continue
            both = [[x for x in mine if x in theirs] for mine, theirs in zip(place.axes, axes, strict=True)]
            into = np.ix_(*[[mine.index(x) for x in b] for mine, b in zip(place.axes, both, strict=True)])
            source = np.ix_(*[[old.index(x) for x in b] for old, b in zip(axes, both, strict=True)])
            target[into] = values[source]


def _split(saved: Floats, layout: Layout) -> list[tuple[str, list[list[str]], Floats]]:
    parts, at = [], 0
    for entry in layout:
        shape = tuple(len(labels) for labels in entry["axes"])
        end = at + math.prod(shape)
        if end > len(saved):
            break
        parts.append((entry["field"], entry["axes"], saved[at:end].reshape(shape)))
        at = end
    if at != len(saved) or len(parts) != len(layout):
        raise Invalid(f"A saved state of {len(saved)} numbers is not as long as its layout says.")
    return parts
