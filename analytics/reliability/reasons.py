"""Why a statistic cannot be told: a code for programs, a sentence for people in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Reason:
    """`code` is stable; the texts say what would be needed."""

    code: str
    text_en: str
    text_zh: str


_ALL = (
    Reason("empty", "No device of this group ran in the period.", "该组在此期间没有运行的设备。"),
    Reason(
        "all_censored",
        "Nothing failed: all lives are still running or were suspended. Use the lower bound of the MTBF.",
        "没有故障：所有寿命均在延续或已中止。请使用 MTBF 下限。",
    ),
    Reason(
        "one_failure",
        "One failure only: no shape can be told from it. Use the MTBF with its bounds.",
        "只有一次故障，无法估计形状参数。请使用带区间的 MTBF。",
    ),
    Reason(
        "same_time",
        "All failures have nearly the same age: a shape needs two different ages at least.",
        "所有故障寿命几乎相同：估计形状参数至少需要两个不同的寿命。",
    ),
    Reason(
        "decreasing",
        "The failures lie so early in the hours that were watched that no Weibull shape above 0 fits.",
        "故障集中在观察时段的最初，没有大于 0 的威布尔形状参数可以拟合。",
    ),
    Reason(
        "unsettled",
        "The hours that were watched are too small a part of the age for a shape: almost any would fit.",
        "观察时段相对于设备寿命过短，几乎任何形状参数都能拟合。",
    ),
    Reason(
        "repairable",
        "A machine that is repaired goes on living: read how its failures recur. Lives are those of a component.",
        "可修复的设备在维修后继续运行：请查看故障的重复情况。寿命分析针对部件。",
    ),
    Reason(
        "few_events",
        "A trend needs two failures at least in the period.",
        "趋势分析在此期间至少需要两次故障。",
    ),
    Reason(
        "at_the_end",
        "All failures are at the very end of the hours watched: no trend can be told.",
        "所有故障都在观察时段的末尾，无法判断趋势。",
    ),
    Reason(
        "one_device",
        "One device gives no interval: how devices differ cannot be told from it.",
        "仅有一台设备，无法给出置信区间：从中看不出设备之间的差异。",
    ),
    Reason(
        "no_spread",
        "All devices have failed equally often so far: no interval can be taken from how they differ.",
        "迄今所有设备的故障次数相同：设备之间没有差异，无法给出置信区间。",
    ),
)
REASONS: Final = {reason.code: reason for reason in _ALL}
