"""Fleet health: which devices run, which are in trouble, and what they report."""

from __future__ import annotations

from typing import Final

from dashboards.panels import Board, Panel, Variable

MODEL: Final = Variable("model", "Model", "型号", "select distinct model from reports.device order by 1")
SITE: Final = Variable("site", "Site", "地点", "select distinct site from reports.device order by 1")
_DEVICE: Final = Variable(
    "device",
    "Device",
    "设备",
    "select uid from reports.device where model in ($model) order by 1",
    multi=False,
)
_WHERE = "where model in ($model) and site in ($site)"


def _count(en: str, zh: str, condition: str, what: str) -> Panel:
    sql = f"select count(*) as value from reports.device\n{_WHERE} and {condition}"
    return Panel("stat", en, zh, sql, what, width=6, height=4)


BOARD: Final = Board(
    "meantime-fleet",
    "Fleet health",
    "机队健康",
    (MODEL, SITE, _DEVICE),
    (
        _count("Devices", "设备数", "status <> 'revoked'", "Devices in service. 在役设备。"),
        _count("Online", "在线", "online", "Devices that last said they are connected. 最近状态为在线的设备。"),
        _count("Faults", "故障", "status = 'fault'", "Devices with an open repair order. 有未完成维修工单的设备。"),
        _count(
            "Warnings", "预警", "status = 'warning'",
            "Devices with open condition-based work and no open repair. 有未完成视情维护工单且无维修的设备。",
        ),
        Panel(
            "barchart", "Devices by status", "按状态统计设备",
            f"""select status, count(*) as devices from reports.device
{_WHERE} group by status order by devices desc""",
            "fault: repair open; warning: condition-based work open; offline; ok. 故障、预警、离线、正常。",
            width=8,
        ),
        Panel(
            "timeseries", "Operating hours per day", "每日运行小时",
            f"""select $__timeGroup(ts, '1d') as "time", model as metric, sum(hours) as value
from reports.operating_hours {_WHERE} and $__timeFilter(ts)
group by 1, 2 order by 1""",
            "Hours all devices of a model ran on a UTC day, from their counters. 各型号设备每日（UTC）运行小时合计。",
            unit="h", width=16, stacked=True,
        ),
        Panel(
            "timeseries", "Readings of the device", "设备读数",
            """select $__timeGroup(bucket, '1h') as "time", name_en || ' ' || name_zh || ' ' || unit as metric,
  avg(mean) as value
from reports.trend
where uid = '$device' and $__timeFilter(bucket) and metric not in ('run_hours', 'state')
group by 1, 2 order by 1""",
            "Hourly means of the device chosen above. 所选设备的小时均值。",
        ),
        Panel(
            "timeseries", "Detections", "检测信号",
            f"""select $__timeGroup(ts, '1d') as "time", rule as metric, count(*) as value
from reports.detection {_WHERE} and kind = 'raise' and $__timeFilter(ts)
group by 1, 2 order by 1""",
            "Signals raised per day and rule. 每日各规则发出的信号数。",
            stacked=True,
        ),
        Panel(
            "table", "Devices", "设备清单",
            f"""select uid, model, site, customer, status, open_orders, round(life_hours::numeric, 1) as life_hours,
  last_ts, warranty_until
from reports.device {_WHERE} order by open_orders desc, uid limit 500""",
            "All devices, those with open orders first. 全部设备，有未完成工单者在前。",
            width=24, height=10,
        ),
    ),
    since="now-7d",
)  # fmt: skip
