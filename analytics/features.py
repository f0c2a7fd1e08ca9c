"""What is normal for a device: an adaptive baseline per regime and metric. Pure, vectorised over devices.

Per (device, regime, metric): a mean and a mean absolute deviation, both exponentially weighted in event time and
bounded against outliers (Huber); per metric the first daily harmonic by least mean squares. While few rows are
known the mean leans on the fleet's (empirical Bayes), and the spread is widened by how much machines differ.

Validity comes first: a value outside what is possible or stuck counts as missing; one that merely repeats the
last one is learned but never speaks for a fault. Nothing is judged while the machine is off or settling.

Nearly all rows are of baselines that have long been warm, so the arithmetic over whole frames is that of warm
ones; the few rows with a young baseline (`Frame.young`) are worked out on their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analytics.baseline_tuning import Tuning
from analytics.definitions import DAY, HOUR, Bools, Definition, Floats, Ints
from analytics.fields import Field
from analytics.fleet import Fleet
from analytics.frame import MINUTES, Frame, Frozen, Page, Season, Young
from analytics.state import Rows

SIGMA = 1.2533  # standard deviation of a normal variable over its mean absolute deviation, sqrt(pi/2)
SETTLE = 40 * 60 * 1_000_000  # after a change of regime nothing is judged or learned for so long …
COARSE = 2 * HOUR  # … unless rows come so rarely that the transient is over by the next
STUCK = 6 * HOUR  # a running machine's reading that has not moved for so long counts as missing …
STUCK_ROWS = 5  # … if so many rows came meanwhile


class Baseline:
    """Baselines of all devices of one type. Keeps nothing but tuning and the fleet's prior."""

    OWNER = "baseline"
    FIELDS = (
        Field("newest"),  # event time of the newest row
        Field("cadence"),  # typical time between rows
        Field("regime", start=1.0),
        Field("since"),  # when the present regime began
        Field("used", ("metric",)),  # event time of the newest value
        Field("last", ("metric",)),  # the newest value …
        Field("changed", ("metric",)),  # … and since when it is the same
        Field("first", ("regime",)),
        Field("rows", ("regime", "metric")),
        Field("mean", ("regime", "metric")),
        Field("deviation", ("regime", "metric")),
        Field("cosine", ("metric",)),
        Field("sine", ("metric",)),
    )

    def __init__(self, definition: Definition, tuning: Tuning | None = None) -> None:
        self.tuning = tuning or Tuning()
        self.fleet = Fleet.unknown(len(definition.metrics))
        self._low = np.array([metric.low for metric in definition.metrics])
        self._high = np.array([metric.high for metric in definition.metrics])
        self._floor = self.tuning.floor_range * (self._high - self._low)
        self._tiles: tuple[Floats, Floats, Floats] = (np.empty((0, 0)),) * 3
        angle = np.repeat(2 * np.pi * (np.arange(MINUTES) + 0.5) / MINUTES, len(self._low))
        self._cosine = np.cos(angle).reshape(MINUTES, -1)
        self._sine = np.sin(angle).reshape(MINUTES, -1)

    def _bounds(self, n: int) -> tuple[Floats, Floats, Floats]:
        """Low, high and floor of n rows: [n, metric]; repeated once, since broadcasting costs more each time."""
        if len(self._tiles[0]) < n:
            self._tiles = tuple(np.tile(one, (n, 1)) for one in (self._low, self._high, self._floor))  # type: ignore[assignment]
        low, high, floor = self._tiles
        return low[:n], high[:n], floor[:n]

    def judge(self, ts: Ints, batch: Ints, sent: Floats, values: Floats, state: Rows) -> Frame:
        """Judge the rows of a cut; notes their time, regime and values, learns nothing yet.

        Args:
            sent: [n] operating state as sent, NaN where unknown.
            values: [n, metric] as stored; what is not possible is replaced in place.
        """
        low, high, floor = self._bounds(len(ts))
        time = ts.astype(np.float64)
        regime, usable, longest = self._regime(time, sent, state)
        values, good, moved, hours, ill = self._valid(
            time, regime, usable, longest, values, (low, high), state
        )
        at = np.maximum(regime, 1) - 1
        page = Page(at, **state.page(at))
        season = Season.of(ts, self._cosine, self._sine, state)
        expected = season.now + page.mean
        spread = np.abs(page.mean)
        spread *= self.tuning.floor_mean
        np.maximum(spread, floor, out=spread)
        np.maximum(spread, SIGMA * page.deviation, out=spread)
        judged = good & moved
        unripe = self._unripe(time, page, good)
        waiting, young = None, _NOTHING
        if unripe is not None:
            young = np.flatnonzero(unripe.any(axis=1))
            waiting = judged.copy()
            judged[young] &= self._widen(time, page, young, spread)
            waiting &= ~judged
        off = values - expected
        z, unjudged = off / spread, _places(~judged)
        z.put(unjudged, 0.0)
        return Frame(
            ts, batch, regime, good, ill, hours, values, expected, spread, off, judged, unjudged, z, waiting, young,
            page, season, self.fleet,
        )  # fmt: skip

    def _regime(self, time: Floats, sent: Floats, state: Rows) -> tuple[Ints, Bools, Floats]:
        """[n] each: the regime, whether the machine runs and has settled, the hours a value stands for at most."""
        before, newest, cadence, since = (state[name] for name in ("regime", "newest", "cadence", "since"))
        regime = np.where(np.isfinite(sent), sent, before)
        np.rint(regime, out=regime)
        np.minimum(np.maximum(regime, 0.0, out=regime), 3.0, out=regime)
        gap, longest = time - newest, 4 * cadence
        fresh = (regime != before) | (
            gap > np.maximum(longest, HOUR)
        )  # the newest row of a new device is long ago
        if fresh.any():  # rare rows: what changed since the last one has settled by now
            since[fresh] = np.where(cadence >= COARSE, time - SETTLE, time)[fresh]
        if cadence.all() and newest.all():
            np.minimum(gap, longest, out=gap)
            cadence += 0.2 * (gap > 0) * (gap - cadence)
        else:
            begun = cadence > 0
            step = np.where(begun, np.minimum(gap, longest), gap)
            cadence += np.where(begun, 0.2, 1.0) * ((newest > 0) & (gap > 0)) * (step - cadence)
        before[:], newest[:] = regime, time
        stands = np.minimum(self.tuning.longest_hours, (2.0 / HOUR) * cadence)
        return regime.astype(np.int64), (regime > 0) & (time - since >= SETTLE), stands

    def _valid(
        self,
        time: Floats,
        regime: Ints,
        usable: Bools,
        longest: Floats,
        values: Floats,
        bounds: tuple[Floats, Floats],
        state: Rows,
    ) -> tuple[Floats, Bools, Bools, Floats, Ints]:
        """Values without what cannot be, where they are good, where they moved, the hours they stand for, and the
        places (in the flattened array) of those that are not good."""
        last, used, changed = state["last"], state["used"], state["changed"]
        times = _wide(time, values.shape[1])
        good = values >= bounds[0]  # False for NaN and infinities
        good &= values <= bounds[1]
        missing = _places(~good)
        values.put(missing, last.take(missing))
        moved = values != last
        last[:] = values
        still = _places(~moved if regime.all() else ~(moved | (regime == 0)[:, None]))
        since = changed.take(still)
        changed[:] = times
        changed.put(still, since)
        stuck = self._stuck(time, still, since, state)
        if len(stuck):
            good.put(stuck, False)
        whole = bool(usable.all())
        if not whole:
            good[_places(~usable)] = False
        ill = missing if whole and not len(stuck) else _places(~good)
        hours = times - used
        before = used.take(missing)
        used[:] = times
        used.put(missing, before)
        hours *= 1.0 / HOUR
        np.minimum(hours, _wide(longest, values.shape[1]), out=hours)
        hours.put(ill, 0.0)
        return values, good, moved, hours, ill

    def _stuck(self, time: Floats, still: Ints, since: Floats, state: Rows) -> Ints:
        """Which of the values that have been the same since `since` have been so for too long; `still` are their
        places in [n, metric], flattened."""
        row = still // state["last"].shape[1]
        age = time.take(row) - since
        if float(age.max(initial=0.0)) < STUCK:
            return _NOTHING
        stuck: Ints = still[age >= np.maximum(STUCK, STUCK_ROWS * state["cadence"].take(row))]
        return stuck

    def _unripe(self, time: Floats, page: Page, good: Bools) -> Bools | None:
        """[n, metric] good values whose baseline is not warm; None where there are none."""
        tuning = self.tuning
        unripe = page.rows < tuning.warm_rows
        new = time - page.first < tuning.warm_days * DAY
        if new.any():
            unripe |= new[:, None]
        unripe &= good
        return unripe if unripe.any() else None

    def _widen(self, time: Floats, page: Page, at: Ints, spread: Floats) -> Bools:
        """Widen the spread of young baselines by how much machines differ, in place; says [k, metric] whether
        they are warm enough to judge by, as they are sooner where the fleet is known."""
        tuning, rows = self.tuning, page.rows[at]
        known = ((time[at] - page.first[at]) / DAY)[:, None]
        between = self.fleet.between[page.regime[at]]
        primed = ~np.isnan(between)
        widened = np.hypot(
            spread[at], np.where(primed, between, 0.0) / np.sqrt(1.0 + rows / tuning.fleet_weight)
        )
        unripe = (rows < tuning.warm_rows) | (known < tuning.warm_days)
        spread[at] = np.where(unripe, widened, spread[at])
        return ~unripe | (primed & (rows >= tuning.primed_rows) & (known >= tuning.primed_days))

    def learn(self, frame: Frame, frozen: Sequence[Frozen], state: Rows) -> None:
        """Take the rows into the baselines, except where `frozen` says that something may be wrong."""
        take, hours, off, page = frame.good, frame.hours, frame.off, frame.page
        if not take.any():
            return
        for at, mask in frozen:
            take[at] &= ~mask
            hours[at] *= ~mask
        left = _places(~take) if frozen else frame.ill
        young = self._young(frame, state) if len(frame.young) else None
        tuning, away = self.tuning, np.abs(off)
        bound = tuning.huber * frame.spread
        far = _places(away > bound)
        if len(far):
            away.put(far, bound.take(far))
            off.put(far, np.copysign(bound.take(far), off.take(far)))
        least = page.rows + 2.0
        np.divide(1.0, least, out=least)
        least.put(left, 0.0)
        pace = hours * tuning.pace(tuning.mean_days)  # 0 where nothing is taken, as `least` is
        np.maximum(pace, least, out=pace)
        page.mean += np.multiply(pace, off, out=bound)
        if tuning.spread_days != tuning.mean_days:
            np.multiply(hours, tuning.pace(tuning.spread_days), out=pace)
            np.maximum(pace, least, out=pace)
        away -= page.deviation
        away *= pace
        page.deviation += away
        known = page.rows.take(left)
        page.rows += 1.0
        page.rows.put(left, known)
        off *= hours
        off *= 2.0 * tuning.pace(tuning.season_days)
        frame.season.learn(off, state)
        if young is not None:
            young.put(frame.young, page, state)
        state.put_page(page.regime)

    def _young(self, frame: Frame, state: Rows) -> Young:
        """What becomes of the rows with young baselines. A baseline that is new starts from the fleet's, or from
        its own first row; the harmonic is learned once it is warm."""
        tuning, at, page = self.tuning, frame.young, frame.page
        take, hours, regime = frame.good[at], frame.hours[at], page.regime[at]
        rows, mean, deviation, first = (x[at] for x in (page.rows, page.mean, page.deviation, page.first))
        ts = frame.ts[at].astype(np.float64)
        first = np.where((first == 0) & take.any(axis=1), ts, first)
        known, within = self.fleet.mean[regime], self.fleet.within[regime]
        new = take & (rows == 0)
        mean = np.where(new, np.where(np.isnan(known), frame.values[at], known), mean)
        deviation = np.where(new & ~np.isnan(within), within, deviation)
        off = np.where(take, frame.values[at] - mean - frame.season.now[at], 0.0)
        bound = np.where(rows >= 8, tuning.huber * frame.spread[at], np.inf)
        off = np.clip(off, -bound, bound)
        prior = np.where(np.isnan(known), 0.0, tuning.fleet_weight)
        mean += np.maximum(tuning.pace(tuning.mean_days) * hours, 1.0 / (rows + 1.0 + prior)) * off
        pace = np.maximum(tuning.pace(tuning.spread_days) * hours, 1.0 / (rows + 2.0))
        deviation += np.where(take, pace * (np.abs(off) - deviation), 0.0)
        warm = take & (rows >= tuning.warm_rows) & (ts - first >= DAY)[:, None]
        gain = np.where(warm, 2.0 * tuning.pace(tuning.season_days) * hours * off, 0.0)
        cosine = state["cosine"][at] + gain * frame.season.cosine[at]
        sine = state["sine"][at] + gain * frame.season.sine[at]
        return Young(rows + take, mean, deviation, first, cosine, sine)

    def restart(self, state: Rows, at: int, metrics: Ints) -> None:
        """After a repair of the device at a position: keep the level as a prior, learn quickly whether it holds."""
        rows = state.pages("rows", at)
        rows[:, metrics] = np.minimum(rows[:, metrics], self.tuning.after_reset_rows)


def _places(mask: Bools) -> Ints:
    """Where it is true, in the flattened array."""
    return mask.ravel().nonzero()[0]


def _wide(values: Floats, metrics: int) -> Floats:
    """[n] → [n, metric]; a copy costs less than the broadcasting of each sum and product."""
    return np.repeat(values, metrics).reshape(len(values), metrics)


_NOTHING: Ints = np.empty(0, np.int64)
