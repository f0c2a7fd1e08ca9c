"""The maintenance planner: opens the order of what has come due, once."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from fsm_core.actors import Actor
from fsm_core.plans.maintenance_rules import Due, Forecast, Plan, Served, due, forecast
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders.actions import NewOrder
from kit import clock
from kit.database import Conn, one, rows, scalar
from kit.errors import NotFound
from kit.process import Job

ACTOR = Actor.rule("maintenance_planner")
PRIORITY = 4
_DAYS = 30
"""How many days of run-hours a forecast looks at."""

_ROW = """select p.*, d.site_id, s.customer_id, s.timezone, r.uid, h.life, h.ts as read_at
          from fsm.maintenance_plan p join fsm.device d on d.id = p.device_id
          join ingest.device r on r.id = d.id join fsm.site s on s.id = d.site_id
          left join ingest.run_hours h on h.device_id = p.device_id"""


def add_plan(conn: Conn, device_id: int, *, code: str, name_en: str, name_zh: str, **values: Any) -> int:
    """A new plan's id; `values` are columns of fsm.maintenance_plan (start_on is needed)."""
    columns = ("type", "floating", "every_months", "every_days", "every_hours", "dates", "start_on", "start_hours",
               "due_at_time", "lead_days", "skill", "standard_hours", "checklist_en", "checklist_zh")  # fmt: skip
    if unknown := sorted(set(values) - set(columns)):
        raise TypeError(f"a maintenance plan has no {unknown[0]}")
    defaults = {
        "type": "maintenance", "floating": False, "dates": [], "start_hours": 0, "due_at_time": "09:00",
        "lead_days": 7, "standard_hours": Decimal(1), "checklist_en": [], "checklist_zh": [],
    }  # fmt: skip
    given = {name: values.get(name, defaults.get(name)) for name in columns}
    found: int = scalar(
        conn,
        """insert into fsm.maintenance_plan (device_id, code, name_en, name_zh, type, floating, every_months,
               every_days, every_hours, dates, start_on, start_hours, due_at_time, lead_days, skill, standard_hours,
               checklist_en, checklist_zh)
           values (%(device_id)s, %(code)s, %(name_en)s, %(name_zh)s, %(type)s, %(floating)s, %(every_months)s,
               %(every_days)s, %(every_hours)s, %(dates)s, %(start_on)s, %(start_hours)s, %(due_at_time)s,
               %(lead_days)s, %(skill)s, %(standard_hours)s, %(checklist_en)s, %(checklist_zh)s) returning id""",
        given | {"device_id": device_id, "code": code, "name_en": name_en, "name_zh": name_zh},
    )
    return found


def plan_due(conn: Conn, now: datetime) -> int:
    """Open the orders of all active plans that have come due, in the caller's transaction; returns how many."""
    opened = 0
    for row in rows(conn, _ROW + " where p.active order by p.id for update of p skip locked"):
        found = due(_plan(row), _served(conn, row), now, row["life"])
        if found is not None:
            _order(conn, row, found, now)
            opened += 1
    return opened


def outlook(conn: Conn, plan_id: int, now: datetime) -> Forecast | None:
    """When the next run-hours service will be due; None for a plan without hours or a machine that does not run.

    Raises:
        NotFound: no such plan.
    """
    row = one(conn, _ROW + " where p.id = %s", (plan_id,))
    if row is None:
        raise NotFound(f"There is no maintenance plan {plan_id}.")
    if row["every_hours"] is None or row["life"] is None:
        return None
    served, plan = _served(conn, row), _plan(row)
    base = served.done_hours if plan.from_completion and served.done_hours is not None else plan.start_hours
    assert plan.every_hours is not None
    passed = max(0.0, (row["life"] - base) // plan.every_hours)
    target = base + (1 if plan.from_completion else passed + 1) * plan.every_hours
    daily = rows(
        conn,
        """select hours from ingest.run_hours_day where device_id = %s and day > (%s at time zone 'UTC')::date - %s
           and day < (%s at time zone 'UTC')::date""",
        (row["device_id"], row["read_at"], _DAYS, row["read_at"]),
    )
    return forecast(target, row["life"], row["read_at"], [day["hours"] for day in daily], now)


def _plan(row: dict[str, Any]) -> Plan:
    return Plan(
        row["start_on"], ZoneInfo(row["timezone"]), row["every_months"], row["every_days"], row["every_hours"],
        tuple(row["dates"]), row["start_hours"], row["floating"], row["due_at_time"], row["lead_days"],
    )  # fmt: skip


def _served(conn: Conn, row: dict[str, Any]) -> Served:
    past = rows(
        conn,
        """select m.key, o.state, (select max(v.ended_at) from fsm.visit v
               where v.order_id = o.id and v.state = 'done') as done_at
           from fsm.maintenance_due m join fsm.work_order o on o.id = m.order_id where m.plan_id = %s""",
        (row["id"],),
    )
    done_at = max((one["done_at"] for one in past if one["done_at"] is not None), default=None)
    ended = ("work_done", "reviewed", "settled", "closed", "cancelled")
    return Served(
        frozenset(one["key"] for one in past),
        None if done_at is None else done_at.astimezone(ZoneInfo(row["timezone"])).date(),
        None if done_at is None else _life_at(conn, row, done_at),
        any(one["state"] not in ended for one in past),
    )


def _life_at(conn: Conn, row: dict[str, Any], at: datetime) -> float | None:
    """The life at an earlier time: today's less what was run on the days after it."""
    if row["life"] is None:
        return None
    since = scalar(
        conn,
        """select coalesce(sum(hours), 0) from ingest.run_hours_day
           where device_id = %s and day > (%s at time zone 'UTC')::date""",
        (row["device_id"], at),
    )
    return float(row["life"]) - float(since)


def _order(conn: Conn, row: dict[str, Any], found: Due, now: datetime) -> None:
    noted = ("", "") if not found.missed else (
        f"\n{found.missed} interval(s) passed unserved before it.", f"\n此前有 {found.missed} 个周期未执行。"
    )  # fmt: skip
    order = orders.open_order(
        conn,
        NewOrder(
            type=row["type"],
            source="plan",
            site_id=row["site_id"],
            customer_id=row["customer_id"],
            device_id=row["device_id"],
            priority=PRIORITY,
            title_en=f"{row['name_en']} on {row['uid']}",
            title_zh=f"{row['uid']} {row['name_zh']}",
            description=f"Plan {row['code']}, {found.key}.{noted[0]}",
            description_zh=f"计划 {row['code']}，{found.key}。{noted[1]}",
            fault_at=found.due_at,
            skill=row["skill"],
            standard_hours=row["standard_hours"],
            checklist=tuple(zip(row["checklist_en"], row["checklist_zh"], strict=True)),
        ),
        ACTOR,
        now,
    )
    conn.execute(
        "insert into fsm.maintenance_due (plan_id, key, due_at, missed, order_id) values (%s, %s, %s, %s, %s)",
        (row["id"], found.key, found.due_at, found.missed, order.id),
    )
    orders.move_order(conn, order.id, "accept", ACTOR, now)


def job() -> Job:
    """The planner job of the fsm worker."""

    def run(conn: Conn) -> bool:
        with conn.transaction():
            plan_due(conn, clock.now(conn))
        return False

    return Job("maintenance", 10.0, run)
