"""Reliability: MTBF with its interval, population and orders; repair times; honesty of the alarms."""

from __future__ import annotations

from typing import Final

from dashboards.fleet import MODEL, SITE
from dashboards.panels import Board, Panel

_MTBF_WHAT = (
    "Pooled operating hours ÷ failures, 90 % interval (no failure: a lower bound only); devices that never failed "
    "count with their hours; planned work, needless visits and orders without a confirmed cause are no failures. "
    "运行小时合计÷故障次数，90% 置信区间（无故障时仅有下限）；未故障设备计入小时；"
    "计划性工作、无故障上门和原因未确认的工单不计故障。"
)


def _mtbf(by: str, en: str, zh: str, width: int) -> Panel:
    where = "" if by == "site" else " and model in ($model)"
    model = "" if by == "site" else "model, "
    sql = f"""select {model}name_en || ' ' || name_zh as name, devices, round(hours) as hours, failures,
  breakdowns, round(mtbf) as mtbf_hours, round(low) as low_90, round(high) as high_90, order_ids::text
from reports.mtbf_between($__timeFrom(), $__timeTo())
where "by" = '{by}'{where} order by failures desc, mtbf nulls last, name_en"""
    return Panel("table", en, zh, sql, _MTBF_WHAT, width=width)


def _stat(en: str, zh: str, value: str, what: str, unit: str) -> Panel:
    sql = f"""select {value} as value from reports.mttr
where model in ($model) and site in ($site) and $__timeFilter(fault_at)"""
    return Panel("stat", en, zh, sql, what, unit=unit, width=6, height=4, decimals=1)


BOARD: Final = Board(
    "meantime-reliability",
    "Reliability",
    "可靠性",
    (MODEL, SITE),
    (
        _stat("Failures", "故障次数", "count(*)",
              "Finished repair and condition-based orders with a real cause. 原因属实的已完成维修与视情工单。", "none"),
        _stat("MTTR", "平均修复时间", "avg(repair_hours)",
              "Mean hands-on hours per failure, without planned work. 每次故障平均作业小时，不含计划性工作。", "h"),
        _stat("Mean down time", "平均停机时间", "avg(down_hours)",
              "Hours a failure stopped the machine: a breakdown since the fault, a prevented one during the work. "
              "故障使设备停机的小时：停机故障自发生时起，提前预防仅作业期间。", "h"),
        _stat("First fix", "一次修复率", "avg(first_fix::int)",
              "Share repaired in one visit and not as a repeat. 一次上门即修复且非返修的比例。", "percentunit"),
        _mtbf("model", "MTBF by model", "按型号的 MTBF", 24),
        _mtbf("failure_mode", "MTBF by failure mode", "按失效模式的 MTBF", 12),
        _mtbf("component", "MTBF by component", "按部件的 MTBF", 12),
        _mtbf("site", "MTBF by site", "按地点的 MTBF", 12),
        Panel(
            "barchart", "Failure Pareto", "故障帕累托",
            """select mode_en || ' ' || mode_zh as failure_mode, count(*) as failures from reports.failure
where model in ($model) and site in ($site) and $__timeFilter(fault_at)
group by 1 order by 2 desc limit 12""",
            "Failures by mode, the most frequent first. 按失效模式统计，最多者在前。",
        ),
        Panel(
            "timeseries", "Failures per week", "每周故障",
            """select $__timeGroup(fault_at, '7d') as "time", kind as metric, count(*) as value
from reports.failure where model in ($model) and site in ($site) and $__timeFilter(fault_at)
group by 1, 2 order by 1""",
            "breakdown: the machine failed; prevented: replaced in time. 故障停机与提前预防。",
            stacked=True,
        ),
        Panel(
            "table", "Alarm honesty", "报警可信度",
            """select rule, model, name_en || ' ' || name_zh as failure_mode, raises, orders, confirmed, false_alarms,
  undecided, missed, precision, recall
from reports.detection_quality where model in ($model) order by raises desc""",
            "Precision and recall of each rule, by the engineers' cause codes. 按工程师原因代码计算的准确率与召回率。",
        ),
        Panel(
            "timeseries", "Alarms per day", "每日报警",
            """select $__timeGroup(raised_at, '1d') as "time", rule as metric, count(*) as value
from reports.alarm_honesty where model in ($model) and verdict <> 'information' and $__timeFilter(raised_at)
group by 1, 2 order by 1""",
            "Alarms raised, by rule; information (severity 4) left out. 按规则统计的报警次数，不含提示级。",
            stacked=True,
        ),
        Panel(
            "table", "Bad actors", "最频繁的报警源",
            """select uid, rule, failure_mode, count(*) as alarms,
  round(100.0 * count(*) / sum(count(*)) over (), 1) as share_percent,
  count(*) filter (where verdict = 'false') as needless
from reports.alarm_honesty where model in ($model) and verdict <> 'information' and $__timeFilter(raised_at)
group by 1, 2, 3 order by 4 desc, 1, 2 limit 10""",
            "The devices and rules with the most alarms (ISA-18.2). 报警最多的设备与规则（ISA-18.2）。",
        ),
        Panel(
            "table", "Failures and their orders", "故障及其工单",
            """select number, kind, uid, site, mode_en || ' ' || mode_zh as failure_mode, cause_code, remedy_code,
  fault_at, repaired_at
from reports.failure where model in ($model) and site in ($site) and $__timeFilter(fault_at)
order by fault_at desc limit 500""",
            "The rows behind the figures above. 以上指标对应的明细。",
            width=24, height=10,
        ),
    ),
    since="now-90d",
)  # fmt: skip
