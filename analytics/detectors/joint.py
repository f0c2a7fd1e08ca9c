"""Metrics that are each within bounds but do not go together as they do on the other machines of the type.

Principal components of the smoothed standardised residuals, learned from the whole fleet once a day: Hotelling's T²
within the components that carry most of the variance, Q (squared prediction error) outside of them, each against
its chi-square limit (Jackson and Mudholkar's moments for Q). What each metric contributes names the drivers and the
failure mode; a change that fits no failure mode's symptoms raises nothing.

Off by default, because it takes a device's state beyond two kilobytes; what it is worth is in docs/detectors.md. A
table `[joint]` in the rules switches it on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analytics.definitions import Definition, Floats, product, related
from analytics.detectors import alarm, alarm_settings, blame
from analytics.detectors.protocol import Detector, Driver, Outcome
from analytics.fields import Field
from analytics.frame import Frame
from analytics.setting import setting
from analytics.state import Rows


@dataclass(frozen=True)
class Tuning:
    """Limits of the joint rule; hours of event time."""

    mean_hours: float = setting(
        6.0, "h", 0.1, 168, "The residuals are smoothed over so many hours.",
        "残差按这么多小时平滑。",
    )  # fmt: skip
    clip: float = setting(
        8.0, "z", 1, 100, "One row counts for at most so many spreads.",
        "单行最多计这么多倍离散度。",
    )  # fmt: skip
    variance: float = setting(
        0.85, "share", 0.1, 0.999, "Share of the fleet’s variance that counts as going together.",
        "视为共同变化的机群方差比例。",
    )  # fmt: skip
    tail: float = setting(
        1e-4, "share", 1e-09, 0.1, "Chance of a healthy machine beyond the statistical limit.",
        "健康设备超出统计限值的概率。",
    )  # fmt: skip
    limit: float = setting(
        2.5, "×", 0.1, 100, "The statistical limit is multiplied by this. Higher: fewer and later alarms.",
        "统计限值乘以此倍数。越高，报警越少越晚。",
    )  # fmt: skip
    least: float = setting(
        300.0, "rows", 10, 10000000.0, "Rows of healthy machines before the rule judges.",
        "规则开始判断前所需的健康数据行数。",
    )  # fmt: skip
    keep_days: float = setting(
        30.0, "d", 1, 365, "What goes together is forgotten within so many days.",
        "共同变化规律在这么多天内逐渐遗忘。",
    )  # fmt: skip
    share: float = setting(
        0.6, "share", 0.05, 1, "Share of the deviation that one failure mode’s symptoms must explain.",
        "一个失效模式的症状须解释的偏差比例。",
    )  # fmt: skip
    suspect: float = alarm_settings.suspect(0.6)
    clear: float = alarm_settings.clear(0.5)
    hold_hours: float = alarm_settings.hold_hours(3.0)
    clear_hours: float = alarm_settings.clear_hours(12.0)
    refractory: float = alarm_settings.refractory(0.5)
    refractory_hours: float = alarm_settings.refractory_hours(72.0)


@dataclass(frozen=True)
class Components:
    """What is normal together. `inside` and `outside` are [metric, metric]: T² and Q of x are x'Ax for each, already
    divided by their limits."""

    inside: Floats
    outside: Floats

    @classmethod
    def of(cls, covariance: Floats, tuning: Tuning) -> Components:
        """From the covariance of healthy residuals."""
        from scipy.special import chdtri  # here, so that a worker whose rule is off starts without it

        values, vectors = np.linalg.eigh(covariance)
        values, vectors = np.maximum(values[::-1], 1e-6), vectors[:, ::-1]
        retained = int(np.searchsorted(np.cumsum(values) / values.sum(), tuning.variance)) + 1
        retained = min(retained, len(values))
        kept, rest = vectors[:, :retained], vectors[:, retained:]
        inside = kept / values[:retained] @ kept.T
        inside /= tuning.limit * float(chdtri(retained, tuning.tail))
        outside = np.zeros_like(inside)
        if retained < len(values):
            first, second = values[retained:].sum(), (values[retained:] ** 2).sum()
            bound = second / first * float(chdtri(first**2 / second, tuning.tail))
            outside = rest @ rest.T / (tuning.limit * bound)
        return cls(inside, outside)

    def contributions(self, level: Floats) -> tuple[Floats, Floats]:
        """[n] the score (1 is the limit) and [n, metric] what each metric adds to it."""
        inside, outside = level * product(level, self.inside), level * product(level, self.outside)
        t, q = inside.sum(axis=1), outside.sum(axis=1)
        return np.maximum(t, q), np.where((t >= q)[:, None], inside, outside)


class Joint(Detector):
    """See the module."""

    rule: ClassVar[str] = "joint"
    version: ClassVar[int] = 1
    on: ClassVar[bool] = False
    Tuning = Tuning
    fields = (Field("fast", ("metric",)), *alarm.FIELDS)

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        self.tuning: Tuning
        t = self.tuning
        self._rules = alarm.Hysteresis(
            t.suspect, t.clear, t.hold_hours, t.clear_hours, t.refractory, t.refractory_hours
        )
        self._symptom = definition.weight > 0
        self._table = self._symptom.astype(float)
        self._of: Mapping[str, Any] | None = None
        self._components: Components | None = None

    def learn_fleet(
        self, field: Callable[[str], Floats], known: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """See `Detector`: the covariance of what healthy machines show at this moment, added to what is known."""
        names, level = list(self.definition.axis("metric")), field("fast")
        level = level[(level != 0).all(axis=1) & (field("busy") == 0)]
        level = level[(np.abs(level) < 4).all(axis=1)]
        weight, total = float(len(level)), level.T @ level
        if known is not None and known["metrics"] == names:
            keep = float(np.exp(-1.0 / self.tuning.keep_days))
            weight += keep * known["weight"]
            total = total + keep * known["weight"] * np.array(known["covariance"])
        if weight == 0:
            return None
        return {"metrics": names, "weight": weight, "covariance": (total / weight).tolist()}

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`."""
        z = np.clip(frame.z, -self.tuning.clip, self.tuning.clip)
        level = state["fast"]
        level += frame.hours / (self.tuning.mean_hours + frame.hours) * (z - level)
        self._use(frame.fleet.rules.get(self.rule))
        if self._components is None:
            return Outcome()
        score, parts = self._components.contributions(level)
        at = alarm.busy(state, (score >= self.tuning.suspect)[:, None])
        if not len(at):
            return Outcome()
        rare, level, parts = state.rare(at), level[at], np.maximum(parts[at], 0.0)
        explained = blame.explained(self.definition, level, parts, rare["open"] > 0, self.tuning.share)
        scores = score[at][:, None] * explained
        live = related(frame.judged[at], self._table.T)
        hours = np.where(live, (frame.hours[at][:, None, :] * self._symptom).max(axis=2), 0.0)
        verdict = alarm.judge(rare, frame.ts[at], live, hours, scores, self._rules)

        def drivers(n: int, k: int) -> tuple[Driver, ...]:
            return blame.drivers(self.definition, frame, int(at[n]), level[n], parts[n])

        findings = self.clears(frame, at, verdict) + self.raises(frame, at, rare, verdict, drivers)
        alarm.keep(state, at, rare)
        return Outcome(findings, alarm.frozen(rare, at, self._table))

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`."""
        state["fast"][at, self._symptom[modes].any(axis=0)] = 0.0
        alarm.close(state, at, modes, self.tuning.refractory)

    def _use(self, known: Mapping[str, Any] | None) -> None:
        """The components of what the fleet knows; worked out once."""
        if known is self._of:
            return
        self._of, self._components = known, None
        fits = known is not None and known["metrics"] == list(self.definition.axis("metric"))
        if known is not None and fits and known["weight"] >= self.tuning.least:
            self._components = Components.of(np.array(known["covariance"]), self.tuning)
