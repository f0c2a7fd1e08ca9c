"""Alarms as a stream that people must bear, in the terms of ISA-18.2: rate, chattering, fleeting, stale, bad actors.
Pure.

The standard counts an operator's screen in minutes. A service desk lives in hours and days, so the times here are
wider and can be changed; the meaning is the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.honesty.scores import Raise


@dataclass(frozen=True)
class Terms:
    """When an alarm has which name."""

    chatter: timedelta = timedelta(hours=24)  # raised again so soon after it cleared: chattering
    fleeting: timedelta = timedelta(
        hours=1
    )  # cleared so soon after it was raised, without an order: fleeting
    stale: timedelta = timedelta(days=7)  # open for longer: stale
    flood: int = 10  # so many raises …
    flood_window: timedelta = timedelta(minutes=10)  # … within this time: a flood
    actors: int = 10  # how many bad actors are named


@dataclass(frozen=True)
class Actor:
    """A device and rule with many alarms, and its share of all of them."""

    device_id: int
    rule: str
    failure_mode: str
    raises: int
    share: float
    chattering: int


@dataclass(frozen=True)
class Load:
    """Alarms of a period.

    Attributes:
        per_device_day, per_day: mean rate.
        chattering, fleeting, stale: raises that are so (see `Terms`).
        floods: times at which a flood begins.
        bad_actors: the most frequent first.
    """

    raises: int
    per_device_day: float
    per_day: float
    chattering: int
    fleeting: int
    stale: int
    floods: list[datetime]
    bad_actors: list[Actor]


def load(
    raises: Sequence[Raise], start: datetime, end: datetime, devices: int, terms: Terms | None = None
) -> Load:
    """Of the raises of a period in which so many devices were watched; an empty population has rate 0."""
    terms = terms or Terms()
    inside = sorted(
        (one for one in raises if start <= one.raised_at < end and one.verdict != "information"),
        key=lambda one: one.raised_at,
    )
    chattering = _chattering(inside, terms)
    days = max((end - start) / timedelta(days=1), 1e-9)
    return Load(
        len(inside),
        len(inside) / days / devices if devices else 0.0,
        len(inside) / days,
        sum(chattering.values()),
        sum(
            one.order_id is None and one.cleared_at is not None and one.cleared_at - one.raised_at < terms.fleeting
            for one in inside
        ),
        sum((one.cleared_at or end) - one.raised_at > terms.stale for one in inside),
        _floods(inside, terms),
        _actors(inside, chattering, terms),
    )  # fmt: skip


Key = tuple[int, str, str]


def _key(one: Raise) -> Key:
    return one.device_id, one.rule, one.failure_mode


def _chattering(raises: Sequence[Raise], terms: Terms) -> Counter[Key]:
    before: dict[Key, Raise] = {}
    found: Counter[Key] = Counter()
    for one in raises:
        last = before.get(_key(one))
        if (
            last is not None
            and last.cleared_at is not None
            and one.raised_at - last.cleared_at < terms.chatter
        ):
            found[_key(one)] += 1
        before[_key(one)] = one
    return found


def _floods(raises: Sequence[Raise], terms: Terms) -> list[datetime]:
    floods: list[datetime] = []
    for at in range(len(raises) - terms.flood + 1):
        first, last = raises[at].raised_at, raises[at + terms.flood - 1].raised_at
        if last - first <= terms.flood_window and (not floods or first - floods[-1] > terms.flood_window):
            floods.append(first)
    return floods


def _actors(raises: Sequence[Raise], chattering: Counter[Key], terms: Terms) -> list[Actor]:
    counts: defaultdict[Key, int] = defaultdict(int)
    for one in raises:
        counts[_key(one)] += 1
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: terms.actors]
    return [Actor(*key, count, count / len(raises), chattering[key]) for key, count in most]
