"""A sudden, large change: a metric far outside its baseline in m of the last n judged rows.

Quicker than `shift` for what breaks from one hour to the next; m-of-n keeps single glitches out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analytics.definitions import Definition, Floats, related
from analytics.detectors import alarm, alarm_settings
from analytics.detectors.protocol import Detector, Driver, Outcome
from analytics.fields import Field
from analytics.frame import Frame
from analytics.setting import setting
from analytics.state import Rows
from kit.errors import Invalid


@dataclass(frozen=True)
class Tuning:
    """Limits of the spike rule."""

    z: float = setting(
        8.0, "z", 1, 100,
        "A row counts when a symptom lies so many spreads from its baseline. Higher: fewer alarms.",
        "症状偏离基线达到这么多倍离散度时计一次。越高，报警越少。",
    )  # fmt: skip
    least: int = setting(3, "rows", 1, 32, "So many rows must count …", "至少这么多行计数……")
    window: int = setting(5, "rows", 1, 32, "… of the last so many.", "……在最近这么多行之中。")
    clear_hours: float = setting(
        12.0, "h", 0, 720, "No row may count for so long before an alarm clears.",
        "这么久没有计数才解除报警。",
    )  # fmt: skip
    refractory: float = alarm_settings.refractory(0.5)
    refractory_hours: float = alarm_settings.refractory_hours(72.0)

    def __post_init__(self) -> None:
        if self.least > self.window:
            raise Invalid(
                f"spike.least must be a whole number from 1 to spike.window ({self.window}), not {self.least}.",
                key="spike.least", low=1, high=self.window,
            )  # fmt: skip


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

        def drivers(n: int, k: int) -> tuple[Driver, ...]:
            return self._drivers(frame, int(at[n]), directed[n, k])

        findings = self.clears(frame, at, verdict) + self.raises(frame, at, rare, verdict, drivers)
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
