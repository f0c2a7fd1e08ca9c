"""A lasting shift of the metrics that tell of a failure mode.

Per metric: an exponentially weighted mean of the standardised residual z (Roberts 1959), in units of its own
learned spread, and two one-sided cumulative sums of it (Page 1954). Per failure mode: the matched filter of its
symptoms, sum(w · evidence) / sqrt(sum w²), against a limit of 1. All times are event time, so that the same
limits hold for rows every ten minutes and every three hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analytics.block import Event
from analytics.definitions import HOUR, Bools, Definition, Floats
from analytics.detectors.protocol import Driver, Finding, Outcome
from analytics.features import SIGMA, Frame
from analytics.state import Arrays, Field


@dataclass(frozen=True)
class Tuning:
    """Limits of the shift rule; hours of event time."""

    mean_hours: float = 4.0
    clip: float = 8.0  # one row counts for at most so many z: a spike alone is no shift
    spread_days: float = 14.0
    spread_floor: float = 0.3
    limit: float = 5.5  # of the matched filter, in spreads
    allowance: float = 2.5  # of the cumulative sums …
    sum_hours: float = 3.0  # … which grow by their excess once in so many hours …
    sum_limit: float = 8.0  # … up to this limit
    suspect: float = 0.6  # score above which the baseline learns nothing
    clear: float = 0.5  # score below which an alarm may clear
    hold_hours: float = 1.0  # the limit must be passed for so long before an alarm …
    clear_hours: float = 12.0  # … and kept for so long before it clears
    longest_step_hours: float = 6.0
    refractory: float = 0.5  # after an alarm the limit is higher by this part …
    refractory_hours: float = 72.0  # … which decays


class Shift:
    """See the module; one failure mode is raised at a time for a metric that several share: the best explaining."""

    rule: ClassVar[str] = "shift"
    version: ClassVar[int] = 1
    FIELDS = (
        Field("fast", ("metric",)),
        Field("spread", ("metric",), start=1.0 / SIGMA),
        Field("up", ("metric",)),
        Field("down", ("metric",)),
        Field("used", ("metric",)),
        Field("at"),
        Field("mode_spread", ("mode",), start=1.0 / SIGMA),
        Field("over", ("mode",)),  # hours above the limit
        Field("under", ("mode",)),  # hours below the clearing level
        Field("was_over", ("mode",)),
        Field("onset", ("mode",)),  # when the score last rose above `suspect`; 0: it is below
        Field("open", ("mode",)),
        Field("opened", ("mode",)),
        Field("raised_limit", ("mode",)),
    )

    def __init__(self, definition: Definition, tuning: Tuning | None = None) -> None:
        self.definition, self.tuning = definition, tuning or Tuning()
        self.state = Arrays(self.rule, definition, self.FIELDS)
        self._weight, self._sign = definition.weight, definition.sign
        self._symptom = self._weight > 0
        self._both = self._symptom & (self._sign == 0)
        unshared = ~(self._symptom[:, None, :] & self._symptom[None, :, :])
        self._rivals = ~unshared.all(axis=2) & ~np.eye(len(definition.modes), dtype=bool)
        # [mode, rival, metric]: what speaks for the mode and not for the rival
        self._alone = self._weight[:, None, :] * unshared

    def step(self, frame: Frame, events: list[tuple[int, Event]]) -> Outcome:
        """See `Detector`. Frames without a judged value change nothing."""
        judged = ~np.isnan(frame.z)
        if not judged.any():
            return Outcome(freeze=self._frozen(frame))
        level = self._level(frame, judged)
        evidence = self._evidence(frame, level)
        score = self._score(frame, evidence, level)
        live = judged.any(axis=1)
        findings = self._decide(frame, live, score, evidence)
        self._learn(frame, judged, level)
        return Outcome(findings, self._frozen(frame))

    def _frozen(self, frame: Frame) -> Bools:
        watched = (self.state["onset"][frame.slots] > 0) | (self.state["open"][frame.slots] > 0)
        frozen: Bools = (watched[:, :, None] & self._symptom).any(axis=1)
        return frozen

    def _level(self, frame: Frame, judged: Bools) -> Floats:
        """[n, metric] smoothed z in units of its own spread; moves the cumulative sums."""
        tuning, state, slots = self.tuning, self.state, frame.slots
        hours = np.clip((frame.ts[:, None] - state["used"][slots]) / HOUR, 0.0, tuning.longest_step_hours)
        hours = np.where(judged, hours, 0.0)
        z = np.where(judged, np.clip(frame.z, -tuning.clip, tuning.clip), 0.0)
        fast = state["fast"][slots]
        fast = fast - np.expm1(-hours / tuning.mean_hours) * (z - fast)
        level = fast / np.maximum(SIGMA * state["spread"][slots], tuning.spread_floor)
        level = np.clip(level, -3 * tuning.limit, 3 * tuning.limit)
        step, most = hours / tuning.sum_hours, 2 * tuning.sum_limit
        state["up"][slots] = np.clip(state["up"][slots] + (level - tuning.allowance) * step, 0.0, most)
        state["down"][slots] = np.clip(state["down"][slots] - (level + tuning.allowance) * step, 0.0, most)
        state["fast"][slots] = fast
        state["used"][slots] = np.where(judged, frame.ts[:, None], state["used"][slots])
        return level

    def _evidence(self, frame: Frame, level: Floats) -> tuple[Floats, Floats]:
        """[n, mode, metric]: level and cumulative sum in the direction that tells of the mode."""
        up, down = self.state["up"][frame.slots], self.state["down"][frame.slots]
        directed = level[:, None, :] * self._sign
        # |z| of a healthy metric has a mean of its own
        directed = np.where(self._both, np.abs(level)[:, None, :] - 0.8, directed)
        sums = np.where(self._sign > 0, up[:, None, :], np.where(self._sign < 0, down[:, None, :], 0.0))
        sums = np.where(self._both, np.maximum(up, down)[:, None, :], sums)
        return directed, sums

    def _norm(self, frame: Frame, weight: Floats) -> Floats:
        seen = self.state["used"][frame.slots] > 0
        norm: Floats = np.sqrt((weight**2 * seen[:, None, :]).sum(axis=2))
        return np.maximum(norm, 1e-9)

    def _score(self, frame: Frame, evidence: tuple[Floats, Floats], level: Floats) -> Floats:
        """[n, mode]: 1 is the limit."""
        tuning, (directed, sums) = self.tuning, evidence
        norm = self._norm(frame, self._weight)
        filtered = (directed * self._weight).sum(axis=2) / norm
        spread = np.maximum(SIGMA * self.state["mode_spread"][frame.slots], 1.0)
        total = (sums * self._weight).sum(axis=2) / norm
        score: Floats = np.maximum(filtered / spread / tuning.limit, total / tuning.sum_limit)
        self._filtered = filtered
        return score

    def _decide(
        self, frame: Frame, live: Bools, score: Floats, evidence: tuple[Floats, Floats]
    ) -> list[Finding]:
        tuning, state, slots = self.tuning, self.state, frame.slots
        hours = np.clip((frame.ts - state["at"][slots]) / HOUR, 0.0, tuning.longest_step_hours)
        hours = np.where(live, hours, 0.0)[:, None]
        extra = state["raised_limit"][slots] * np.exp(-hours / tuning.refractory_hours)
        score = score / (1.0 + np.where(state["open"][slots] > 0, 0.0, extra))
        over, low = score >= 1.0, score < tuning.clear
        lasting = np.where(state["was_over"][slots] > 0, hours, 0.0)
        above = np.where(over, state["over"][slots] + lasting, np.maximum(state["over"][slots] - hours, 0.0))
        below = np.where(low, state["under"][slots] + hours, 0.0)
        onset = state["onset"][slots]
        onset = np.where(score >= tuning.suspect, np.where(onset > 0, onset, frame.ts[:, None]), 0.0)
        for name, value in (
            ("over", above),
            ("under", below),
            ("onset", onset),
            ("was_over", over),
            ("raised_limit", extra),
        ):
            state[name][slots] = np.where(live[:, None], value, state[name][slots])
        state["at"][slots] = np.where(live, frame.ts, state["at"][slots])
        is_open = state["open"][slots] > 0
        raising = live[:, None] & ~is_open & over & (above >= tuning.hold_hours)
        clearing = live[:, None] & is_open & (below >= tuning.clear_hours)
        found = [self._clear(frame, int(n), int(k), score) for n, k in zip(*np.nonzero(clearing), strict=True)]
        for n in np.flatnonzero(raising.any(axis=1)):
            found += self._raise(frame, int(n), raising[n], score[n], (evidence[0][n], evidence[1][n]))
        return found

    def _clear(self, frame: Frame, n: int, k: int, score: Floats) -> Finding:
        slot, ts = int(frame.slots[n]), int(frame.ts[n])
        since = int(ts - self.state["under"][slot, k] * HOUR)
        self._shut(slot, k)
        self.state["raised_limit"][slot, k] = self.tuning.refractory
        return self._finding(frame, n, k, "clear", since, float(score[n, k]), ())

    def _shut(self, slot: int, k: int) -> None:
        for name in ("open", "opened", "over", "under", "was_over", "onset"):
            self.state[name][slot, k] = 0.0

    def _raise(
        self, frame: Frame, n: int, raising: Bools, score: Floats, evidence: tuple[Floats, Floats]
    ) -> list[Finding]:
        """The best explaining modes first; a mode that shares a metric with a better one, or with one that is
        already open, must pass the limit by the metrics it does not share."""
        slot, found = int(frame.slots[n]), []
        for k in sorted(np.flatnonzero(raising), key=lambda k: (-score[k], k)):
            if self._explained(slot, int(k), score, evidence):
                continue
            self.state["open"][slot, k], self.state["opened"][slot, k] = 1.0, frame.ts[n]
            self.state["under"][slot, k] = 0.0
            drivers = self._drivers(frame, n, int(k), evidence)
            since = int(self.state["onset"][slot, k])
            found.append(self._finding(frame, n, int(k), "raise", since, float(score[k]), drivers))
        return found

    def _explained(self, slot: int, k: int, score: Floats, evidence: tuple[Floats, Floats]) -> bool:
        tuning, (directed, sums) = self.tuning, evidence
        is_open = self.state["open"][slot] > 0
        for rival in np.flatnonzero(self._rivals[k] & (is_open | (score > max(score[k], 1.0)))):
            weight = self._alone[k, rival]
            norm = np.sqrt((weight**2).sum())
            if norm == 0:
                return True
            alone = max(
                float(weight @ directed[k]) / norm / tuning.limit, float(weight @ sums[k]) / norm / tuning.sum_limit
            )
            if alone < 1.0:
                return True
        return False

    def _drivers(self, frame: Frame, n: int, k: int, evidence: tuple[Floats, Floats]) -> tuple[Driver, ...]:
        tuning, slot = self.tuning, frame.slots[n]
        share = self._weight[k] * np.maximum(evidence[0][k] / tuning.limit, evidence[1][k] / tuning.sum_limit)
        spread = np.maximum(SIGMA * self.state["spread"][slot], tuning.spread_floor) * tuning.limit * frame.spread[n]
        level = self.state["fast"][slot]
        drivers = []
        for m in np.argsort(-share, kind="stable"):
            if share[m] <= 0:
                break
            metric, value = self.definition.metrics[m], frame.values[n, m]
            drivers.append(
                Driver(
                    metric.name,
                    None if np.isnan(value) else float(value),
                    float(frame.expected[n, m]),
                    float(frame.expected[n, m] + np.copysign(spread[m], level[m])),
                    metric.unit,
                    float(level[m]),
                    int(frame.regime[n]),
                )
            )
        return tuple(drivers)

    def _finding(
        self, frame: Frame, n: int, k: int, kind: str, since: int, score: float, drivers: tuple[Driver, ...]
    ) -> Finding:
        mode = self.definition.modes[k]
        return Finding(
            int(frame.slots[n]), int(frame.ts[n]), since, kind, self.rule, self.version,
            mode.code, mode.priority, score, int(frame.batch[n]), drivers,
        )  # fmt: skip

    def _learn(self, frame: Frame, judged: Bools, level: Floats) -> None:
        """Spreads follow their streams while nothing is suspected."""
        tuning, state, slots = self.tuning, self.state, frame.slots
        calm = judged & ~self._frozen(frame)
        days = np.where(calm, 1.0, 0.0) * (tuning.mean_hours / 24.0)
        del days
        raise AssertionError
