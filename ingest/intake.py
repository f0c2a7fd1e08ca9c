"""The first half of a write: arrivals become groups of rows, events and refusals. Knows the catalogue, writes nothing
but new shapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from ingest import payload, units
from ingest.catalogue import Catalogue, Layout, Route, key_of
from ingest.foresight import Foreseen, foresee
from ingest.message import Arrival, Bad, Fault, Item, Refused, Row, Spoilt, State, clean
from ingest.uniform import NO_SEQ, Part
from kit import logs
from kit.database import EPOCH, Conn
from kit.errors import Invalid

log = logs.get(__name__)
MICROSECOND = timedelta(microseconds=1)
DAY = 86_400_000_000  # µs
UNSET_BEFORE = 365 * DAY  # a clock that shows 1970 was never set
MAX_ITEM = 65_536


class Letter(NamedTuple):
    """A message for the dead letters."""

    arrival: Arrival
    uid: str | None
    payload: bytes
    reason: str
    detail: str


class Event(NamedTuple):
    """A fault code or an online state (`name` is the code or the reason); times in µs."""

    device_id: int
    ts: int
    name: str
    on: bool
    received: int


class Quarantined(NamedTuple):
    """A value for the quarantine; times in µs."""

    device_id: int
    ts: int
    bad: Bad
    received: int


@dataclass(eq=False, slots=True)
class Group:
    """Rows of one layout: whole parts, those that are sound already, and single rows as columns (`values` one row
    after the other)."""

    layout: Layout
    sound: list[Part] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    device: list[int] = field(default_factory=list)
    ts: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, device: int, ts: int, seq: int | None, received: int, values: dict[str, float]) -> None:
        """Append a row; the values are in the order of the layout."""
        self.device.append(device)
        self.ts.append(ts)
        self.seq.append(NO_SEQ if seq is None else seq)
        self.received.append(received)
        self.values.extend(values.values())


@dataclass(frozen=True)
class Bounds:
    """Event times that are believed, in µs since the epoch."""

    now: int
    oldest_days: float
    future_seconds: float

    @property
    def low(self) -> int:
        """The oldest time stamp that is accepted."""
        return max(UNSET_BEFORE, self.now - round(self.oldest_days * DAY))

    @property
    def high(self) -> int:
        """The newest time stamp that is accepted."""
        return self.now + round(self.future_seconds * 1e6)

    def refusal(self, ts: int) -> Refused:
        """Why `ts`, which lies outside, is refused."""
        shown, present = show(ts), show(self.now)
        if ts < UNSET_BEFORE:
            hint = " It looks like seconds: send milliseconds." if 1e9 <= ts / 1000 < 1e10 else ""
            return Refused("clock_not_set", f"ts is {shown}: a clock that was never set.{hint}")
        if ts < self.low:
            return Refused(
                "time_too_old", f"ts is {shown}; at most {self.oldest_days:g} days before {present}."
            )
        return Refused(
            "time_in_future", f"ts is {shown}; at most {self.future_seconds:g} s ahead of {present}."
        )


def show(ts: int) -> str:
    """A time in µs for people, whatever its size."""
    try:
        return (EPOCH + ts * MICROSECOND).isoformat()
    except (OverflowError, ValueError):
        return f"{ts // 1000} ms"


class Intake:
    """What one write takes in. After `take`: groups, faults, states, quarantined, letters; and `foreign`, what has to
    be translated before it can be taken."""

    def __init__(self, conn: Conn, catalogue: Catalogue, bounds: Bounds) -> None:
        self._conn, self._catalogue = conn, catalogue
        self._bounds, self._low, self._high = bounds, bounds.low, bounds.high
        self.groups: dict[Layout, Group] = {}
        self.faults: list[Event] = []
        self.states: list[Event] = []
        self.quarantined: list[Quarantined] = []
        self.letters: list[Letter] = []
        self.foreign: list[Arrival] = []

    def take(self, arrivals: Sequence[Arrival], foreseen: Sequence[Foreseen] = ()) -> None:
        """Decode all; whatever is wrong with one message stays with it. What was foreseen of the first arrivals is
        used if it still holds."""
        first = 0
        for piece in self._holding(foreseen):
            first += len(piece.arrivals)
            self._piece(piece)
        if first < len(arrivals):
            self._piece(foresee(self._catalogue, arrivals[first:]))

    def unrouted(self, arrivals: Sequence[Arrival], foreseen: Sequence[Foreseen]) -> list[Arrival]:
        """Those arrivals of which the catalogue may not know yet where they go."""
        holding = list(self._holding(foreseen))
        open_ = [
            arrival
            for piece in holding
            for arrival, route in zip(piece.new.arrivals, piece.new.routes, strict=True)
            if route is None
        ]
        return open_ + list(arrivals[sum(len(piece.arrivals) for piece in holding) :])

    def _holding(self, foreseen: Sequence[Foreseen]) -> Iterator[Foreseen]:
        """The first pieces, as long as nothing has changed since they were foreseen."""
        return takewhile(lambda piece: piece.epoch == self._catalogue.epoch, foreseen)

    def _piece(self, foreseen: Foreseen) -> None:
        again: list[Arrival] = []
        self._keep(foreseen)
        for arrival, route, received in zip(*foreseen.new, strict=True):
            known = self._catalogue.routes.get(key_of(arrival)) if route is None else route
            if known is None or known.usual is None:
                self._single(arrival, known, received)
            else:  # the first message of a device has told what the others are like
                again.append(arrival)
        if again:
            more = foresee(self._catalogue, again)
            self._keep(more)
            for arrival, route, received in zip(*more.new, strict=True):
                self._single(arrival, route, received)

    def _keep(self, foreseen: Foreseen) -> None:
        """What is decoded, and what turned out to be different."""
        for layout, pile, part, sound, first, last in foreseen.decoded:
            if first < self._low or last > self._high:
                believed = (part.ts >= self._low) & (part.ts <= self._high)
                for n in np.flatnonzero(~believed).tolist():
                    self._careful(pile.arrivals[n], pile.routes[n], pile.received[n])
                part = part.take(believed)
            group = self.group(layout)
            (group.sound if sound else group.parts).append(part)
        for pile in foreseen.odd:
            route = pile.routes[0]
            assert route is not None  # nothing is expected of the unknown
            route.surprise()
            self._single(pile.arrivals[0], route, pile.received[0])

    def _single(self, arrival: Arrival, route: Route | None, received: int) -> None:
        """One message on its own; when it is plain, the next from there are expected to be like it."""
        if route is not None and route.quick and (message := payload.quick(arrival.payload)) is not None:
            values, given = message.values, message.ts
            layout = route.layouts.get(tuple(values))
            ts = received if given is None else payload.micros(given)
            if layout is not None and self._low <= ts <= self._high:
                self.group(layout).add(route.device_id, ts, message.seq, received, values)
                route.expect(layout)
                return
        self._careful(arrival, route, received)

    def _careful(self, arrival: Arrival, route: Route | None, received: int) -> None:
        if route is None:
            if (arrival.topic, arrival.uid) in self._catalogue.translated:
                self.foreign.append(arrival)
                return
            refused, uid = self._catalogue.refused[arrival.topic, arrival.uid]
            self.refuse(arrival, refused.reason, refused.detail, uid=uid)
            return
        try:
            for item in route.codec(arrival.payload):
                self._item(arrival, route, item, received)
        except Refused as error:
            self.refuse(arrival, error.reason, error.detail, uid=route.uid)
        except Exception as error:  # a decoder's fault must not stop the stream
            log.error("decoder failed", topic=clean(arrival.topic), error=repr(error), exc_info=error)
            self.refuse(arrival, "decoder_error", clean(repr(error)), uid=route.uid)

    def refuse(self, arrival: Arrival, reason: str, detail: str, *, uid: str | None = None) -> None:
        """Send a whole message to the dead letters."""
        self.letters.append(Letter(arrival, uid or arrival.uid, arrival.payload, reason, detail))

    def _item(self, arrival: Arrival, route: Route, item: Item, received: int) -> None:
        if isinstance(item, Spoilt):
            self.letters.append(Letter(arrival, route.uid, item.payload, item.reason, item.detail))
            return
        ts = received if item.ts is None else item.ts
        if not self._low <= ts <= self._high:
            error = self._bounds.refusal(ts)
            self.letters.append(Letter(arrival, route.uid, again(item, arrival), error.reason, error.detail))
        elif isinstance(item, Row):
            self._row(route, ts, item, received)
        elif isinstance(item, State):
            self.states.append(Event(route.device_id, ts, item.reason, item.online, received))
        elif item.code in route.model.fault_codes:
            self.faults.append(Event(route.device_id, ts, item.code, item.active, received))
        else:
            detail = f"{route.model.code} has no fault code {item.code!r}."
            value = "active" if item.active else "cleared"
            bad = Bad(item.code, value, "unknown_fault_code", clean(detail))
            self.quarantined.append(Quarantined(route.device_id, ts, bad, received))

    def _row(self, route: Route, ts: int, row: Row, received: int) -> None:
        for bad in row.bad:
            self.quarantined.append(Quarantined(route.device_id, ts, bad, received))
        known = {name: value for name, value in row.values.items() if name in route.model.metrics}
        for name in row.values.keys() - known.keys():
            detail = f"{route.model.code} has no metric {name!r}."
            bad = Bad(name, f"{row.values[name]:g}", "unknown_metric", detail)
            self.quarantined.append(Quarantined(route.device_id, ts, bad, received))
        if row.units:
            known = self._in_units(route, ts, row, known, received)
        if known:
            layout = self._catalogue.layout(self._conn, route.model, tuple(known))
            self.group(layout).add(route.device_id, ts, row.seq, received, known)

    def _in_units(
        self, route: Route, ts: int, row: Row, known: dict[str, float], received: int
    ) -> dict[str, float]:
        """The values in the units of the model; those that measure something else go to the quarantine."""
        converted = dict(known)
        for name in known.keys() & row.units.keys():
            try:
                factor, offset = units.conversion(row.units[name], route.model.metrics[name].unit)
                converted[name] = known[name] * factor + offset
            except Invalid as error:
                bad = Bad(name, f"{converted.pop(name):g} {row.units[name]}", "wrong_unit", error.message)
                self.quarantined.append(Quarantined(route.device_id, ts, bad, received))
        return converted

    def group(self, layout: Layout) -> Group:
        """The rows so far of a layout."""
        return self.groups.get(layout) or self.groups.setdefault(layout, Group(layout))


def again(item: Row | Fault | State, arrival: Arrival) -> bytes:
    """The item alone, as a message that can be replayed; the arrival's own bytes when it was alone in it."""
    if isinstance(item, Row) and item.alone is not None:
        return item.alone()
    if arrival.payload.lstrip()[:1] != b"[":
        return arrival.payload
    ts = None if item.ts is None else item.ts // 1000
    body: dict[str, object] = {"ts": ts}
    if isinstance(item, Row):
        body |= {"seq": item.seq, "values": item.values, "units": item.units}
    elif isinstance(item, State):
        body |= {"online": item.online, "reason": item.reason}
    else:
        body |= {"code": item.code, "active": item.active}
    return json.dumps(body).encode()


def micros_of(at: datetime) -> int:
    """An aware time in µs since the Unix epoch."""
    return (at - EPOCH) // MICROSECOND
