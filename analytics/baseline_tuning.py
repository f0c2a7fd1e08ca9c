"""How baselines learn, as settings. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.setting import setting


@dataclass(frozen=True)
class Tuning:
    """How baselines learn. Times in days of the device's own event time."""

    mean_days: float = setting(
        10.0, "d", 0.5, 365, "How fast the baseline’s mean follows: it averages over so many days.",
        "基线均值的跟随速度：按这么多天取平均。",
    )  # fmt: skip
    spread_days: float = setting(
        10.0, "d", 0.5, 365, "How fast the baseline’s spread follows.",
        "基线离散度的跟随速度。",
    )  # fmt: skip
    season_days: float = setting(
        7.0, "d", 0.5, 365, "How fast the daily pattern is learned.",
        "日周期规律的学习速度。",
    )  # fmt: skip
    longest_hours: float = setting(
        6.0, "h", 0.1, 72, "One row stands for no more than this, however long the gap before it.",
        "无论间隔多长，一行数据最多代表这么长时间。",
    )  # fmt: skip
    warm_rows: int = setting(
        30, "rows", 2, 100000, "So many rows before a baseline is judged by, when its fleet is unknown.",
        "机群未知时，基线至少需要这么多行才用于判断。",
    )  # fmt: skip
    warm_days: float = setting(3.0, "d", 0, 90, "… and so many days.", "……并且至少需要这么多天。")
    primed_rows: int = setting(
        12, "rows", 2, 100000, "The same rows when the fleet of its type is known.",
        "同型号机群已知时所需的行数。",
    )  # fmt: skip
    primed_days: float = setting(0.5, "d", 0, 90, "… and days.", "……以及天数。")
    fleet_weight: float = setting(
        4.0, "rows", 0, 10000, "The fleet’s mean counts as so many rows of the device’s own.",
        "机群均值相当于设备自身这么多行数据。",
    )  # fmt: skip
    huber: float = setting(
        3.0, "z", 0.5, 20, "One value pulls the baseline by at most so many spreads.",
        "单个值对基线的影响不超过这么多倍离散度。",
    )  # fmt: skip
    floor_range: float = setting(
        2e-4, "share", 0, 0.5, "Least spread, as a share of the metric’s possible range.",
        "最小离散度，占指标可能范围的比例。",
    )  # fmt: skip
    floor_mean: float = setting(
        2e-3, "share", 0, 0.5, "Least spread, as a share of the metric’s mean.",
        "最小离散度，占指标均值的比例。",
    )  # fmt: skip
    after_reset_rows: float = setting(
        20.0, "rows", 0, 10000, "A baseline that starts anew after a repair counts as so many rows.",
        "维修后重新开始的基线相当于这么多行。",
    )  # fmt: skip

    def pace(self, days: float) -> float:
        """What an hour of event time weighs in a mean over so many days; a row weighs at most 1."""
        return 1.0 / max(24.0 * days, self.longest_hours)
