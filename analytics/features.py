"""What is normal for a device: an adaptive baseline per regime and metric. Pure, vectorised over devices.

Per (device, regime, metric): a mean and a mean absolute deviation, both exponentially weighted in event time and
bounded against outliers (Huber); per metric the first daily harmonic by least mean squares. While few rows are
known the mean leans on the fleet's (empirical Bayes), and the spread is widened by how much machines differ.

Validity comes first: a value outside what is possible or stuck counts as missing; one that merely repeats the
last one is learned but never speaks for a fault. Nothing is judged while the machine is off or settling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.definitions import DAY, HOUR, Bools, Definition, Floats, Ints
from analytics.fleet import Fleet
from analytics.state import Field, Rows

SIGMA = 1.2533  # standard deviation of a normal variable over its mean absolute deviation, sqrt(pi/2)
SETTLE = 40 * 60 * 1_000_000  # after a change of regime nothing is judged or learned for so long …
COARSE = 2 * HOUR  # … unless rows come so rarely that the transient is over by the next
STUCK = 6 * HOUR  # a running machine's reading that has not moved for so long counts as missing …
STUCK_ROWS = 5  # … if so many rows came meanwhile
ROWS, MEAN, DEVIATION = 0, 1, 2  # the axis `statistic`


@dataclass(frozen=True)
class Tuning:
    """How baselines learn. Times in days of the device's own event time."""

    mean_days: float = 10.0
    spread_days: float = 10.0
    season_days: float = 7.0
    longest_hours: float = 6.0  # one row stands for no more than this
    warm_rows: int = 30
    warm_days: float = 3.0
    primed_rows: int = 12  # the same when the fleet is known
    primed_days: float = 0.5
    fleet_weight: float = 4.0  # the fleet's mean counts as so many rows
    huber: float = 3.0  # a residual counts for at most so many spreads
    floor_range: float = 2e-4  # least spread: this part of the metric's possible range …
    floor_mean: float = 2e-3  # … and of its mean
    after_reset_rows: float = 20.0  # a baseline that starts anew after a repair is worth so many rows


@dataclass(frozen=True)
class Frame:
    """At most one row per device, with what was expected of it; row r belongs to row r of the state.

    Attributes:
        ts, batch, regime: [n]; regime 0 is off.
        usable: [n] the machine runs and has settled.
        hours: [n, metric] of event time that the value stands for; 0 where there is none or it is unusable.
        values: [n, metric]; NaN where missing, impossible or stuck.
        expected, spread: [n, metric].
        z: [n, metric] (value - expected) / spread; NaN where it must not speak for a fault.
        moved: [n, metric] the value is not just the last one again.
    """

    ts: Ints
    batch: Ints
    regime: Ints
    usable: Bools
    hours: Floats
    values: Floats
    expected: Floats
    spread: Floats
    z: Floats
    moved: Bools

    def __len__(self) -> int:
        return len(self.ts)


class Baseline:
    """Baselines of all devices of one type. Keeps nothing but tuning and the fleet's prior."""

    OWNER = "baseline"
    FIELDS = (
        Field("newest"),  # event time of the newest row
        Field("cadence"),  # typical time between rows
        Field("regime", start=1.0),
        Field("since"),  # when the present regime began
        Field("used", ("metric",)),  # event time of the newest value
        Field("last", ("metric",), start=np.nan),  # the newest value …
        Field("changed", ("metric",)),  # … and since when it is the same
        Field("first", ("regime",)),
        Field("cell", ("regime", "statistic", "metric")),
        Field("cosine", ("metric",)),
        Field("sine", ("metric",)),
    )

    def __init__(self, definition: Definition, tuning: Tuning | None = None) -> None:
        self.tuning = tuning or Tuning()
        self.fleet = Fleet.unknown(len(definition.metrics))
        self._low = np.array([metric.low for metric in definition.metrics])
        self._high = np.array([metric.high for metric in definition.metrics])
        self._floor = self.tuning.floor_range * (self._high - self._low)

    def judge(self, ts: Ints, batch: Ints, sent: Floats, values: Floats, state: Rows) -> Frame:
        """Judge the rows of a cut; notes their time, regime and values, learns nothing yet.

        Args:
            sent: [n] operating state as sent, NaN where unknown.
            values: [n, metric] as stored.
        """
        regime, usable = self._regime(ts, sent, state)
        values, moved, hours = self._valid(ts, regime, usable, values, state)
        at = (np.arange(len(ts)), np.maximum(regime, 1) - 1)
        cell = state["cell"][at]
        expected = cell[:, MEAN] + self._season(ts, state)
        spread, ready = self._spread(ts, cell, state["first"][at], at[1])
        z = np.where(ready & usable[:, None] & moved, (values - expected) / spread, np.nan)
        return Frame(ts, batch, regime, usable, hours, values, expected, spread, z, moved)

    def _regime(self, ts: Ints, sent: Floats, state: Rows) -> tuple[Ints, Bools]:
        before, newest, cadence = state["regime"], state["newest"], state["cadence"]
        regime = np.where(np.isfinite(sent), np.clip(np.rint(sent), 0, 3), before)
        gap = ts - newest
        known = newest > 0
        fresh = ~known | (regime != before) | (gap > np.maximum(4 * cadence, HOUR))
        # Rare rows: what changed since the last one has settled by now.
        began = np.where(cadence >= COARSE, ts - SETTLE, ts)
        since = np.where(fresh, began, state["since"])
        step = np.where(cadence > 0, np.minimum(gap, 4 * cadence), gap)
        weight = np.where(known & (gap > 0), np.where(cadence > 0, 0.2, 1.0), 0.0)
        state["cadence"][:] = cadence + weight * (step - cadence)
        state["regime"][:], state["since"][:], state["newest"][:] = regime, since, ts
        return regime.astype(np.int64), (regime > 0) & (ts - since >= SETTLE)

    def _valid(
        self, ts: Ints, regime: Ints, usable: Bools, values: Floats, state: Rows
    ) -> tuple[Floats, Bools, Floats]:
        """Values without what cannot be, where they moved, and the hours they stand for."""
        time = ts[:, None].astype(float)
        present = (values >= self._low) & (values <= self._high)  # False for NaN and infinities
        moved = present & (values != state["last"])
        changed = np.where((moved | (regime == 0)[:, None]), time, state["changed"])
        patience = np.maximum(STUCK, STUCK_ROWS * state["cadence"])[:, None]
        good = present & (time - changed < patience)
        gap = np.where(state["used"] > 0, time - state["used"], 0.0)
        longest = np.minimum(self.tuning.longest_hours * HOUR, 2 * state["cadence"])[:, None]
        hours = np.where(good & usable[:, None], np.clip(gap, 0.0, longest) / HOUR, 0.0)
        state["last"][:] = np.where(present, values, state["last"])
        state["used"][:] = np.where(present, time, state["used"])
        state["changed"][:] = changed
        return np.where(good, values, np.nan), moved & good, hours

    def _season(self, ts: Ints, state: Rows) -> Floats:
        angle = _angle(ts)
        season: Floats = state["cosine"] * np.cos(angle) + state["sine"] * np.sin(angle)
        return season

    def _spread(self, ts: Ints, cell: Floats, first: Floats, regime: Ints) -> tuple[Floats, Bools]:
        tuning, rows = self.tuning, cell[:, ROWS]
        floor = np.maximum(self._floor, tuning.floor_mean * np.abs(cell[:, MEAN]))
        own = np.maximum(SIGMA * cell[:, DEVIATION], floor)
        known = ((ts - first) / DAY)[:, None]
        between = self.fleet.between[regime]
        primed = ~np.isnan(between)
        widened = np.hypot(own, np.where(primed, between, 0.0) / np.sqrt(1.0 + rows / tuning.fleet_weight))
        young = (rows < tuning.warm_rows) | (known < tuning.warm_days)
        ready = ~young | (primed & (rows >= tuning.primed_rows) & (known >= tuning.primed_days))
        return np.where(young, widened, own), ready

    def learn(self, frame: Frame, freeze: Bools, state: Rows) -> None:
        """Take the rows into the baselines, except where `freeze` [n, metric] says that something may be wrong."""
        take = frame.usable[:, None] & ~np.isnan(frame.values) & ~freeze
        if not take.any():
            return
        at = (np.arange(len(frame)), np.maximum(frame.regime, 1) - 1)
        cell, first = state["cell"][at], state["first"][at]
        first = np.where((first == 0) & take.any(axis=1), frame.ts, first)
        rows, mean, deviation = self._begin(cell, frame, take, at[1])
        tuning, days = self.tuning, frame.hours / 24.0
        off = np.where(take, frame.values - mean - self._season(frame.ts, state), 0.0)
        bound = np.where(rows >= 8, tuning.huber * frame.spread, np.inf)
        off = np.clip(off, -bound, bound)
        prior = np.where(np.isnan(self.fleet.mean[at[1]]), 0.0, tuning.fleet_weight)
        cell[:, MEAN] = (
            mean + np.maximum(-np.expm1(-days / tuning.mean_days), 1.0 / (rows + 1.0 + prior)) * off
        )
        pace = np.maximum(-np.expm1(-days / tuning.spread_days), 1.0 / (rows + 2.0))
        cell[:, DEVIATION] = deviation + np.where(take, pace * (np.abs(off) - deviation), 0.0)
        cell[:, ROWS] = rows + take
        settled = take & (rows >= tuning.warm_rows) & (frame.ts - first >= DAY)[:, None]
        season = np.where(settled, -2.0 * np.expm1(-days / tuning.season_days) * off, 0.0)
        angle = _angle(frame.ts)
        state["cosine"] += season * np.cos(angle)
        state["sine"] += season * np.sin(angle)
        state["cell"][at], state["first"][at] = cell, first

    def _begin(self, cell: Floats, frame: Frame, take: Bools, regime: Ints) -> tuple[Floats, Floats, Floats]:
        """Baselines seen for the first time start from the fleet's, or from their own first row."""
        rows, mean, deviation = cell[:, ROWS], cell[:, MEAN], cell[:, DEVIATION]
        new = take & (rows == 0)
        if new.any():
            prior, within = self.fleet.mean[regime], self.fleet.within[regime]
            mean = np.where(new, np.where(np.isnan(prior), frame.values, prior), mean)
            deviation = np.where(new & ~np.isnan(within), within, deviation)
        return rows, mean, deviation

    def restart(self, state: Rows, at: int, metrics: Ints) -> None:
        """After a repair of the device at a position: keep the level as a prior, learn quickly whether it holds."""
        rows = state["cell"][at, :, ROWS]
        rows[:, metrics] = np.minimum(rows[:, metrics], self.tuning.after_reset_rows)


def _angle(ts: Ints) -> Floats:
    angle: Floats = (2 * np.pi / DAY) * (ts % DAY).astype(float)[:, None]
    return angle
