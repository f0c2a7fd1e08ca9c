"""Planned maintenance: when it is due, and that its order is opened once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_core.plans import maintenance
from fsm_core.plans.maintenance_rules import Due, Plan, Served, add_months, due, forecast
from fsm_core.work_orders import actions as orders
from kit.database import Conn, one, rows, scalar
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, T0

DAY = timedelta(days=1)
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
MONTHLY = Plan(date(2026, 1, 31), BERLIN, every_months=1)
HOURLY = Plan(date(2026, 1, 1), SHANGHAI, every_hours=250)


def keys(*names: str, **values: object) -> Served:
    return Served(frozenset(names), **values)  # type: ignore[arg-type]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(hour=12, tzinfo=UTC)


def test_month_ends_come_back_to_the_last_day() -> None:
    assert [add_months(date(2026, 1, 31), n) for n in (1, 2, 3, 13)] == [
        date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30), date(2027, 2, 28),
    ]  # fmt: skip
    found = due(MONTHLY, keys("date:2026-02-28"), day("2026-03-31"), None)
    assert found is not None
    assert found.key == "date:2026-03-31"


def test_the_hour_is_local_across_daylight_saving() -> None:
    winter = due(MONTHLY, keys(), day("2026-02-28"), None)
    summer = due(MONTHLY, keys("date:2026-02-28"), day("2026-03-31"), None)
    assert winter is not None
    assert summer is not None
    assert winter.due_at.astimezone(UTC).hour == 8
    assert summer.due_at.astimezone(UTC).hour == 7


def test_a_jump_over_intervals_makes_one_order_that_notes_the_missed_ones() -> None:
    assert due(HOURLY, keys(), T0, 249.9) is None
    assert due(HOURLY, keys(), T0, 1300) == Due("hours:5", T0, 4)


def test_a_late_old_reading_triggers_nothing() -> None:
    assert due(HOURLY, keys("hours:5"), T0, 900) is None


def test_calendar_intervals_that_passed_unserved_are_noted() -> None:
    found = due(MONTHLY, keys(), day("2026-05-01"), None)
    assert found is not None
    assert (found.key, found.missed) == ("date:2026-04-30", 2)


def test_chosen_dates_come_once_each() -> None:
    plan = Plan(date(2026, 1, 1), SHANGHAI, dates=(date(2026, 5, 1), date(2026, 3, 1)))
    assert due(plan, keys(), day("2026-02-28"), None) is None
    first = due(plan, keys(), day("2026-03-01"), None)
    assert first is not None
    assert first.key == "date:2026-03-01"
    assert due(plan, keys("date:2026-03-01"), day("2026-04-30"), None) is None


def test_whichever_is_first_then_both_count_anew() -> None:
    plan = Plan(date(2026, 1, 1), SHANGHAI, every_months=6, every_hours=1000)
    assert due(plan, keys(), day("2026-05-01"), 900) is None
    assert due(plan, keys(), day("2026-05-01"), 1001) is not None
    assert due(plan, keys(), day("2026-07-01"), 10) is not None
    after = keys("cycle:1", done_on=date(2026, 5, 10), done_hours=1050.0)
    assert due(plan, after, day("2026-07-01"), 2049) is None
    assert due(plan, after, day("2026-07-01"), 2050) is not None
    assert due(plan, after, day("2026-11-10"), 1100) is not None


def test_a_floating_plan_counts_from_completion() -> None:
    plan = Plan(date(2026, 1, 1), SHANGHAI, every_days=30, floating=True)
    late = keys("cycle:1", done_on=date(2026, 2, 20))
    assert due(plan, late, day("2026-03-21"), None) is None
    assert due(plan, late, day("2026-03-22"), None) is not None


def test_nothing_comes_due_while_an_order_of_the_plan_is_open() -> None:
    assert due(HOURLY, keys("hours:1", pending=True), T0, 1300) is None


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=30))
def test_however_the_hours_come_each_interval_is_ordered_or_noted_once(readings: list[float]) -> None:
    served, covered, life = set[str](), 0, 0.0
    for reading in readings:
        life = max(life, reading)  # what ingest counts never falls
        found = due(HOURLY, Served(frozenset(served)), T0, life)
        if found is not None:
            assert found.key not in served
            served.add(found.key)
            covered += 1 + found.missed
    assert covered == int(life // 250)


def test_a_forecast_spreads_with_the_days_and_a_silent_meter_is_stale() -> None:
    steady = forecast(250, 130, T0, [12.0] * 20, T0)
    assert steady is not None
    assert steady.p10 == steady.p50 == steady.p90 == T0 + 10 * DAY
    assert not steady.stale
    uneven = forecast(250, 130, T0, [0.0, 24.0] * 10, T0 + 5 * DAY)
    assert uneven is not None
    assert uneven.p10 < uneven.p50 < uneven.p90
    assert uneven.stale
    assert forecast(250, 130, T0, [0.0] * 9, T0) is None


def test_the_planner_opens_the_order_once_and_again_after_the_next_interval(db: Conn) -> None:
    world = factory.world(db)
    maintenance.add_plan(
        db, world.device, code="oil", name_en="Oil change", name_zh="换油", every_hours=250, start_on=date(2026, 1, 1),
        skill="rotating", standard_hours=Decimal(2), checklist_en=["Drain"], checklist_zh=["排油"],
    )  # fmt: skip
    factory.run_hours(db, world.device, 1300)
    assert maintenance.plan_due(db, T0) == 1
    assert maintenance.plan_due(db, T0) == 0
    order = one(db, "select * from fsm.work_order")
    assert order is not None
    assert (order["state"], order["source"], order["skill"]) == ("accepted", "plan", "rotating")
    assert order["title_zh"].endswith("换油")
    assert "4 interval(s) passed" in order["description"]
    assert "此前有 4 个周期未执行" in order["description_zh"]
    visit = factory.working(db, factory.planned(db, order["id"], world.technician))
    factory.finished(db, visit)
    assert maintenance.plan_due(db, T0 + DAY) == 0
    factory.run_hours(db, world.device, 1510)
    assert maintenance.plan_due(db, T0 + DAY) == 1
    assert [row["key"] for row in rows(db, "select key from fsm.maintenance_due order by key")] == [
        "hours:5",
        "hours:6",
    ]
    assert scalar(db, "select count(*) from analytics.reset") == 0  # an oil change renews no component


def test_the_outlook_tells_when_the_next_service_will_be(db: Conn) -> None:
    world = factory.world(db)
    plan = maintenance.add_plan(
        db, world.device, code="oil", name_en="Oil", name_zh="油", every_hours=250, start_on=date(2026, 1, 1)
    )
    factory.run_hours(db, world.device, 130)
    for n in range(1, 11):
        factory.run_day(db, world.device, (T0 - n * DAY).date(), 12)
    found = maintenance.outlook(db, plan, T0)
    assert found is not None
    assert found.p50 == T0 + 10 * DAY


def test_a_cancelled_service_is_not_ordered_again_for_the_same_interval(db: Conn) -> None:
    world = factory.world(db)
    maintenance.add_plan(
        db, world.device, code="oil", name_en="Oil", name_zh="油", every_hours=250, start_on=date(2026, 1, 1)
    )
    factory.run_hours(db, world.device, 260)
    maintenance.plan_due(db, T0)
    orders.move_order(db, scalar(db, "select id from fsm.work_order"), "cancel", DESK, T0, reason="sold")
    assert maintenance.plan_due(db, T0) == 0


def test_an_unknown_field_of_a_plan_is_refused(db: Conn) -> None:
    with pytest.raises(TypeError, match="evry_hours"):
        maintenance.add_plan(db, 1, code="x", name_en="x", name_zh="x", evry_hours=3)
