"""What may be set of river's models as detectors. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.detectors import alarm_settings
from analytics.setting import setting


def _mean_hours() -> Any:
    return setting(
        6.0, "h", 0.1, 168, "The residuals are smoothed over so many hours.", "残差按这么多小时平滑。"
    )


def _share() -> Any:
    return setting(
        0.6, "share", 0.05, 1, "A failure mode’s symptoms must explain this part of the change.",
        "故障模式的症状须解释变化的这一比例。",
    )  # fmt: skip


@dataclass(frozen=True)
class PageHinkleyTuning:
    """Limits of river's Page-Hinkley test; it counts rows, not hours."""

    delta: float = setting(
        0.75, "z", 0, 10, "A residual this far from its own mean is no drift.", "残差偏离自身均值在此以内不算漂移。"
    )  # fmt: skip
    threshold: float = setting(
        60.0, "z", 1, 10000, "The sum of what lies beyond is drift from here on. Higher: fewer and later alarms.",
        "超出部分累计到此值即为漂移。越高，报警越少越晚。",
    )  # fmt: skip
    rows: int = setting(
        100, "rows", 2, 100000, "Rows of a metric before the test judges.", "检验开始判断前所需的行数。"
    )  # fmt: skip
    mean_hours: float = _mean_hours()
    share: float = _share()
    suspect: float = alarm_settings.suspect(0.6)
    clear: float = alarm_settings.clear(0.5)
    hold_hours: float = alarm_settings.hold_hours(0.0)
    clear_hours: float = alarm_settings.clear_hours(12.0)
    refractory: float = alarm_settings.refractory(0.5)
    refractory_hours: float = alarm_settings.refractory_hours(72.0)


@dataclass(frozen=True)
class HalfSpaceTreesTuning:
    """Limits of river's half-space trees."""

    window: int = setting(
        100, "rows", 10, 100000, "The trees compare with the last so many rows.", "与最近这么多行比较。"
    )  # fmt: skip
    limit: float = setting(
        5.0, "z", 1, 100, "The smoothed score lies so many of its own spreads above its mean. Higher: fewer alarms.",
        "平滑得分高于其均值这么多倍离散度。越高，报警越少。",
    )  # fmt: skip
    floor: float = setting(
        0.01, "", 0.0001, 1, "Least spread of the score.", "得分离散度的下限。"
    )  # fmt: skip
    rows: int = setting(
        24, "rows", 2, 100000, "Rows scored before the rule judges.", "规则开始判断前需评分的行数。"
    )  # fmt: skip
    mean_hours: float = _mean_hours()
    share: float = _share()
    suspect: float = alarm_settings.suspect(0.5)
    clear: float = alarm_settings.clear(0.5)
    hold_hours: float = alarm_settings.hold_hours(2.0)
    clear_hours: float = alarm_settings.clear_hours(12.0)
    refractory: float = alarm_settings.refractory(0.5)
    refractory_hours: float = alarm_settings.refractory_hours(72.0)
