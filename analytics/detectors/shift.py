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

from analytics.definitions import Bools, Definition, Floats, related
from analytics.detectors import alarm
from analytics.detectors.protocol import Detector, Driver, Finding, Outcome
from analytics.features import SIGMA, Frame
from analytics.state import Field, Rows


@dataclass(frozen=True)
class Tuning:
    """Limits of the shift rule; hours of event time."""

    mean_hours: float = 4.0
    clip: float = 8.0  # one row counts for at most so many z: a spike alone is no shift
    spread_days: float = 7.0
    spread_floor: float = 0.3
    limit: float = 5.5  # of the matched filter, in spreads
    both_mean: float = 0.8  # what |z| of a healthy metric amounts to
    allowance: float = 2.5  # of the cumulative sums …
    sum_hours: float = 3.0  # … which grow by their excess once in so many hours …
    sum_limit: float = 8.0  # … up to this limit
    suspect: float = 0.6  # score above which the baseline learns nothing
    clear: float = 0.5
    hold_hours: float = 1.0
    clear_hours: float = 12.0
    refractory: float = 0.5
    refractory_hours: float = 72.0


@dataclass(frozen=True)
class _Evidence:
    """[n, mode, metric]: level and cumulative sum in the direction that tells of the mode."""

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
        Field("up", ("metric",)),
        Field("down", ("metric",)),
        Field("seen", ("metric",)),
        Field("mode_spread", ("mode",), start=1.0 / SIGMA),
        *alarm.FIELDS,
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
        shared = self._symptom[:, None, :] & self._symptom[None, :, :]
        self._rivals = shared.any(axis=2) & ~np.eye(len(definition.modes), dtype=bool)
        # [mode, rival, metric]: what speaks for the mode and not for the rival
        self._alone = self._weight[:, None, :] * ~shared

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`. What was not judged changes nothing; a repeated value lets the level fade."""
        judged = ~np.isnan(frame.z)
        span = np.where(judged | ~frame.moved, frame.hours, 0.0)
        if not judged.any() and not span.any():
            return Outcome(freeze=alarm.frozen(state, self._table))
        level = self._level(frame, judged, span, state)
        evidence = self._evidence(level, state)
        filtered, score = self._score(evidence, state)
        live = related(judged, self._symptom_of)
        hours = np.where(live, (frame.hours[:, None, :] * self._symptom).max(axis=2), 0.0)
        verdict = alarm.judge(state, frame.ts, live, hours, score, self._rules)
        findings = self._clears(frame, verdict)
        for n in np.flatnonzero(verdict.raising.any(axis=1)):
            findings += self._raise(frame, int(n), verdict, evidence, state)
        self._learn(frame, judged, filtered, live, hours, state)
        return Outcome(findings, alarm.frozen(state, self._table))

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`."""
        metrics = self._symptom[modes].any(axis=0)
        for name in ("fast", "up", "down"):
            state[name][at, metrics] = 0.0
        alarm.close(state, at, modes, self.tuning.refractory)

    def _level(self, frame: Frame, judged: Bools, hours: Floats, state: Rows) -> Floats:
        """[n, metric] smoothed z in units of its own spread; moves the cumulative sums."""
        tuning = self.tuning
        z = np.where(judged, np.clip(frame.z, -tuning.clip, tuning.clip), 0.0)
        fast = state["fast"]
        fast -= np.expm1(-hours / tuning.mean_hours) * (z - fast)
        level = fast / np.maximum(SIGMA * state["spread"], tuning.spread_floor)
        np.clip(level, -3 * tuning.limit, 3 * tuning.limit, out=level)
        step, most = hours / tuning.sum_hours, 2 * tuning.sum_limit
        state["up"][:] = np.clip(state["up"] + (level - tuning.allowance) * step, 0.0, most)
        state["down"][:] = np.clip(state["down"] - (level + tuning.allowance) * step, 0.0, most)
        np.maximum(state["seen"], judged, out=state["seen"])
        return level

    def _evidence(self, level: Floats, state: Rows) -> _Evidence:
        up, down = state["up"][:, None, :], state["down"][:, None, :]
        directed = level[:, None, :] * self._sign
        sums = np.where(self._sign > 0, up, np.where(self._sign < 0, down, 0.0))
        if self._both.any():
            directed = np.where(self._both, np.abs(level)[:, None, :] - self.tuning.both_mean, directed)
            sums = np.where(self._both, np.maximum(up, down), sums)
        return _Evidence(directed, sums)

    def _score(self, evidence: _Evidence, state: Rows) -> tuple[Floats, Floats]:
        """[n, mode] the matched filter, and the score: 1 is the limit."""
        tuning, weight = self.tuning, self._weight
        seen = state["seen"][:, None, :]
        norm = np.maximum(np.sqrt((weight**2 * seen).sum(axis=2)), 1e-9)
        filtered = (evidence.level * weight * seen).sum(axis=2) / norm
        total = (evidence.sums * weight * seen).sum(axis=2) / norm
        spread = np.maximum(SIGMA * state["mode_spread"], 1.0)
        return filtered, np.maximum(filtered / spread / tuning.limit, total / tuning.sum_limit)

    def _learn(
        self, frame: Frame, judged: Bools, filtered: Floats, live: Bools, hours: Floats, state: Rows
    ) -> None:
        """Spreads follow their streams while nothing is suspected."""
        days = 24.0 * self.tuning.spread_days
        calm = judged & ~alarm.frozen(state, self._table)
        pace = np.where(calm, -np.expm1(-frame.hours / days), 0.0)
        state["spread"] += pace * (np.abs(state["fast"]) - state["spread"])
        calm = live & (state["onset"] == 0) & (state["open"] == 0)
        pace = np.where(calm, -np.expm1(-hours / days), 0.0)
        state["mode_spread"] += pace * (np.abs(filtered) - state["mode_spread"])

    def _clears(self, frame: Frame, verdict: alarm.Verdict) -> list[Finding]:
        return [
            self._finding(frame, int(n), int(k), "clear", int(verdict.low_since[n, k]), verdict, ())
            for n, k in zip(*np.nonzero(verdict.clearing), strict=True)
        ]

    def _raise(
        self, frame: Frame, n: int, verdict: alarm.Verdict, evidence: _Evidence, state: Rows
    ) -> list[Finding]:
        """The best explaining modes first; a mode that shares a metric with a better one, or with one that is
        already open, must pass the limit by the metrics it does not share."""
        found, score = [], verdict.score[n]
        for k in sorted(np.flatnonzero(verdict.raising[n]).tolist(), key=lambda k: (-score[k], k)):
            if self._explained(n, k, score, evidence, state):
                continue
            alarm.open_mode(state, n, k)
            drivers = self._drivers(frame, n, k, evidence, state)
            since = int(state["onset"][n, k]) or int(frame.ts[n])
            found.append(self._finding(frame, n, k, "raise", since, verdict, drivers))
        return found

    def _explained(self, n: int, k: int, score: Floats, evidence: _Evidence, state: Rows) -> bool:
        tuning = self.tuning
        stronger = (state["open"][n] > 0) | (score > max(score[k], 1.0))
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

    def _drivers(self, frame: Frame, n: int, k: int, evidence: _Evidence, state: Rows) -> tuple[Driver, ...]:
        tuning, level = self.tuning, state["fast"][n]
        share = self._weight[k] * np.maximum(
            evidence.level[n, k] / tuning.limit, evidence.sums[n, k] / tuning.sum_limit
        )
        spread = np.maximum(SIGMA * state["spread"][n], tuning.spread_floor) * tuning.limit * frame.spread[n]
        drivers = []
        for m in np.argsort(-share, kind="stable"):
            if share[m] <= 0:
                break
            metric, value, expected = (
                self.definition.metrics[m],
                frame.values[n, m],
                float(frame.expected[n, m]),
            )
            drivers.append(
                Driver(
                    metric.name, None if np.isnan(value) else float(value), expected,
                    expected + float(np.copysign(spread[m], level[m])), metric.unit,
                    float(level[m]), int(frame.regime[n]),
                )
            )  # fmt: skip
        return tuple(drivers)

    def _finding(
        self,
        frame: Frame,
        n: int,
        k: int,
        kind: str,
        since: int,
        verdict: alarm.Verdict,
        drivers: tuple[Driver, ...],
    ) -> Finding:
        mode = self.definition.modes[k]
        return Finding(
            n, int(frame.ts[n]), since, kind, self.rule, self.version, mode.code, mode.priority,
            float(verdict.score[n, k]), int(frame.batch[n]), drivers,
        )  # fmt: skip
