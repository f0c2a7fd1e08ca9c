"""What is normal for a device: an adaptive baseline per regime and metric. Pure, vectorised over devices.

Per (device, regime, metric): a mean and a mean absolute deviation, both exponentially weighted in event time and
bounded against outliers (Huber), and the first daily harmonic by least mean squares. While few rows are
known the mean leans on the fleet's (empirical Bayes), and the spread is widened by how much machines differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.block import Block, Cut
from analytics.definitions import DAY, HOUR, Bools, Definition, Floats, Ints
from analytics.state import Arrays, Field

SIGMA = 1.2533  # standard deviation of a normal variable over its mean absolute deviation, sqrt(pi/2)
SETTLE = 40 * 60 * 1_000_000  # after a change of regime nothing is judged or learned for so long …
COARSE = 2 * HOUR  # … unless rows come so rarely that the transient is over by the next


@dataclass(frozen=True)
class Tuning:
    """How baselines learn. Times in days of the device's own event time."""

    mean_days: float = 10.0
    spread_days: float = 10.0
    season_days: float = 7.0
    longest_step_days: float = 0.25  # a silence counts for no more than this
    warm_rows: int = 30
    warm_days: float = 3.0
    primed_rows: int = 12  # the same when the fleet is known
    primed_days: float = 0.5
    fleet_weight: float = 4.0  # the fleet's mean counts as so many rows
    huber: float = 3.0  # a residual counts for at most so many spreads
    floor_range: float = 2e-4  # least spread: this part of the metric's possible range …
    floor_mean: float = 2e-3  # … and of its mean
    after_reset_rows: float = 30.0  # a baseline that starts anew is worth so many rows


@dataclass(frozen=True)
class Fleet:
    """What devices of one type have in common, [regime, metric] each; NaN where too few are known."""

    mean: Floats
    between: Floats  # spread of the devices' means
    within: Floats  # their typical mean absolute deviation


@dataclass(frozen=True)
class Frame:
    """At most one row per device, with what was expected of it.

    Attributes:
        slots, ts, batch, regime: [n]; regime 0 is off.
        usable: [n] the machine runs and has settled.
        values, expected, spread: [n, metric].
        z: [n, metric] (value - expected) / spread; NaN where the value is missing, unusable or not yet judged.
    """

    slots: Ints
    ts: Ints
    batch: Ints
    regime: Ints
    usable: Bools
    values: Floats
    expected: Floats
    spread: Floats
    z: Floats


class Baseline:
    """Baselines of all devices of one type."""

    FIELDS = (
        Field("newest"),  # event time of the newest row
        Field("cadence"),  # typical time between rows
        Field("regime", start=1.0),
        Field("since"),  # when the present regime began
        Field("used", ("metric",)),
        Field("rows", ("regime", "metric")),
        Field("first", ("regime", "metric")),
        Field("mean", ("regime", "metric")),
        Field("deviation", ("regime", "metric")),
        Field("cosine", ("regime", "metric")),
        Field("sine", ("regime", "metric")),
    )

    def __init__(self, definition: Definition, tuning: Tuning | None = None) -> None:
        self.tuning = tuning or Tuning()
        self.state = Arrays("baseline", definition, self.FIELDS)
        self._floor = self.tuning.floor_range * np.array([m.high - m.low for m in definition.metrics])
        empty = np.full((3, len(definition.metrics)), np.nan)
        self.fleet = Fleet(empty, empty, empty)

    def frame(self, block: Block, cut: Cut) -> Frame:
        """Judge the rows of a cut; notes their time and regime, learns nothing yet."""
        slots, ts = cut.slots, block.ts[cut.rows]
        regime, usable = self._regime(slots, ts, block.state[cut.rows])
        at = (slots, np.maximum(regime, 1) - 1)
        values = block.values[cut.rows]
        expected = self.state["mean"][at] + self._season(at, ts)
        spread, ready = self._spread(at, ts)
        judged = ready & usable[:, None]
        z = np.where(judged, (values - expected) / spread, np.nan)
        return Frame(slots, ts, block.batch[cut.rows], regime, usable, values, expected, spread, z)

    def _regime(self, slots: Ints, ts: Ints, sent: Floats) -> tuple[Ints, Bools]:
        state = self.state
        before, newest, cadence = state["regime"][slots], state["newest"][slots], state["cadence"][slots]
        regime = np.where(np.isnan(sent), before, np.clip(np.rint(sent), 0, 3))
        gap = ts - newest
        known = newest > 0
        fresh = ~known | (regime != before) | (gap > np.maximum(4 * cadence, HOUR))
        # Rare rows: what changed since the last one has settled by now.
        began = np.where(cadence >= COARSE, ts - SETTLE, ts)
        since = np.where(fresh, began, state["since"][slots])
        step = np.where(cadence > 0, np.minimum(gap, 4 * cadence), gap)
        state["cadence"][slots] = np.where(known & (gap > 0), cadence + np.where(cadence > 0, 0.2, 1.0) * (step - cadence), cadence)
        state["regime"][slots], state["since"][slots], state["newest"][slots] = regime, since, ts
        return regime.astype(np.int64), (regime > 0) & (ts - since >= SETTLE)

    def _season(self, at: tuple[Ints, Ints], ts: Ints) -> Floats:
        angle = _angle(ts)
        season: Floats = self.state["cosine"][at] * np.cos(angle) + self.state["sine"][at] * np.sin(angle)
        return season

    def _spread(self, at: tuple[Ints, Ints], ts: Ints) -> tuple[Floats, Bools]:
        tuning, rows = self.tuning, self.state["rows"][at]
        floor = np.maximum(self._floor, tuning.floor_mean * np.abs(self.state["mean"][at]))
        own = np.maximum(SIGMA * self.state["deviation"][at], floor)
        known = (ts[:, None] - self.state["first"][at]) / DAY
        between = self.fleet.between[at[1]]
        primed = ~np.isnan(between)
        widened = np.hypot(own, np.where(primed, between, 0.0) / np.sqrt(1.0 + rows / tuning.fleet_weight))
        young = (rows < tuning.warm_rows) | (known < tuning.warm_days)
        ready = ~young | (primed & (rows >= tuning.primed_rows) & (known >= tuning.primed_days))
        return np.where(young, widened, own), ready

    def learn(self, frame: Frame, freeze: Bools) -> None:
        """Take the rows into the baselines, except where `freeze` [n, metric] says that something may be wrong."""
        take = frame.usable[:, None] & ~np.isnan(frame.values) & ~freeze
        if not take.any():
            return
        at = (frame.slots, np.maximum(frame.regime, 1) - 1)
        self._begin(at, frame, take)
        tuning, state, rows = self.tuning, self.state, self.state["rows"][at]
        mean, deviation = state["mean"][at], state["deviation"][at]
        off = np.where(take, frame.values - mean - self._season(at, frame.ts), 0.0)
        bound = np.where(rows >= 8, tuning.huber * frame.spread, np.inf)
        off = np.clip(off, -bound, bound)
        days = self._days(frame)
        own = 1.0 / (rows + 1.0 + np.where(np.isnan(self.fleet.mean[at[1]]), 0.0, tuning.fleet_weight))
        settled = (rows >= tuning.warm_rows) & (frame.ts[:, None] - state["first"][at] >= DAY)
        season = np.where(take & settled, 2.0 * -np.expm1(-days / tuning.season_days) * off, 0.0)
        angle = _angle(frame.ts)
        state["mean"][at] = mean + np.maximum(-np.expm1(-days / tuning.mean_days), own) * off
        change = np.maximum(-np.expm1(-days / tuning.spread_days), 1.0 / (rows + 2.0)) * (np.abs(off) - deviation)
        state["deviation"][at] = deviation + np.where(take, change, 0.0)
        state["cosine"][at] += season * np.cos(angle)
        state["sine"][at] += season * np.sin(angle)
        state["rows"][at] = rows + take
        state["used"][frame.slots] = np.where(take, frame.ts[:, None], state["used"][frame.slots])

    def _days(self, frame: Frame) -> Floats:
        used = self.state["used"][frame.slots]
        return np.clip((frame.ts[:, None] - used) / DAY, 0.0, self.tuning.longest_step_days)

    def _begin(self, at: tuple[Ints, Ints], frame: Frame, take: Bools) -> None:
        """Baselines seen for the first time start from the fleet's, or from their own first row."""
        state, new = self.state, take & (self.state["first"][at] == 0)
        if not new.any():
            return
        mean, within = self.fleet.mean[at[1]], self.fleet.within[at[1]]
        state["mean"][at] = np.where(new, np.where(np.isnan(mean), frame.values, mean), state["mean"][at])
        state["deviation"][at] = np.where(new & ~np.isnan(within), within, state["deviation"][at])
        state["first"][at] = np.where(new, frame.ts[:, None], state["first"][at])

    def restart(self, slot: int, metrics: Ints) -> None:
        """After a repair: keep the level as a prior, and learn quickly whether it still holds."""
        rows = self.state["rows"][slot]
        rows[:, metrics] = np.minimum(rows[:, metrics], self.tuning.after_reset_rows)

    def refresh(self, slots: int) -> None:
        """Learn the fleet from the devices whose baselines are warm; at least five of them per cell."""
        state, tuning = self.state, self.tuning
        newest = state["newest"][:slots, None, None]
        enough = (state["rows"][:slots] >= 2 * tuning.warm_rows) & (newest - state["first"][:slots] >= tuning.warm_days * DAY)
        few = enough.sum(axis=0) < 5
        if few.all():
            return
        means = np.where(enough, state["mean"][:slots], np.nan)
        within = np.where(enough, state["deviation"][:slots], np.nan)
        centre = _median(means, few)
        between = 1.4826 * _median(np.abs(means - centre), few)
        self.fleet = Fleet(centre, between, _median(within, few))


def _median(values: Floats, few: Bools) -> Floats:
    """Over axis 0, without NaN; NaN where `few`."""
    found = np.full(few.shape, np.nan)
    found[~few] = np.nanmedian(values[:, ~few], axis=0)
    return found


def _angle(ts: Ints) -> Floats:
    return (2 * np.pi / DAY) * (ts % DAY)[:, None]
