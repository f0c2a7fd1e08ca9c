"""What may be set of the shift rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.detectors import alarm_settings
from analytics.setting import setting


@dataclass(frozen=True)
class Tuning:
    """Limits of the shift rule; hours of event time."""

    mean_hours: float = setting(
        4.0, "h", 0.1, 168, "The residual is smoothed over so many hours.",
        "残差按这么多小时平滑。",
    )  # fmt: skip
    clip: float = setting(
        8.0, "z", 1, 100, "One row counts for at most so many spreads: a spike alone is no shift.",
        "单行最多计这么多倍离散度：单个尖峰不算偏移。",
    )  # fmt: skip
    spread_days: float = setting(
        7.0, "d", 0.5, 365, "How fast the usual unrest of the smoothed residual is learned.",
        "平滑残差正常波动的学习速度。",
    )  # fmt: skip
    spread_floor: float = setting(
        0.3, "z", 0.01, 10, "Least unrest that is taken for usual.",
        "视为正常的最小波动。",
    )  # fmt: skip
    limit: float = setting(
        5.5, "z", 1, 100,
        "An alarm is raised when a mode’s symptoms together lie beyond this. Higher: fewer and later alarms.",
        "失效模式的症状合计超过此值即报警。越高，报警越少越晚。",
    )  # fmt: skip
    both_mean: float = setting(
        0.8, "z", 0, 10,
        "What the size of a healthy metric’s residual amounts to, for symptoms that count in both directions.",
        "对双向症状，健康指标残差大小的期望值。",
    )  # fmt: skip
    allowance: float = setting(
        2.5, "z", 0, 50, "The cumulative sum grows only by what exceeds this.",
        "累积和只累加超过此值的部分。",
    )  # fmt: skip
    sum_hours: float = setting(3.0, "h", 0.1, 168, "… once in so many hours.", "……每这么多小时累加一次。")
    sum_limit: float = setting(
        8.0, "z", 1, 1000,
        "An alarm is raised when the cumulative sum passes this: catches slow drift. Higher: fewer and later.",
        "累积和超过此值即报警，用于发现缓慢漂移。越高，报警越少越晚。",
    )  # fmt: skip
    suspect: float = alarm_settings.suspect(0.6)
    clear: float = alarm_settings.clear(0.5)
    hold_hours: float = alarm_settings.hold_hours(1.0)
    clear_hours: float = alarm_settings.clear_hours(12.0)
    refractory: float = alarm_settings.refractory(0.5)
    refractory_hours: float = alarm_settings.refractory_hours(72.0)
