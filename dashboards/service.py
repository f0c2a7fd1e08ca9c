"""Service operation: orders, promises, money, stock."""

from __future__ import annotations

from typing import Final

from dashboards.panels import Board, Panel


def _stat(en: str, zh: str, sql: str, what: str, unit: str = "none") -> Panel:
    return Panel("stat", en, zh, sql, what, unit=unit, width=6, height=4)


BOARD: Final = Board(
    "meantime-service",
    "Service operation",
    "服务运营",
    (),
    (
        _stat("Open orders", "未完成工单",
              """select count(*) as value from reports.order_funnel
where done_at is null and cancelled_at is null""",
              "Orders neither done nor cancelled. 尚未完修或取消的工单。"),
        _stat("Opened by telemetry", "自动生成比例",
              """select avg(automatic::int) as value from reports.order_funnel where $__timeFilter(opened_at)""",
              "Share of the period's orders that nobody had to type. 本期无需人工录入的工单比例。", "percentunit"),
        _stat("SLA kept", "SLA 达成率",
              "select avg(met::int) as value from reports.sla where $__timeFilter(due_at)",
              "Share of decided promises that were kept. 已判定时限中达成的比例。", "percentunit"),
        _stat("Stock value", "库存金额", "select sum(value) as value from reports.stock where kind <> 'defective'",
              "Value of all stock at moving-average cost. 按移动平均成本计的库存金额。"),
        Panel(
            "timeseries", "Orders opened and done", "新增与完修工单",
            """select $__timeGroup(opened_at, '1d') as "time", 'opened 新增' as metric, count(*) as value
from reports.order_funnel where $__timeFilter(opened_at) group by 1
union all
select $__timeGroup(done_at, '1d') as "time", 'done 完修' as metric, count(*) as value
from reports.order_funnel where $__timeFilter(done_at) group by 1
order by 1""",
            "Per day. 按日。",
        ),
        Panel(
            "barchart", "Orders by state", "按状态统计工单",
            """select state, count(*) as orders from reports.order_funnel where $__timeFilter(opened_at)
group by state order by orders desc""",
            "Orders opened in the period, by their present state. 本期新增工单的当前状态。",
        ),
        Panel(
            "timeseries", "SLA kept per week", "每周 SLA 达成率",
            """select $__timeGroup(due_at, '7d') as "time", kind as metric, avg(met::int) as value
from reports.sla where met is not null and $__timeFilter(due_at)
group by 1, 2 order by 1""",
            "accept, arrive, complete: share kept of those decided. 受理、到场、完修时限的达成比例。",
            unit="percentunit",
        ),
        Panel(
            "table", "Promises at risk", "临近或超时的时限",
            """select number, kind, priority, customer, tier, started_at, due_at, due_at < kit.now() as overdue
from reports.sla where stopped_at is null and state <> 'cancelled' order by due_at limit 50""",
            "Clocks still running, the next due first. 仍在计时的时限，最先到期者在前。",
        ),
        Panel(
            "timeseries", "Revenue and cost per week", "每周收入与成本",
            """select $__timeGroup(settled_at, '7d') as "time", 'revenue 收入' as metric, sum(net) as value
from reports.order_cost where $__timeFilter(settled_at) group by 1
union all
select $__timeGroup(settled_at, '7d') as "time", 'cost 成本' as metric, sum(cost) as value
from reports.order_cost where $__timeFilter(settled_at) group by 1
order by 1""",
            "Of settled orders; warranty and contract work costs without revenue. 已结算工单；保修与合同工作只有成本。",
        ),
        Panel(
            "table", "Money by customer", "按客户统计金额",
            """select customer, count(*) as orders, sum(net) as revenue, sum(covered) as covered, sum(cost) as cost,
  sum(labour_cost) as labour_cost, sum(travel_cost) as travel_cost, sum(parts_cost) as parts_cost,
  sum(margin) as margin
from reports.order_cost where $__timeFilter(settled_at) group by customer order by cost desc""",
            "Covered: what warranty, contract or goodwill took off the bill. 已免金额：保修、合同或善意减免。",
        ),
        Panel(
            "table", "Scarcest stock", "最紧缺库存",
            """select sku, name_en || ' ' || name_zh as part, sum(on_hand) as on_hand, sum(reserved) as reserved,
  sum(available) as available, sum(value) as value
from reports.stock where kind in ('warehouse', 'van') group by sku, name_en, name_zh order by available limit 50""",
            "Warehouses and vans together; available is on hand less reserved. 仓库与车辆合计；可用量为现存减预留。",
            width=24,
        ),
    ),
    since="now-30d",
)  # fmt: skip
