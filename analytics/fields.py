"""Where the fields of a state are, and how rows of them are copied into contiguous arrays and back. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analytics.definitions import Floats, Ints

CHUNK = (
    2048  # devices worked on at a time: few calls a device, and what is taken stays in the processor's cache
)
HOT, PAGED, RARE = range(3)


@dataclass(frozen=True)
class Field:
    """One quantity kept per device and per combination of its axes (see `Definition.axis`).

    Attributes:
        start: what it is of a device that nothing is known of.
        rare: needed of few devices at a time.
        lasting: means the same in every version of its owner.
    """

    name: str
    axes: tuple[str, ...] = ()
    start: float = 0.0
    rare: bool = False
    lasting: bool = False


@dataclass(frozen=True)
class Place:
    """Where a field is: columns `first` … `end` of the store of its kind."""

    owner: str
    field: Field
    axes: tuple[tuple[str, ...], ...]
    kind: int  # HOT, PAGED or RARE
    first: int

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.axes)

    @cached_property
    def inner(self) -> tuple[int, ...]:
        """The shape of a page of a paged field, of any other the whole shape."""
        return self.shape[1:] if self.kind == PAGED else self.shape

    @cached_property
    def end(self) -> int:
        return self.first + math.prod(self.inner)


class Desk:
    """Where a step works: a copy of some rows of a store, and its fields as contiguous arrays of their own.

    Splitting is done by items: a device's share of a field is copied as one item, several times quicker than number
    by number. All arrays and views are made once, for `CHUNK` rows.
    """

    def __init__(self, width: int, singles: int, places: Sequence[Place]) -> None:
        self._rows = np.zeros((CHUNK, width))
        self._item = np.dtype(f"V{8 * max(width, 1)}")
        self._singles = np.zeros((singles, CHUNK))
        self._width = width
        self._fields: dict[str, dict[str, Floats]] = {}
        self._items: list[tuple[Any, Any]] = []  # of the rows, of the field
        for place in places:
            its, name, size = (
                self._fields.setdefault(place.owner, {}),
                place.field.name,
                place.end - place.first,
            )
            if place.first < singles:
                its[name] = self._singles[place.first]
                continue
            its[name] = np.zeros((CHUNK, *place.inner))
            if size:
                item = np.dtype(f"V{8 * size}")
                flat = its[name].reshape(CHUNK, size)
                rows = self._rows[:, place.first : place.end]
                self._items.append((rows.view(item)[:, 0], flat.view(item)[:, 0]))
        self._n = -1
        self._cut: dict[str, dict[str, Floats]] = {}
        self._cut_items: list[tuple[Any, Any]] = []

    def take(self, store: Floats, rows: Ints) -> dict[str, dict[str, Floats]]:
        """The fields of some rows of a store, by owner and name; they hold until the next time."""
        n = len(rows)
        self._size(n)
        if self._width:
            np.take(store, rows, axis=0, out=self._rows[:n], mode="clip")
            if len(self._singles):
                self._singles[:, :n] = self._rows[:n, : len(self._singles)].T
            for source, target in self._cut_items:
                target[:] = source
        return self._cut

    def put(self, store: Floats, rows: Ints) -> None:
        """Put the fields back."""
        n = len(rows)
        self._size(n)
        if self._width:
            if len(self._singles):
                self._rows[:n, : len(self._singles)] = self._singles[:, :n].T
            for target, source in self._cut_items:
                target[:] = source
            store.view(self._item)[:, 0].put(rows, self._rows[:n].view(self._item)[:, 0], mode="clip")

    def _size(self, n: int) -> None:
        if n > CHUNK:
            raise ValueError(f"At most {CHUNK} devices at a time, not {n}.")
        if n != self._n:
            self._n = n
            self._cut = {
                owner: {name: field[:n] for name, field in its.items()} for owner, its in self._fields.items()
            }
            self._cut_items = [(rows[:n], field[:n]) for rows, field in self._items]
