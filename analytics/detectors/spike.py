"""A sudden, large change: a metric far outside its baseline in m of the last n judged rows.

Quicker than `shift` for what breaks from one hour to the next; m-of-n keeps single glitches out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analytics.definitions import Definition, Floats, related
from analytics.detectors import alarm
from analytics.detectors.protocol import Detector, Driver, Outcome
from analytics.fields import Field
from analytics.frame import Frame
from analytics.state import Rows


@dataclass(frozen=True)
class Tuning:
    """Limits of the spike rule."""

    z: float = 8.0
    least: int = 3  # of …
    window: int = 5  # … rows, at most 32
    clear_hours: float = 12.0
    refractory: float = 0.5
    refractory_hours: float = 72.0


class Spike(Detector):
    """The last rows of a mode are bits of an integer: 1 where a symptom was beyond the limit."""

    rule: ClassVar[str] = "spike"
    version: ClassVar[int] = 1
    Tuning = Tuning
    fields = (Field("hits", ("mode",), rare=True), *alarm.FIELDS)

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        self.tuning: Tuning
        t = self.tuning
        # One hit makes the mode suspect: the baseline must not learn what may be a fault.
        self._rules = alarm.Hysteresis(
            0.5 / t.least, 0.5 / t.least, 0.0, t.clear_hours, t.refractory, t.refractory_hours
        )
        self._symptom, self._sign = definition.weight > 0, definition.sign
        self._both = self._symptom & (self._sign == 0)
        self._table, self._symptom_of = self._symptom.astype(float), self._symptom.T.astype(float)

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`."""
        beyond = np.abs(frame.z) >= self.tuning.z
        at = alarm.busy(state, beyond)
        if not len(at):
            return Outcome()
        rare, judged, z = state.rare(at), frame.judged[at], frame.z[at][:, None, :]
        directed = np.where(self._both, np.abs(z), z * self._sign)
        live = related(judged, self._symptom_of)
        hits = rare["hits"].astype(np.int64)
        hits = (2 * hits + (directed >= self.tuning.z).any(axis=2)) & ((1 << self.tuning.window) - 1)
        np.copyto(rare["hits"], hits, where=live)
        score = np.bitwise_count(hits) / self.tuning.least
        hours = np.where(live, (frame.hours[at][:, None, :] * self._symptom).max(axis=2), 0.0)
        verdict = alarm.judge(rare, frame.ts[at], live, hours, score, self._rules)
        findings = [
            self.finding(
                frame, int(at[n]), int(k), "clear", int(verdict.low_since[n, k]), verdict.score[n, k]
            )
            for n, k in zip(*np.nonzero(verdict.clearing), strict=True)
        ]
        for n, k in zip(*np.nonzero(verdict.raising), strict=True):
            alarm.open_mode(rare, int(n), int(k))
            since = int(rare["onset"][n, k]) or int(frame.ts[at[n]])
            drivers = self._drivers(frame, int(at[n]), directed[n, k])
            findings.append(
                self.finding(frame, int(at[n]), int(k), "raise", since, verdict.score[n, k], drivers)
            )
        alarm.keep(state, at, rare)
        return Outcome(findings, alarm.frozen(rare, at, self._table))

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`."""
        alarm.close(state, at, modes, self.tuning.refractory)

    def _drivers(self, frame: Frame, n: int, directed: Floats) -> tuple[Driver, ...]:
        drivers = []
        for m in np.argsort(-directed, kind="stable"):
            if directed[m] < self.tuning.z / 2:
                break
            metric, z, expected = (
                self.definition.metrics[m],
                float(frame.z[n, m]),
                float(frame.expected[n, m]),
            )
            limit = expected + float(np.copysign(self.tuning.z * frame.spread[n, m], z))
            value = float(frame.values[n, m])
            drivers.append(Driver(metric.name, value, expected, limit, metric.unit, z, int(frame.regime[n])))
        return tuple(drivers)
