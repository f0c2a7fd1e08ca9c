"""A small world in which everything a panel shows has happened, by the product's own verbs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from fsm_core.parts import actions as parts
from fsm_core.reports import actions as service_reports
from fsm_core.settlement import actions as settlement
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders.actions import NewOrder, VisitPlan
from kit import clock
from kit.database import Conn, scalar
from tests.fsm_core import factory
from tests.fsm_core.factory import MANAGER, SYSTEM, T0, engineer
from tests.fsm_core.parts.house import House, house, stocked

START, END = T0 - timedelta(days=2), T0 + timedelta(days=8)


def lived(conn: Conn) -> tuple[House, int]:
    """Two pumps: one ran 100 hours, broke and was repaired and settled; one ran 300 hours and never failed."""
    here = house(conn, returns_old=False)
    stocked(conn, here, warehouse=5, van=2)
    factory.device(conn, here.world.site, uid="never-failed")
    run(conn)
    order_id = repaired(conn, here)
    settlement.settle(conn, order_id, SYSTEM, T0 + timedelta(days=1))
    orders.open_order(conn, new_order(here, "inspection"), SYSTEM, T0 + timedelta(days=2))
    clock.set_rate(conn, 0, sim=END)
    return here, order_id


def run(conn: Conn) -> None:
    conn.execute(
        """insert into ingest.run_hours_day (device_id, day, hours, counted)
           select id, %(day)s, h, h from ingest.device
           cross join lateral (select case when uid = 'never-failed' then 300 else 100 end as h) x""",
        {"day": T0.date()},
    )
    conn.execute(
        """insert into ingest.reading_hour (device_id, metric, bucket, n, mean, low, high, first, last)
           select id, 'vibration', %s, 6, 2, 1, 3, 2, 2 from ingest.device""",
        (T0,),
    )
    conn.execute("insert into ingest.device_status (device_id, online) select id, true from ingest.device")


def new_order(here: House, type: str, failure_mode: str | None = None) -> NewOrder:
    world = here.world
    return NewOrder(
        type, "automatic", world.site, world.customer, 2, "Work", "工作", T0, world.device, failure_mode
    )  # fmt: skip


def repaired(conn: Conn, here: House, *, type: str = "repair", cause: str = "wear", hours: int = 0) -> int:
    """One order from a detection to its review, the visit beginning `hours` after the usual time."""
    at = T0 + timedelta(hours=hours)
    signal = factory.detection(conn, here.world.device, at=at)
    order = orders.open_order(conn, new_order(here, type, "bearing_wear"), SYSTEM, at)
    conn.execute(
        """insert into fsm.episode_signal (detection_id, order_id, outcome, rule, decided_at)
           values (%s, %s, 'opened', 'new', %s)""",
        (signal, order.id, at),
    )
    orders.move_order(conn, order.id, "accept", SYSTEM, at)
    start = at + timedelta(hours=1)
    plan = VisitPlan(here.technician, at, start, start + timedelta(hours=2), 30, 20)
    visit = orders.plan_visit(conn, order.id, plan, SYSTEM, at)
    parts.reserve_for(conn, order.id, here.technician, SYSTEM, at)
    who = engineer(here.technician)
    for action, minute in (("confirm", 5), ("travel", 10), ("check_in", 60), ("start", 60)):
        orders.move_visit(conn, visit.id, action, who, at + timedelta(minutes=minute), position=(31.2, 121.5))
    done = at + timedelta(hours=3)
    parts.issue(conn, order.id, here.technician, SYSTEM, at)
    parts.consume(conn, visit.id, here.part, Decimal(1), who, done)
    for (position,) in conn.execute(
        "select position from fsm.checklist_item where order_id = %s", (order.id,)
    ).fetchall():
        orders.tick(conn, order.id, position, True, who, done)
    orders.file_codes(conn, order.id, cause, _remedy(conn), "", who, done)
    service_reports.draft(conn, order.id, who, done)
    service_reports.sign(conn, order.id, "Wang", "M 1 1 L 2 2", who, done)
    orders.move_visit(conn, visit.id, "finish", who, done)
    orders.move_order(conn, order.id, "review", MANAGER, done)
    return order.id


def _remedy(conn: Conn) -> str:
    return str(scalar(conn, "select min(code) from fsm.repair_code where kind = 'remedy'"))
