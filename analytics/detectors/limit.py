"""Fixed limits of the device type (`[[limit]]` tables), passed for a minimum time while the machine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analytics.definitions import Definition, Floats, Ints
from analytics.detectors import alarm
from analytics.detectors.protocol import Detector, Driver, Finding, Outcome
from analytics.fields import Field
from analytics.frame import Frame
from analytics.setting import setting
from analytics.state import Rows


@dataclass(frozen=True)
class Tuning:
    """The limits themselves belong to the device type."""

    clear_hours: float = setting(
        1.0, "h", 0, 720, "The value must lie well inside for so long before an alarm clears.",
        "数值回到安全范围内这么久才解除报警。",
    )  # fmt: skip


class Limits(Detector):
    """The score of a mode is 1 at its nearest limit and 0.5 where the limit's band ends."""

    rule: ClassVar[str] = "limit"
    version: ClassVar[int] = 1
    Tuning = Tuning

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        self.tuning: Tuning
        self._limits = definition.limits
        self.fields: tuple[Field, ...] = (
            alarm.FIELDS if self._limits else (Field("open", ("mode",), rare=True, lasting=True),)
        )
        metrics, modes = definition.axis("metric"), definition.axis("mode")
        self._metric = np.array([metrics.index(limit.metric) for limit in self._limits], np.int64)
        self._mode = np.array([modes.index(limit.mode) for limit in self._limits], np.int64)
        self._side = np.array([1.0 if limit.side == "high" else -1.0 for limit in self._limits])
        self._value = np.array([limit.value for limit in self._limits])
        self._band = np.array([max(limit.band, 1e-9) for limit in self._limits])
        # [n, metric] the nearest limits, repeated: a comparison of all metrics costs less than one of a column
        self._high, self._low = np.full((1, len(metrics)), np.inf), np.full((1, len(metrics)), -np.inf)
        for metric, side, value in zip(self._metric, self._side, self._value, strict=True):
            if side > 0:
                self._high[0, metric] = min(self._high[0, metric], value)
            else:
                self._low[0, metric] = max(self._low[0, metric], value)
        self._any_low = bool(np.isfinite(self._low).any())
        hold = np.zeros(len(modes))
        np.maximum.at(hold, self._mode, np.array([limit.hold_minutes / 60.0 for limit in self._limits]))
        self._rules = alarm.Hysteresis(1.0, 0.5, hold, self.tuning.clear_hours)

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`."""
        if not self._limits:
            return Outcome()
        if len(self._high) < len(frame):
            self._high, self._low = (np.tile(one[:1], (len(frame), 1)) for one in (self._high, self._low))
        passed = frame.values >= self._high[: len(frame)]
        if self._any_low:
            passed |= frame.values <= self._low[: len(frame)]
        rows = alarm.busy(state, passed)
        if not len(rows):
            return Outcome()
        return Outcome(self._step(frame, state, rows))

    def _step(self, frame: Frame, state: Rows, rows: Ints) -> list[Finding]:
        """The devices at some positions."""
        values, moments = frame.values[rows][:, self._metric], frame.hours[rows]
        each = 1.0 + 0.5 * self._side * (values - self._value) / self._band
        known = frame.fresh(rows)[:, self._metric]  # a stuck sensor passes no limit
        each = np.where(known, np.clip(each, -8.0, 9.0), -9.0)
        rare = state.rare(rows)
        score, live = np.full(rare["open"].shape, -9.0), np.zeros(rare["open"].shape, bool)
        hours = np.zeros(rare["open"].shape)
        for at, mode in enumerate(self._mode):
            np.maximum(score[:, mode], each[:, at], out=score[:, mode])
            live[:, mode] |= known[:, at]
            np.maximum(hours[:, mode], moments[:, self._metric[at]], out=hours[:, mode])
        verdict = alarm.judge(rare, frame.ts[rows], live, np.where(live, hours, 0.0), score, self._rules)
        findings = []
        for n, k in zip(*np.nonzero(verdict.clearing), strict=True):
            findings.append(
                self._finding(frame, int(rows[n]), int(k), "clear", int(verdict.low_since[n, k]), each[n])
            )
        for n, k in zip(*np.nonzero(verdict.raising), strict=True):
            alarm.open_mode(rare, int(n), int(k))
            since = int(rare["onset"][n, k]) or int(frame.ts[rows[n]])
            findings.append(self._finding(frame, int(rows[n]), int(k), "raise", since, each[n]))
        alarm.keep(state, rows, rare)
        return findings

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`."""
        if self._limits:
            alarm.close(state, at, modes, 0.0)

    def _finding(self, frame: Frame, n: int, k: int, kind: str, since: int, each: Floats) -> Finding:
        ours = [at for at in np.flatnonzero(self._mode == k) if each[at] > -9.0]
        ours.sort(key=lambda at: (-each[at], at))
        worst, drivers = self._limits[ours[0]], []
        for at in ours if kind == "clear" else [at for at in ours if each[at] >= 1.0]:
            metric = self.definition.metrics[self._metric[at]]
            value = float(frame.values[n, self._metric[at]])
            drivers.append(
                Driver(
                    metric.name, value, None, float(self._value[at]), metric.unit, None, int(frame.regime[n])
                )
            )
        mode = self.definition.modes[k]
        return Finding(
            n, int(frame.ts[n]), since, kind, self.rule, self.version, mode.code, worst.severity,
            float(each[ours[0]]), int(frame.batch[n]), tuple(drivers) if kind == "raise" else (),
        )  # fmt: skip
