"""The SLA checks of the design, on real orders; the arithmetic is the pure rules'."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fsm_core import invariants
from fsm_core.messages import actions as messages
from fsm_core.messages import store as message_store
from fsm_core.sla import actions as sla
from fsm_core.sla import rules, store
from fsm_core.work_orders import actions as orders
from kit.database import Conn, rows, scalar
from kit.errors import Conflict, Forbidden, NotFound
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, World, engineer

OFFICE = rules.WorkingCalendar.from_row("UTC", factory.BUSINESS)


def at(text: str) -> datetime:
    """`at("Fri 16:30")` in the week of Monday 2026-03-02; `at("Mon2 10:00")` in the one after."""
    name, _, clock = text.partition(" ")
    day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon2", "Tue2", "Wed2"].index(name)
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 3, 2, hour, minute, tzinfo=UTC) + timedelta(days=day)


@pytest.fixture
def office(db: Conn) -> World:
    """A world whose promise is 8 working hours to complete, Monday to Friday 9 to 17, at priority 1."""
    world = factory.world(db, tier="silver")
    factory.calendar(db, code="office", week=factory.BUSINESS)
    factory.sla_plan(db, code="office", calendar="office", tier="silver", accept=60, arrive=240, complete=480)
    return world


def due(conn: Conn, order_id: int, kind: str = "complete") -> datetime:
    found: datetime = scalar(
        conn, "select due_at from fsm.sla_clock where order_id = %s and kind = %s", (order_id, kind)
    )
    return found


def hold(conn: Conn, order_id: int, begin: str, end: str, reason: str = "waiting_customer") -> None:
    orders.move_order(conn, order_id, "hold", DESK, at(begin), reason=reason)
    orders.move_order(conn, order_id, "release", DESK, at(end))


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([], "Mon2 16:00"),
        ([("Fri 16:30", "Mon2 10:00")], "Tue2 09:30"),
        ([("Fri 17:00", "Mon2 09:00")], "Mon2 16:00"),
        ([("Fri 16:30", "Fri 17:00"), ("Mon2 09:00", "Mon2 10:00")], "Tue2 09:30"),
        ([("Fri 16:10", "Fri 16:40"), ("Fri 16:20", "Fri 16:50")], "Mon2 16:40"),
    ],
    ids=["plain", "over the weekend", "outside working time", "two add up", "overlapping count once"],
)
def test_eight_hours_from_friday_afternoon(pauses: list[tuple[str, str]], expected: str) -> None:
    spans = [(at(begin), at(end)) for begin, end in pauses]
    assert rules.due(at("Fri 16:00"), 480, OFFICE, spans) == at(expected)


def test_holds_move_what_is_due_by_the_working_time_paused(db: Conn, office: World) -> None:
    order = factory.opened(db, office, at=at("Fri 16:00"), priority=1)
    assert due(db, order.id) == at("Mon2 16:00")
    orders.move_order(db, order.id, "accept", DESK, at("Fri 16:10"))
    hold(db, order.id, "Fri 16:30", "Mon2 10:00")
    assert due(db, order.id) == at("Tue2 09:30")
    hold(db, order.id, "Mon2 17:00", "Tue2 09:00")
    assert due(db, order.id) == at("Tue2 09:30")
    hold(db, order.id, "Tue2 09:00", "Tue2 09:15", reason="customer_approval")
    assert due(db, order.id) == at("Tue2 09:45")
    hold(db, order.id, "Tue2 09:16", "Tue2 09:40", reason="waiting_parts")
    assert due(db, order.id) == at("Tue2 09:45")
    assert invariants.check(db) == []


def test_a_holiday_added_later_moves_open_clocks_and_leaves_finished_ones(db: Conn, office: World) -> None:
    order = factory.opened(db, office, at=at("Fri 16:00"), priority=1)
    orders.move_order(db, order.id, "accept", DESK, at("Fri 16:10"))
    accepted = due(db, order.id, "accept")
    assert sla.set_holidays(db, "office", [at("Mon2 00:00").date()]) == 1
    assert due(db, order.id) == at("Tue2 16:00")
    assert due(db, order.id, "accept") == accepted
    assert invariants.check(db) == []


def test_a_changed_priority_counts_from_creation(db: Conn, office: World) -> None:
    order = factory.opened(db, office, at=at("Mon 09:00"), priority=2)
    assert due(db, order.id) == at("Tue 17:00")
    orders.change_priority(db, order.id, 1, DESK, at("Mon 13:00"))
    assert due(db, order.id) == at("Mon 17:00")


def test_a_contract_with_its_own_promise_beats_the_tier(db: Conn, office: World) -> None:
    factory.sla_plan(db, code="special", calendar="office", tier=None, complete=60)
    factory.contract(db, office.customer, sla_plan="special")
    order = factory.opened(db, office, at=at("Mon 09:00"), priority=1)
    assert due(db, order.id) == at("Mon 10:00")


def test_a_customer_without_a_promise_has_no_clocks(db: Conn, office: World) -> None:
    db.execute("delete from fsm.tier_plan")
    assert store.clocks(db, factory.opened(db, office).id) == []


def fired(conn: Conn) -> list[tuple[str, int]]:
    found = rows(conn, "select kind, percent from fsm.sla_rung order by due_at, kind, percent")
    return [(row["kind"], row["percent"]) for row in found]


def test_rungs_fire_once_each_across_restarts(db: Conn, office: World) -> None:
    db.execute(
        "insert into fsm.user_account (login, name, password_hash, role) values ('d', 'd', 'x', 'dispatcher')"
    )
    order = factory.opened(db, office, at=at("Mon 09:00"), priority=1)
    assert sla.fire_rungs(db, at("Mon 09:29")) == 0
    assert sla.fire_rungs(db, at("Mon 09:50")) == 2
    assert sla.fire_rungs(db, at("Mon 09:50")) == 0
    orders.move_order(db, order.id, "accept", DESK, at("Mon 09:55"))
    # As after a long outage: everything that was passed fires at once, and no more when asked again.
    assert sla.fire_rungs(db, at("Tue 09:00")) == 6
    assert sla.fire_rungs(db, at("Wed 09:00")) == 0
    assert fired(db) == [
        ("accept", 50), ("accept", 75), ("arrive", 50), ("arrive", 75), ("arrive", 100), ("complete", 50),
        ("complete", 75), ("complete", 100),
    ]  # fmt: skip
    assert scalar(db, "select count(*) from fsm.alarm") == 8
    assert scalar(db, "select count(*) from fsm.message where channel = 'console'") == 8


def test_nothing_fires_while_the_customer_is_waited_for(db: Conn, office: World) -> None:
    order = factory.accepted(db, office, at=at("Mon 09:00"), priority=1)
    orders.move_order(db, order.id, "hold", DESK, at("Mon 09:30"), reason="waiting_customer")
    assert sla.fire_rungs(db, at("Wed 09:00")) == 0
    states = {row["kind"]: row for row in sla.state(db, order.id, at("Wed 09:00"))}
    assert (states["complete"]["percent"], states["complete"]["paused"]) == (
        pytest.approx(6.2, abs=0.1),
        True,
    )
    assert not states["complete"]["breached"]
    orders.move_order(db, order.id, "release", DESK, at("Wed 09:00"))
    assert sla.fire_rungs(db, at("Wed 10:40")) == 1


def test_a_late_arrival_is_breached_for_good(db: Conn, office: World) -> None:
    order = factory.accepted(db, office, at=at("Mon 09:00"), priority=1)
    visit = factory.planned(db, order.id, office.technician, start=at("Mon 16:00"))
    factory.working(db, visit)
    states = {row["kind"]: row for row in sla.state(db, order.id, at("Wed 09:00"))}
    assert states["arrive"]["breached"]
    assert not states["accept"]["breached"]


def test_an_alarm_is_acknowledged_once_and_by_the_desk(db: Conn, office: World) -> None:
    factory.opened(db, office, at=at("Mon 09:00"), priority=1)
    sla.fire_rungs(db, at("Mon 09:31"))
    (alarm,) = message_store.alarms(db)
    assert "50 % of the time to accept" in alarm["text_en"]
    assert "受理" in alarm["text_zh"]
    with pytest.raises(Forbidden):
        messages.acknowledge(db, alarm["id"], engineer(office.technician), at("Mon 09:32"))
    messages.acknowledge(db, alarm["id"], DESK, at("Mon 09:32"))
    with pytest.raises(Conflict, match="user:1"):
        messages.acknowledge(db, alarm["id"], DESK, at("Mon 09:33"))
    with pytest.raises(NotFound):
        messages.acknowledge(db, 999, DESK, at("Mon 09:33"))
    assert message_store.alarms(db) == []


def test_a_reopened_order_is_due_later_by_the_time_it_was_believed_done(db: Conn, office: World) -> None:
    order = factory.accepted(db, office, at=at("Mon 09:00"), priority=1)
    visit = factory.planned(db, order.id, office.technician, start=at("Mon 10:00"), hours=3)
    factory.finished(db, factory.working(db, visit), at=at("Mon 13:00"))
    orders.move_order(db, order.id, "reopen", factory.MANAGER, at("Tue 13:00"), reason="still loud")
    assert due(db, order.id) == at("Tue 17:00")
