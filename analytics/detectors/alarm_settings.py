"""The settings that detectors with an `alarm.Hysteresis` have in common. Pure."""

from __future__ import annotations

from typing import Any

from analytics.setting import setting


def suspect(default: float) -> Any:
    """`Hysteresis.suspect`"""
    return setting(
        default,
        "×",
        0.05,
        1,
        "Score above which the baseline learns nothing.",
        "得分超过此值时基线停止学习。",
    )


def clear(default: float) -> Any:
    """`Hysteresis.clear`"""
    return setting(
        default, "×", 0.01, 1, "Score below which an alarm may clear.", "得分低于此值时报警可以解除。"
    )


def hold_hours(default: float) -> Any:
    """`Hysteresis.hold`"""
    return setting(
        default,
        "h",
        0,
        168,
        "The limit must be passed for so long before an alarm.",
        "超限持续这么久才报警。",
    )


def clear_hours(default: float) -> Any:
    """`Hysteresis.clear_hours`"""
    en = "The score must stay low for so long before an alarm clears."
    return setting(default, "h", 0, 720, en, "得分持续偏低这么久才解除报警。")


def refractory(default: float) -> Any:
    """`Hysteresis.refractory`"""
    en = "After an alarm the limit is higher by this part …"
    return setting(default, "×", 0, 10, en, "报警解除后限值按此比例提高……")


def refractory_hours(default: float) -> Any:
    """`Hysteresis.refractory_hours`"""
    return setting(
        default, "h", 0.1, 8760, "… which fades over so many hours.", "……并在这么多小时内逐渐恢复。"
    )
