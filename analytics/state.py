"""State of streaming models: named float64 fields over named axes, for a growing number of devices. Pure.

Built for speed in batches of a thousand rows, where copying is what costs:

* what every row needs of a device is one row of numbers, so that a step fetches it from memory in one go, and
  splits it into contiguous fields in the processor's cache;
* a field over the axis `regime` is *paged*: a step takes the page of the regime that a row is in;
* a `rare` field (what an alarm needs) is not taken at all: who needs it asks for the few devices at hand.

A saved state is one row of numbers with a layout that names its fields and axes, so that a state that was saved
under an older device type can be laid out anew by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.definitions import REGIMES, Definition, Floats, Ints
from analytics.fields import HOT, PAGED, RARE, Desk, Field, Place
from kit.errors import Invalid

Layout = list[dict[str, Any]]


class Rows:
    """Fields of one owner for the devices of a frame; row r is the device at position r.

    `rows["name"]` is [n, *axes], to be changed in place; paged and rare fields have their own verbs.
    """

    def __init__(
        self, slots: Ints, fields: dict[str, Floats], places: Mapping[str, Place], stores: _Stores
    ) -> None:
        self._slots, self._fields, self._places, self._stores = slots, fields, places, stores

    def __getitem__(self, name: str) -> Floats:
        return self._fields[name]

    def __len__(self) -> int:
        return len(self._slots)

    def first(self, n: int) -> Rows:
        """The same of the first n devices."""
        if n == len(self._slots):
            return self
        fields = {name: field[:n] for name, field in self._fields.items()}
        return Rows(self._slots[:n], fields, self._places, self._stores)

    def page(self, page: Ints) -> dict[str, Floats]:
        """One page of the paged fields for each device: name → [n, *other axes], to be changed in place, until the
        next time. `page` is [n]."""
        store = self._stores.paged
        rows = self._slots * store.shape[1] + page
        by_owner = self._stores.page_desk.take(store.reshape(-1, store.shape[2]), rows)
        return {name: field for fields in by_owner.values() for name, field in fields.items()}

    def put_page(self, page: Ints) -> None:
        """Put back what `page` gave."""
        store = self._stores.paged
        self._stores.page_desk.put(store.reshape(-1, store.shape[2]), self._slots * store.shape[1] + page)

    def pages(self, name: str, at: int) -> Floats:
        """All pages of the device at a position: [regime, *other axes], to be changed in place."""
        place = self._places[name]
        found: Floats = self._stores.paged[self._slots[at], :, place.first : place.end]
        return found.reshape(place.shape) if place.inner else found[:, 0]

    def some(self, name: str, at: Ints) -> Floats:
        """A copy of one rare field of the devices at some positions: [k, *axes]."""
        place = self._places[name]
        found: Floats = self._stores.rare[self._slots[at], place.first : place.end]
        return found.reshape(len(at), *place.shape)

    def rare(self, at: Ints | Sequence[int]) -> dict[str, Floats]:
        """Copies of the rare fields of the devices at some positions: name → [k, *axes]."""
        rows = self._stores.rare[self._slots[at]]
        return {
            place.field.name: rows[:, place.first : place.end].reshape(len(rows), *place.shape)
            for place in self._places.values()
            if place.kind == RARE
        }

    def put_rare(self, at: Ints | Sequence[int], rare: Mapping[str, Floats]) -> None:
        """Put back what `rare` or `some` gave."""
        slots = self._slots[at]
        for name, values in rare.items():
            place = self._places[name]
            self._stores.rare[slots, place.first : place.end] = values.reshape(
                len(slots), place.end - place.first
            )


Work = dict[str, Rows]
"""What a step works on: the fields of each owner."""


@dataclass
class _Stores:
    """[slot, column], paged: [slot, regime, column]."""

    hot: Floats
    paged: Floats
    rare: Floats
    hot_desk: Desk
    page_desk: Desk

    def of(self, place: Place, slots: Ints | slice) -> Floats:
        """A field of some slots: [slot, *axes]."""
        store = (self.hot, self.paged, self.rare)[place.kind][slots]
        return store[..., place.first : place.end].reshape(len(store), *place.shape)

    def put(self, place: Place, slot: int, values: Floats | float) -> None:
        """Set a field of one slot."""
        store = (self.hot, self.paged, self.rare)[place.kind][slot, ..., place.first : place.end]
        store[...] = values if np.ndim(values) == 0 else np.reshape(values, store.shape)


class State:
    """The fields of several owners (baseline, detectors) for a growing number of devices (slots)."""

    def __init__(
        self,
        definition: Definition,
        owners: Mapping[str, Sequence[Field]],
        versions: Mapping[str, int] | None = None,
    ) -> None:
        """`versions` of the owners, default 1: what an owner of another version saved is not taken for its own,
        except of fields that are `lasting`."""
        self._places: list[Place] = []
        # Hot fields without axes come first: they are split off together.
        self._singles = sum(not f.axes and not f.rare for fields in owners.values() for f in fields)
        widths, singles = [self._singles, 0, 0], 0
        for owner, fields in owners.items():
            for field in fields:
                axes = tuple(definition.axis(axis) for axis in field.axes)
                kind = RARE if field.rare else PAGED if field.axes[:1] == ("regime",) else HOT
                single = kind == HOT and not axes
                place = Place(owner, field, axes, kind, singles if single else widths[kind])
                self._places.append(place)
                if single:
                    singles += 1
                else:
                    widths[kind] = place.end
        self._room = 0
        self._stores = _Stores(
            np.empty((0, widths[HOT])),
            np.empty((0, REGIMES, widths[PAGED])),
            np.empty((0, widths[RARE])),
            Desk(widths[HOT], self._singles, [place for place in self._places if place.kind == HOT]),
            Desk(widths[PAGED], 0, [place for place in self._places if place.kind == PAGED]),
        )
        self._by_owner = {
            owner: {place.field.name: place for place in self._places if place.owner == owner}
            for owner in owners
        }
        self.layout: Layout = [
            {
                "field": _named(place, versions or {}),
                "axes": [list(labels) for labels in place.axes],
            }
            for place in self._places
        ]
        self.width = sum(math.prod(place.shape) for place in self._places)

    def grow(self, slots: int) -> None:
        """Have room for at least so many slots."""
        if slots <= self._room:
            return
        before, self._room = self._room, max(slots, 2 * self._room)
        for name in ("hot", "paged", "rare"):
            old = getattr(self._stores, name)
            store = np.empty((self._room, *old.shape[1:]))
            store[:before] = old
            setattr(self._stores, name, store)
        for place in self._places:
            store = getattr(self._stores, ("hot", "paged", "rare")[place.kind])
            store[before:, ..., place.first : place.end] = place.field.start

    def gather(self, slots: Ints) -> Work:
        """The fields of some devices (each once, at most `CHUNK`), to be worked on until the next time; those that
        are not rare or paged are copies, which `scatter` puts back."""
        fields = self._stores.hot_desk.take(self._stores.hot, slots)
        return {
            owner: Rows(slots, fields.get(owner, {}), places, self._stores)
            for owner, places in self._by_owner.items()
        }

    def scatter(self, slots: Ints) -> None:
        """Put back what `gather` gave."""
        self._stores.hot_desk.put(self._stores.hot, slots)

    def read(self, owner: str, field: str, slots: int) -> Floats:
        """One field of the first so many slots: [slot, *axes]; read only."""
        return self._stores.of(self._place(owner, field), slice(slots))

    def some(self, owner: str, field: str, slots: Ints) -> Floats:
        """One field without axes of some slots: [slot]."""
        found: Floats = self._stores.hot[:, self._place(owner, field).first][slots]
        return found

    def _place(self, owner: str, field: str) -> Place:
        return self._by_owner[owner][field]

    def dump(self, slots: Ints) -> list[bytes]:
        """The saved rows of some slots, little endian."""
        parts = [
            self._stores.of(place, slots).reshape(len(slots), math.prod(place.shape))
            for place in self._places
        ]
        return [row.tobytes() for row in np.concatenate(parts, axis=1).astype("<f8")]

    def load(self, slot: int, data: bytes, layout: Layout | None = None) -> None:
        """Take over a row that was saved under `layout` (default: this one); what it lacks stays as new.

        Raises:
            Invalid: the data is not as long as its layout says, or holds what is no finite number.
        """
        layout = self.layout if layout is None else layout
        saved = saved_fields(data, layout)
        for place, mine in zip(self._places, self.layout, strict=True):
            axes, values = saved.get(mine["field"], (mine["axes"], None))
            if values is None or len(axes) != len(mine["axes"]):
                values = np.full(place.shape, place.field.start)
            elif axes != mine["axes"]:
                values = _moved(values, axes, mine["axes"], place.field.start)
            self._stores.put(place, slot, values)


def _moved(values: Floats, old: list[list[str]], new: list[list[str]], start: float) -> Floats:
    """Values over some axes laid out over other ones, label by label."""
    found = np.full([len(labels) for labels in new], start)
    both = [[label for label in mine if label in its] for mine, its in zip(new, old, strict=True)]
    into = np.ix_(*[[mine.index(x) for x in b] for mine, b in zip(new, both, strict=True)])
    source = np.ix_(*[[its.index(x) for x in b] for its, b in zip(old, both, strict=True)])
    found[into] = values[source]
    return found


Saved = dict[str, tuple[list[list[str]], Floats]]
"""`owner.field` → the labels of its axes, and its values."""


def _named(place: Place, versions: Mapping[str, int]) -> str:
    version = 1 if place.field.lasting else versions.get(place.owner, 1)
    return f"{place.owner}{'' if version == 1 else f'@{version}'}.{place.field.name}"


def saved_fields(data: bytes, layout: Layout) -> Saved:
    """A saved row by field.

    Raises:
        Invalid: the data is not as long as its layout says, or holds what is no finite number.
    """
    row = np.frombuffer(data[: len(data) // 8 * 8], "<f8")
    found: Saved = {}
    at = 0
    for entry in layout:
        shape = tuple(len(labels) for labels in entry["axes"])
        end = at + math.prod(shape)
        if end > len(row):
            break
        found[entry["field"]] = entry["axes"], row[at:end].reshape(shape)
        at = end
    if 8 * at != len(data) or len(found) != len(layout):
        raise Invalid(f"A saved state of {len(data) / 8:g} numbers is not as long as its layout says.")
    if not np.isfinite(row).all():
        raise Invalid("A saved state holds what is no finite number.")
    return found
