"""A lasting shift or drift of the metrics that tell of a failure mode.

Per metric: an exponentially weighted mean of the standardised residual z (Roberts 1959), in units of its own
learned spread, and two one-sided cumulative sums of it (Page 1954). Per failure mode: the matched filter of its
symptoms, sum(w · evidence) / sqrt(sum w²), against a limit of 1. All times are event time, so that the same
limits hold for rows every ten minutes and every three hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analytics.definitions import Bools, Definition, Floats, Ints, product, related
from analytics.detectors import alarm
from analytics.detectors.protocol import Detector, Driver, Finding, Outcome
from analytics.detectors.shift_settings import Tuning
from analytics.features import SIGMA
from analytics.fields import Field
from analytics.frame import Frame
from analytics.state import Rows


@dataclass(frozen=True)
class _Evidence:
    """[k, mode, metric]: level and cumulative sum in the direction that tells of the mode."""

    level: Floats
    sums: Floats


class Shift(Detector):
    """See the module; of failure modes that share a metric the best explaining one is raised."""

    rule: ClassVar[str] = "shift"
    version: ClassVar[int] = 1
    Tuning = Tuning
    fields = (
        Field("fast", ("metric",)),
        Field("spread", ("metric",), start=0.7 / SIGMA),
        Field("summing"),  # 1 where a cumulative sum is not 0
        Field("unseen", start=1.0),  # 1 while there is a metric that was never judged
        Field("mode_spread", ("mode",), start=1.0 / SIGMA),
        *alarm.FIELDS,
        Field("sums", ("side", "metric"), rare=True),
        Field("seen", ("metric",), rare=True),
    )

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        self.tuning: Tuning
        t, self._weight, self._sign = self.tuning, definition.weight, definition.sign
        self._rules = alarm.Hysteresis(
            t.suspect, t.clear, t.hold_hours, t.clear_hours, t.refractory, t.refractory_hours
        )
        self._symptom = self._weight > 0
        self._both = self._symptom & (self._sign == 0)
        self._table, self._symptom_of = self._symptom.astype(float), self._symptom.T.astype(float)
        self._share = (self._table / np.maximum(self._table.sum(axis=1, keepdims=True), 1.0)).T
        # [metric, mode]: what each quantity of a metric adds to the matched filter of a mode
        self._level_of, self._square_of = (self._weight * self._sign).T, (self._weight**2).T
        # [side and metric, mode]
        self._sum_of = np.concatenate([(self._weight * (side * self._sign > 0)).T for side in (1, -1)])
        self._norm = self._norm_of(
            np.ones((1, len(definition.metrics)))
        )  # where all metrics were seen; repeated
        self._both_of = (self._weight * self._both).T if self._both.any() else None
        shared = self._symptom[:, None, :] & self._symptom[None, :, :]
        self._rivals = shared.any(axis=2) & ~np.eye(len(definition.modes), dtype=bool)
        # [mode, rival, metric]: what speaks for the mode and not for the rival
        self._alone = self._weight[:, None, :] * ~shared

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`. What was not judged changes nothing; a repeated value lets the level fade."""
        hours = frame.hours if frame.waiting is None else frame.hours * ~frame.waiting
        level = self._level(frame, hours, state)
        filtered, score = self._score(level, self._sum(level, hours, state), self._norms(frame, state), state)
        at = alarm.busy(state, score >= self.tuning.suspect)
        if not len(at):
            self._learn(frame, filtered, (), state)
            return Outcome()
        rare = state.rare(at)
        live = related(frame.judged[at], self._symptom_of)
        hours = np.where(live, (frame.hours[at][:, None, :] * self._symptom).max(axis=2), 0.0)
        verdict = alarm.judge(rare, frame.ts[at], live, hours, score[at], self._rules)
        findings = self.clears(frame, at, verdict)
        if verdict.raising.any():
            evidence = self._evidence(level[at], rare["sums"])
            for n in np.flatnonzero(verdict.raising.any(axis=1)).tolist():
                findings += self._raise(frame, n, int(at[n]), verdict, evidence, rare, state)
        frozen = alarm.frozen(rare, at, self._table)
        self._learn(frame, filtered, (at, frozen[1], (rare["onset"] > 0) | (rare["open"] > 0)), state)
        alarm.keep(state, at, rare)
        return Outcome(findings, frozen)

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`."""
        metrics = self._symptom[modes].any(axis=0)
        state["fast"][at, metrics] = 0.0
        here = np.array([at])
        self._keep(here, state.some("sums", here) * ~metrics, state)
        alarm.close(state, at, modes, self.tuning.refractory)

    def _level(self, frame: Frame, hours: Floats, state: Rows) -> Floats:
        """[n, metric] smoothed z in units of its own spread."""
        tuning, fast = self.tuning, state["fast"]
        z = np.minimum(frame.z, tuning.clip)
        np.maximum(z, -tuning.clip, out=z)
        z -= fast
        z *= _approach(hours, tuning.mean_hours)
        fast += z
        spread = SIGMA * state["spread"]
        np.maximum(spread, tuning.spread_floor, out=spread)
        level: Floats = np.divide(fast, spread, out=spread)
        return level

    def _sum(self, level: Floats, hours: Floats, state: Rows) -> tuple[Ints, Floats]:
        """Move the cumulative sums. They are 0 where no level has lately passed the allowance, as in most machines;
        returns the positions of the others and their sums [k, side, metric]."""
        tuning = self.tuning
        stirred = state["summing"] > 0
        stirred[(np.abs(level) > tuning.allowance).ravel().nonzero()[0] // level.shape[1]] = True
        at = stirred.nonzero()[0]
        sums, its, step = state.some("sums", at), level[at], hours[at]
        step *= 1.0 / tuning.sum_hours
        for side, excess in ((0, its - tuning.allowance), (1, -its - tuning.allowance)):
            excess *= step
            sums[:, side] += excess
        np.maximum(sums, 0.0, out=sums)
        np.minimum(sums, 2 * tuning.sum_limit, out=sums)
        self._keep(at, sums, state)
        return at, sums

    def _keep(self, at: Ints, sums: Floats, state: Rows) -> None:
        state.put_rare(at, {"sums": sums})
        state["summing"][at] = sums.any(axis=(1, 2))

    def _norms(self, frame: Frame, state: Rows) -> Floats:
        """[n, mode] of the matched filter, from the metrics that were seen: those that have ever been judged."""
        if len(self._norm) < len(frame):
            self._norm = np.tile(self._norm[:1], (len(frame), 1))
        norm = self._norm[: len(frame)]
        at = state["unseen"].nonzero()[0]
        if not len(at):
            return norm
        seen, judged = state.some("seen", at), frame.judged[at]
        if (judged > seen).any():
            seen = np.maximum(seen, judged)
            state.put_rare(at, {"seen": seen})
            state["unseen"][at] = ~seen.all(axis=1)
        norm = norm.copy()
        norm[at] = self._norm_of(seen)
        return norm

    def _norm_of(self, seen: Floats) -> Floats:
        return np.maximum(np.sqrt(product(seen, self._square_of)), 1e-9)

    def _score(
        self, level: Floats, summed: tuple[Ints, Floats], norm: Floats, state: Rows
    ) -> tuple[Floats, Floats]:
        """[n, mode] the matched filter, and the score: 1 is the limit. `summed` is what `_sum` gave, `norm` of
        `_norms`."""
        tuning, (at, sums) = self.tuning, summed
        filtered = product(level, self._level_of)
        total = product(sums.reshape(len(at), 2 * level.shape[1]), self._sum_of)
        if self._both_of is not None:
            filtered += product(np.abs(level) - tuning.both_mean * (level != 0), self._both_of)
            total += product(sums.max(axis=1), self._both_of)
        filtered /= norm
        total /= tuning.sum_limit * norm[at]
        score = np.maximum(SIGMA * state["mode_spread"], 1.0)
        score *= tuning.limit
        np.divide(filtered, score, out=score)
        score[at] = np.maximum(score[at], total)
        return filtered, score

    def _learn(
        self, frame: Frame, filtered: Floats, frozen: tuple[Ints, Bools, Bools] | tuple[()], state: Rows
    ) -> None:
        """Spreads follow their streams while nothing is suspected: `frozen` has positions, metrics and modes."""
        weight = frame.hours * (1.0 / max(24.0 * self.tuning.spread_days, 6.0))
        weight.put(frame.unjudged, 0.0)
        of_mode = product(weight, self._share)
        if frozen:
            at, metrics, modes = frozen
            weight[at] *= ~metrics
            of_mode[at] *= ~modes
        spread, mode_spread = state["spread"], state["mode_spread"]
        for followed, level, pace in ((spread, state["fast"], weight), (mode_spread, filtered, of_mode)):
            away = np.abs(level)
            away -= followed
            away *= pace
            followed += away

    def _evidence(self, level: Floats, each: Floats) -> _Evidence:
        """`each` are the cumulative sums: [k, side, metric]."""
        up, down = each[:, :1], each[:, 1:]
        directed = level[:, None, :] * self._sign
        sums = np.where(self._sign > 0, up, np.where(self._sign < 0, down, 0.0))
        if self._both.any():
            directed = np.where(self._both, np.abs(level)[:, None, :] - self.tuning.both_mean, directed)
            sums = np.where(self._both, np.maximum(up, down), sums)
        return _Evidence(directed, sums)

    def _raise(
        self,
        frame: Frame,
        n: int,
        at: int,
        verdict: alarm.Verdict,
        evidence: _Evidence,
        rare: alarm.Rare,
        state: Rows,
    ) -> list[Finding]:
        """The best explaining modes first; a mode that shares a metric with a better one, or with one that is
        already open, must pass the limit by the metrics it does not share. `n` is the device's row in what was
        worked out for some devices, `at` its row in the frame."""
        found, score = [], verdict.score[n]
        for k in sorted(np.flatnonzero(verdict.raising[n]).tolist(), key=lambda k: (-score[k], k)):
            if self._explained(n, k, score, evidence, rare["open"][n]):
                continue
            alarm.open_mode(rare, n, k)
            since = int(rare["onset"][n, k]) or int(frame.ts[at])
            drivers = self._drivers(frame, at, k, evidence.level[n, k], evidence.sums[n, k], state)
            found.append(self.finding(frame, at, k, "raise", since, score[k], drivers))
        return found

    def _explained(self, n: int, k: int, score: Floats, evidence: _Evidence, is_open: Floats) -> bool:
        tuning = self.tuning
        stronger = (is_open > 0) | (score > max(score[k], 1.0))
        for rival in np.flatnonzero(self._rivals[k] & stronger):
            weight = self._alone[k, rival]
            norm = float(np.sqrt((weight**2).sum()))
            if norm == 0:
                return True
            level = float((weight * evidence.level[n, k]).sum()) / norm / tuning.limit
            total = float((weight * evidence.sums[n, k]).sum()) / norm / tuning.sum_limit
            if max(level, total) < 1.0:
                return True
        return False

    def _drivers(
        self, frame: Frame, at: int, k: int, directed: Floats, sums: Floats, state: Rows
    ) -> tuple[Driver, ...]:
        tuning, level = self.tuning, state["fast"][at]
        share = self._weight[k] * np.maximum(directed / tuning.limit, sums / tuning.sum_limit)
        spread = (
            np.maximum(SIGMA * state["spread"][at], tuning.spread_floor) * tuning.limit * frame.spread[at]
        )
        drivers = []
        for m in np.argsort(-share, kind="stable"):
            if share[m] <= 0:
                break
            metric, expected = self.definition.metrics[m], float(frame.expected[at, m])
            value = float(frame.values[at, m]) if frame.good[at, m] else None
            limit = expected + float(np.copysign(spread[m], level[m]))
            drivers.append(
                Driver(
                    metric.name, value, expected, limit, metric.unit, float(level[m]), int(frame.regime[at])
                )
            )
        return tuple(drivers)


def _approach(hours: Floats, mean_hours: float) -> Floats:
    """1 - exp(-x) of x = hours / mean_hours, as x / (1 + x / 2): 0.5 % more at a quarter, 4 % at one. An exponential
    costs four times as much and differs in its last digits between machines."""
    half = hours * 0.5
    half += mean_hours
    x = np.divide(hours, half, out=half)
    return np.minimum(x, 1.0, out=x)
