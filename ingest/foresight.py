"""Sorting and decoding a batch as far as memory alone allows: no database, so it can be done while the one before is
being written. What cannot be told without a closer look is left for `intake`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from ingest.catalogue import Catalogue, Layout, Route, key_of
from ingest.message import Arrival
from ingest.payload import micros
from ingest.sound import sound
from ingest.uniform import Part

_stamp, _payload = attrgetter("received_at"), attrgetter("payload")


class Pile(NamedTuple):
    """Messages with their routes (None: not known yet) and times of arrival in µs: parallel lists."""

    arrivals: Sequence[Arrival]
    routes: Sequence[Route | None]
    received: Sequence[int]

    def take(self, at: Sequence[int]) -> Pile:
        """Some of them."""
        arrivals, routes, received = self
        return Pile([arrivals[n] for n in at], [routes[n] for n in at], [received[n] for n in at])


class Decoded(NamedTuple):
    """Messages that are alike, and what they say.

    Attributes:
        sound: the part has been through `ingest.sound`, and no row was left out.
        first, last: the oldest and the newest time, µs.
    """

    layout: Layout
    pile: Pile
    part: Part
    sound: bool
    first: int
    last: int


class Foreseen(NamedTuple):
    """What a look at a batch has shown.

    Attributes:
        epoch: of the catalogue; in another one this is worth nothing.
        odd: messages that are not what is usual for their device.
        new: messages of which nothing is known, or that are never decoded together.
    """

    arrivals: Sequence[Arrival]
    epoch: int
    decoded: list[Decoded]
    odd: list[Pile]
    new: Pile

    @property
    def plain(self) -> bool:
        """Everything is decoded."""
        return not self.odd and not self.new.arrivals


def foresee(catalogue: Catalogue, arrivals: Sequence[Arrival]) -> Foreseen:
    """Sort messages by what they probably look like, and decode those that do. Needs no lock: a catalogue that is
    forgotten meanwhile has another epoch."""
    epoch = catalogue.epoch
    routes = list(map(catalogue.routes.get, map(key_of, arrivals)))
    stamps = list(map(_stamp, arrivals))  # a door stamps many messages with one object
    us = {stamp: micros(stamp) for stamp in set(stamps)}
    whole = Pile(arrivals, routes, [us[stamp] for stamp in stamps])
    usual = [route.usual if route is not None else None for route in routes]
    found = Foreseen(arrivals, epoch, [], [], whole.take([n for n, each in enumerate(usual) if each is None]))
    for layout in dict.fromkeys(usual):
        if layout is not None:
            alike = usual.count(layout) == len(usual)
            pile = whole if alike else whole.take([n for n, each in enumerate(usual) if each is layout])
            _together(found, layout, pile)
    return found


def _together(found: Foreseen, layout: Layout, pile: Pile) -> None:
    """Messages that should all have the same metrics; the one that has not is found by halving."""
    payloads = list(map(_payload, pile.arrivals))
    devices = [route.device_id for route in pile.routes if route is not None]
    part = layout.decoder(payloads, devices, pile.received)
    if part is not None:
        checked, outliers = sound(layout, part)
        first, last = int(part.ts.min()), int(part.ts.max())
        found.decoded.append(Decoded(layout, pile, part if outliers else checked, not outliers, first, last))
    elif len(payloads) == 1:
        found.odd.append(pile)
    else:
        middle = len(payloads) // 2
        _together(found, layout, pile.take(range(middle)))
        _together(found, layout, pile.take(range(middle, len(payloads))))
