from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from fsm_core.providers import store as providers
from fsm_core.sla.rules import Span
from fsm_core.technicians import rules, store
from kit.database import Conn
from tests.conftest import utc
from tests.fsm_core import factory
from tests.fsm_core.factory import T0

DAY = utc("2026-03-02 00:00")


spans = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200)), max_size=6).map(
    lambda found: [(DAY + timedelta(minutes=a), DAY + timedelta(minutes=a + n)) for a, n in found]
)


@given(spans)
def test_working_and_booked_time_add_up(taken: list[Span]) -> None:
    span = (DAY + timedelta(minutes=100), DAY + timedelta(minutes=400))
    total, booked = rules.booked_minutes([span], taken)
    minutes = {
        minute for minute in range(100, 400) for a, b in taken if a <= DAY + timedelta(minutes=minute) < b
    }
    assert (total, round(booked)) == (300, len(minutes))


def test_shifts_are_the_calendars_hours_without_absences(db: Conn) -> None:
    factory.calendar(db, code="early", timezone="Asia/Shanghai", week={"1": [["06:00", "15:00"]]})
    who = factory.technician(db, calendar="early")
    db.execute(
        "insert into fsm.absence values (%s, tstzrange(%s, %s), 'doctor')",
        (who, utc("2026-03-02 02:00"), utc("2026-03-02 04:00")),
    )
    found = store.shifts(db, store.engineers(db), DAY - timedelta(days=1), DAY + timedelta(days=7))
    assert found[who] == [
        (utc("2026-03-01 22:00"), utc("2026-03-02 02:00")),
        (utc("2026-03-02 04:00"), utc("2026-03-02 07:00")),
        (utc("2026-03-08 22:00"), utc("2026-03-09 00:00")),
    ]


def test_an_absence_without_an_end_leaves_no_shift(db: Conn) -> None:
    factory.calendar(db)
    who = factory.technician(db)
    db.execute("insert into fsm.absence values (%s, tstzrange(%s, null), 'left')", (who, DAY))
    assert store.shifts(db, store.engineers(db), DAY, DAY + timedelta(days=2))[who] == []


def test_workload_counts_open_visits_with_their_way(db: Conn) -> None:
    world = factory.world(db)
    order = factory.accepted(db, world)
    factory.planned(db, order.id, world.technician, start=T0 + timedelta(hours=2), hours=3)
    (load,) = store.workload(db, T0, T0 + timedelta(hours=10))
    assert (load.working, load.booked) == (600, 210)


def test_inactive_technicians_are_nobody(db: Conn) -> None:
    factory.calendar(db)
    who = factory.technician(db)
    assert [each.id for each in store.engineers(db)] == [who]
    db.execute("update fsm.technician set active = false")
    assert store.engineers(db) == []


def test_a_provider_sees_the_orders_of_its_engineers_and_no_others(db: Conn) -> None:
    world = factory.world(db)
    ours, theirs = factory.provider(db), factory.provider(db)
    who = factory.technician(db, provider_id=ours)
    order = factory.accepted(db, world)
    factory.accepted(db, world, device_id=factory.device(db, world.site))
    visit = factory.planned(db, order.id, who)
    assert [(row["id"], row["visit_id"]) for row in providers.orders(db, ours)] == [(order.id, visit.id)]
    assert providers.orders(db, theirs) == []
    assert [row["id"] for row in providers.technicians(db, ours)] == [who]
