"""A frame: at most one row per device, and what was expected of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.definitions import Bools, Floats, Ints
from analytics.fleet import Fleet
from analytics.state import Rows

MINUTES = 1440  # of a day; the daily harmonic is looked up to the minute

Frozen = tuple[Ints, Bools]
"""Positions [k] and what of them must not be learned [k, metric]."""


@dataclass
class Page:
    """The baselines of the regime that each row is in: [n, metric], `first` [n]."""

    regime: Ints
    rows: Floats
    mean: Floats
    deviation: Floats
    first: Floats


@dataclass
class Season:
    """The first daily harmonic: [n, metric] each."""

    cosine: Floats
    sine: Floats
    now: Floats

    @classmethod
    def of(cls, ts: Ints, cosine: Floats, sine: Floats, state: Rows) -> Season:
        """Looked up by the minute of the day in [minute, metric]."""
        minute = ts // 60_000_000
        minute -= MINUTES * (ts // (MINUTES * 60_000_000))  # several times quicker than a remainder
        its_cosine, its_sine = cosine.take(minute, axis=0), sine.take(minute, axis=0)
        now = state["cosine"] * its_cosine
        now += state["sine"] * its_sine
        return cls(its_cosine, its_sine, now)

    def learn(self, gain: Floats, state: Rows) -> None:
        """Move both amplitudes."""
        cosine, sine = state["cosine"], state["sine"]
        self.cosine *= gain
        cosine += self.cosine
        self.sine *= gain
        sine += self.sine


@dataclass
class Frame:
    """At most one row per device, with what was expected of it; row r belongs to row r of the state.

    Attributes:
        ts, batch, regime: [n]; regime 0 is off.
        good: [n, metric] the machine runs and has settled, and the value is possible and not stuck.
        ill: places in the flattened [n, metric] that are not good.
        hours: [n, metric] of event time that the value stands for; 0 where it is not good.
        values: [n, metric]; where it is not good, something finite that means nothing.
        expected, spread, off: [n, metric]; off = values - expected.
        judged: [n, metric] the value may speak for a fault: good, not just the last one again, its baseline warm.
        unjudged: places in the flattened [n, metric] that are not judged.
        z: [n, metric] off / spread; 0 where it is not judged.
        waiting: [n, metric] good and moved, but its baseline is not warm; None where there are none.
        young: rows with a baseline that is not warm.
        fleet: what is known of all devices of the type.
    """

    ts: Ints
    batch: Ints
    regime: Ints
    good: Bools
    ill: Ints
    hours: Floats
    values: Floats
    expected: Floats
    spread: Floats
    off: Floats
    judged: Bools
    unjudged: Ints
    z: Floats
    waiting: Bools | None
    young: Ints
    page: Page
    season: Season
    fleet: Fleet

    def __len__(self) -> int:
        return len(self.ts)

    def fresh(self, at: Ints) -> Bools:
        """[k, metric] of some rows: the value is good and not just the last one again."""
        return self.judged[at] if self.waiting is None else self.judged[at] | self.waiting[at]


@dataclass
class Young:
    """[k, metric] each, `first` [k]: what the rows of young baselines become."""

    rows: Floats
    mean: Floats
    deviation: Floats
    first: Floats
    cosine: Floats
    sine: Floats

    def put(self, at: Ints, page: Page, state: Rows) -> None:
        """In place of what the arithmetic of warm baselines made of them."""
        for name in ("rows", "mean", "deviation", "first"):
            getattr(page, name)[at] = getattr(self, name)
        for name in ("cosine", "sine"):
            state[name][at] = getattr(self, name)
