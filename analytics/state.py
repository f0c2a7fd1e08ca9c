"""State of streaming models: one row of float64 per device, in named fields over named axes. Pure.

All state of a device is one contiguous row, so that saving and restoring it is a copy of bytes, and a state
that was saved under an older device type can be laid out anew by the names of its axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.definitions import Definition, Floats
from kit.errors import Invalid


@dataclass(frozen=True)
class Field:
    """One quantity kept per device and per combination of its axes (see `Definition.axis`)."""

    name: str
    axes: tuple[str, ...] = ()
    start: float = 0.0


class Arrays:
    """The fields of one model component for a growing number of devices (slots)."""

    def __init__(self, owner: str, definition: Definition, fields: Sequence[Field]) -> None:
        self.owner, self.fields = owner, tuple(fields)
        self._axes = {axis: definition.axis(axis) for field in fields for axis in field.axes}
        self._shapes = [tuple(len(self._axes[axis]) for axis in field.axes) for field in fields]
        self.width = sum(math.prod(shape) for shape in self._shapes)
        self._fresh = np.concatenate(
            [np.full(math.prod(shape), field.start) for field, shape in zip(fields, self._shapes, strict=True)]
        )
        self._rows: Floats = np.empty((0, self.width))
        self._views: dict[str, Floats] = {}
        self.grow(1)

    def grow(self, slots: int) -> None:
        """Have room for at least so many slots."""
        if slots <= len(self._rows):
            return
        rows = np.tile(self._fresh, (max(slots, 2 * len(self._rows)), 1))
        rows[: len(self._rows)] = self._rows
        self._rows, at = rows, 0
        for field, shape in zip(self.fields, self._shapes, strict=True):
            end = at + math.prod(shape)
            self._views[field.name] = rows[:, at:end].reshape(len(rows), *shape)
            at = end

    def __getitem__(self, field: str) -> Floats:
        """[slot, *axes], writable; valid until the next `grow`."""
        return self._views[field]

    @property
    def layout(self) -> list[dict[str, Any]]:
        """Names and labels of everything in a saved row, in its order; JSON."""
        return [
            {"field": f"{self.owner}.{field.name}", "axes": [list(self._axes[axis]) for axis in field.axes]}
            for field in self.fields
        ]

    def dump(self, slot: int) -> bytes:
        """The row of a slot, little endian."""
        return self._rows[slot].astype("<f8").tobytes()

    def clear(self, slot: int) -> None:
        """Make the slot as new."""
        self._rows[slot] = self._fresh

    def load(self, slot: int, data: bytes, layout: list[dict[str, Any]] | None = None) -> None:
        """Take over a row that was saved under `layout` (default: this one); what it lacks stays as new.

        Raises:
            Invalid: the data is not as long as its layout says.
        """
        saved = np.frombuffer(data, "<f8")
        if layout is None or layout == self.layout:
            if len(saved) != self.width:
                raise Invalid(f"{self.owner}: a state of {len(saved)} numbers; {self.width} are right.")
            self._rows[slot] = saved
            return
        self.clear(slot)
        for name, axes, values in _split(saved, layout):
            self._take(slot, name, axes, values)

    def _take(self, slot: int, name: str, axes: list[list[str]], values: Floats) -> None:
        for field in self.fields:
            if name != f"{self.owner}.{field.name}" or len(axes) != len(field.axes):
                continue
            ours = [list(self._axes[axis]) for axis in field.axes]
            common = [[label for label in mine if label in theirs] for mine, theirs in zip(ours, axes, strict=True)]
            into = np.ix_(*[[mine.index(x) for x in both] for mine, both in zip(ours, common, strict=True)])
            source = np.ix_(*[[old.index(x) for x in both] for old, both in zip(axes, common, strict=True)])
            self._views[field.name][slot, ...][into] = values[source]


def _split(saved: Floats, layout: list[dict[str, Any]]) -> list[tuple[str, list[list[str]], Floats]]:
    parts, at = [], 0
    for entry in layout:
        shape = tuple(len(labels) for labels in entry["axes"])
        end = at + math.prod(shape)
        parts.append((entry["field"], entry["axes"], saved[at:end].reshape(shape)))
        at = end
    if at != len(saved):
        raise Invalid(f"A saved state of {len(saved)} numbers; its layout has {at}.")
    return parts
