"""Orders and visits move as the tables say, with their effects."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from fsm_core import invariants
from fsm_core.actors import Actor
from fsm_core.assets import entitlement
from fsm_core.parts import actions as parts
from fsm_core.settlement import actions as settlement
from fsm_core.work_orders import actions, rules, store
from kit.database import Conn, connect, one, rows, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotFound, NotReady, StaleVersion
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, FINANCE, MANAGER, T0, World, engineer

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def world(db: Conn) -> World:
    return factory.world(db)


def replayed(conn: Conn, order_id: int) -> rules.Replayed:
    return rules.replay(
        rules.Event(e["subject"], e["visit_id"], e["from_state"], e["to_state"])
        for e in store.events(conn, order_id)
    )


def clocks(conn: Conn, order_id: int) -> dict[str, datetime | None]:
    found = rows(conn, "select kind, stopped_at from fsm.sla_clock where order_id = %s", (order_id,))
    return {row["kind"]: row["stopped_at"] for row in found}


def test_an_order_goes_from_new_to_closed_and_its_log_says_so(db: Conn, world: World) -> None:
    order = factory.repaired(db, world)
    assert order.state == "work_done"
    actions.move_order(db, order.id, "review", MANAGER, T0 + DAY)
    with db.transaction():
        settlement.settle(db, order.id, FINANCE, T0 + DAY)
    order = actions.move_order(db, order.id, "close", FINANCE, T0 + DAY)
    assert order.state == "closed"
    told = replayed(db, order.id)
    assert (told.order, list(told.visits.values())) == ("closed", ["done"])
    assert invariants.check(db) == []


def test_an_order_is_not_called_settled_without_a_settlement(db: Conn, world: World) -> None:
    order = factory.repaired(db, world)
    actions.move_order(db, order.id, "review", MANAGER, T0 + DAY)
    with pytest.raises(psycopg.errors.CheckViolation, match="no settlement"), db.transaction():
        actions.move_order(db, order.id, "settle", FINANCE, T0 + DAY)
    assert store.get(db, order.id).state == "reviewed"


def test_each_promise_stops_at_its_moment(db: Conn, world: World) -> None:
    order = factory.repaired(db, world)
    visit = store.visits(db, order.id)[0]
    assert clocks(db, order.id) == {
        "accept": T0 + 5 * MINUTE, "arrive": visit.on_site_at, "complete": visit.ended_at,
    }  # fmt: skip


def test_a_stale_version_is_refused_and_changes_nothing(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    accepted = actions.move_order(db, order.id, "accept", DESK, T0, version=order.version)
    with pytest.raises(StaleVersion):
        actions.move_order(db, order.id, "hold", DESK, T0, reason="other", version=order.version)
    assert store.get(db, order.id) == accepted
    assert len(store.events(db, order.id)) == 2


def test_a_refused_move_names_what_is_allowed(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    with pytest.raises(Conflict, match="Now possible: accept, cancel") as refused:
        actions.move_order(db, order.id, "hold", DESK, T0, reason="other")
    assert refused.value.details["allowed"] == ["accept", "cancel"]


def test_moves_that_need_a_reason_ask_for_it(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    with pytest.raises(Invalid, match="reason"):
        actions.move_order(db, order.id, "cancel", DESK, T0, reason="  ")


def test_an_unknown_action_is_invalid(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    with pytest.raises(Invalid, match="is not an action"):
        actions.move_order(db, order.id, "explode", DESK, T0)


def test_another_engineer_may_not_move_a_visit(db: Conn, world: World) -> None:
    visit = factory.planned(db, factory.accepted(db, world).id, world.technician)
    other = factory.technician(db)
    with pytest.raises(Forbidden):
        actions.move_visit(db, visit.id, "confirm", engineer(other), T0)
    assert store.get_visit(db, visit.id) == visit


def test_another_providers_order_does_not_exist(db: Conn, world: World) -> None:
    mine, other = factory.provider(db), factory.provider(db)
    technician = factory.technician(db, provider_id=mine)
    order = factory.accepted(db, world)
    visit = factory.planned(db, order.id, technician)
    stranger = Actor.user(70, "provider", provider_id=other)
    with pytest.raises(NotFound):
        actions.move_visit(db, visit.id, "confirm", stranger, T0)
    with pytest.raises(NotFound):
        actions.move_order(db, order.id, "review", stranger, T0)
    own = Actor.user(71, "provider", provider_id=mine)
    assert actions.move_visit(db, visit.id, "confirm", own, T0).state == "confirmed"


def test_a_provider_plans_only_own_staff_on_orders_routed_to_it(db: Conn, world: World) -> None:
    mine = factory.provider(db)
    technician = factory.technician(db, provider_id=mine)
    actor = Actor.user(71, "provider", provider_id=mine)
    order = factory.accepted(db, world)
    start = T0 + 2 * HOUR
    plan = actions.VisitPlan(technician, start, start, start + HOUR)
    with pytest.raises(NotFound):
        actions.plan_visit(db, order.id, plan, actor, T0)
    actions.route(db, order.id, mine, "site is in its region", DESK, T0)
    with pytest.raises(NotFound):
        actions.plan_visit(db, order.id, replace(plan, technician_id=world.technician), actor, T0)
    assert actions.plan_visit(db, order.id, plan, actor, T0).state == "planned"


def test_customers_see_their_own_orders_and_move_nothing(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    own = Actor.user(80, "customer", customer_id=world.customer)
    other = Actor.user(81, "customer", customer_id=factory.customer(db))
    assert store.get_for(db, order.id, own).id == order.id
    with pytest.raises(NotFound):
        store.get_for(db, order.id, other)
    with pytest.raises(Forbidden):
        actions.move_order(db, order.id, "cancel", own, T0, reason="no")


def test_an_engineer_is_in_one_place_at_a_time(db: Conn, world: World) -> None:
    factory.planned(db, factory.accepted(db, world).id, world.technician)
    second = factory.accepted(db, world, failure_mode="seal_leak")
    with pytest.raises(NotReady, match="another visit"):
        factory.planned(db, second.id, world.technician, start=T0 + 4 * HOUR)
    assert store.get(db, second.id).state == "accepted"


def test_a_decline_returns_the_order_to_the_pool_and_the_clock_runs_on(db: Conn, world: World) -> None:
    visit = factory.planned(db, factory.accepted(db, world).id, world.technician)
    visit = actions.move_visit(db, visit.id, "decline", engineer(world.technician), T0, reason="sick")
    assert (visit.state, visit.decline_reason) == ("declined", "sick")
    assert store.get(db, visit.order_id).state == "accepted"
    assert clocks(db, visit.order_id)["arrive"] is None


def test_check_in_stores_the_distance_to_the_site(db: Conn, world: World) -> None:
    visit = factory.planned(db, factory.accepted(db, world).id, world.technician)
    who = engineer(world.technician)
    actions.move_visit(db, visit.id, "confirm", who, T0)
    actions.move_visit(db, visit.id, "travel", who, T0 + HOUR)
    with pytest.raises(Invalid, match="QR"):
        actions.move_visit(db, visit.id, "check_in", who, T0 + 2 * HOUR)
    with pytest.raises(Invalid, match="latitude"):
        actions.move_visit(db, visit.id, "check_in", who, T0 + 2 * HOUR, position=(200, 0))
    visit = actions.move_visit(db, visit.id, "check_in", who, T0 + 2 * HOUR, position=(31.209, 121.5))
    assert visit.site_distance_m == pytest.approx(1000.8, abs=1)
    assert scalar(db, "select latitude from fsm.position") == 31.209


def test_the_devices_qr_code_checks_in_too_and_another_ones_does_not(db: Conn, world: World) -> None:
    visit = factory.planned(db, factory.accepted(db, world).id, world.technician)
    who = engineer(world.technician)
    for action in ("confirm", "travel"):
        actions.move_visit(db, visit.id, action, who, T0)
    token = scalar(db, "select qr_token from fsm.device where id = %s", (world.device,))
    with pytest.raises(Forbidden):
        actions.move_visit(db, visit.id, "check_in", who, T0, qr_token="made-up")
    visit = actions.move_visit(db, visit.id, "check_in", who, T0, qr_token=token)
    assert (visit.state, visit.site_distance_m) == ("on_site", None)


def test_pauses_are_not_worked(db: Conn, world: World) -> None:
    visit = factory.working(db, factory.planned(db, factory.accepted(db, world).id, world.technician))
    assert visit.working_at is not None
    start, who = visit.working_at, engineer(world.technician)
    actions.move_visit(db, visit.id, "pause", who, start + 40 * MINUTE, reason="lunch")
    actions.move_visit(db, visit.id, "resume", who, start + 100 * MINUTE)
    done = factory.finished(db, visit, at=start + 130 * MINUTE)
    assert done.worked_minutes == pytest.approx(70)
    assert done.working_at == start


def test_an_incomplete_visit_leaves_the_order_open_for_another(db: Conn, world: World) -> None:
    visit = factory.working(db, factory.planned(db, factory.accepted(db, world).id, world.technician))
    visit = actions.move_visit(
        db, visit.id, "incomplete", engineer(world.technician), T0 + 3 * HOUR, reason="part broken"
    )
    assert store.get(db, visit.order_id).state == "accepted"
    second = factory.planned(db, visit.order_id, world.technician, start=T0 + DAY)
    factory.finished(db, factory.working(db, second))
    assert store.get(db, visit.order_id).state == "work_done"


@pytest.mark.parametrize("missing", ["checklist", "codes", "signature", "old part"])
def test_finishing_needs_everything_the_type_demands(db: Conn, missing: str) -> None:
    world = factory.world(db, returns_old=True)
    stocked(db, world)
    order = factory.accepted(db, world)
    visit = factory.working(db, factory.planned(db, order.id, world.technician))
    who, at = engineer(world.technician), T0 + 4 * HOUR
    parts.reserve_for(db, order.id, world.technician, DESK, at)
    parts.consume(db, visit.id, world.part, Decimal(1), who, at)
    if missing != "checklist":
        actions.tick(db, order.id, 1, True, who, at)
    if missing != "codes":
        actions.file_codes(db, order.id, "wear", "replaced", "", who, at)
    if missing != "signature":
        factory.sign(db, order.id)
    if missing != "old part":
        parts.return_old(db, order.id, world.part, Decimal(1), who, at)
    says = {"checklist": "checklist", "codes": "cause", "signature": "signed", "old part": "handed back"}
    with pytest.raises(Conflict, match=says[missing]):
        actions.move_visit(db, visit.id, "finish", who, at)
    assert store.get(db, order.id).state == "in_progress"


def stocked(conn: Conn, world: World) -> int:
    """The engineer's van, with two bearings."""
    van = factory.location(conn, kind="van", technician_id=world.technician)
    parts.receive(conn, world.part, van, Decimal(2), Decimal(400), MANAGER, T0)
    return van


def reserved(conn: Conn) -> Decimal:
    found: Decimal = scalar(conn, "select coalesce(sum(reserved), 0) from fsm.stock_balance")
    return found


@pytest.mark.parametrize("action", ["decline", "incomplete", "cancel"])
def test_what_was_reserved_is_free_again_when_the_visit_fails(db: Conn, world: World, action: str) -> None:
    stocked(db, world)
    order = factory.accepted(db, world)
    visit = factory.planned(db, order.id, world.technician)
    parts.reserve_for(db, order.id, world.technician, DESK, T0)
    assert reserved(db) == 1
    if action == "cancel":
        actions.move_order(db, order.id, "cancel", DESK, T0, reason="sold")
        assert store.get_visit(db, visit.id).state == "cancelled"
    elif action == "decline":
        actions.move_visit(db, visit.id, "decline", engineer(world.technician), T0, reason="sick")
    else:
        factory.working(db, visit)
        actions.move_visit(db, visit.id, action, engineer(world.technician), T0 + DAY, reason="no power")
    assert reserved(db) == 0
    assert invariants.check(db) == []


def test_a_held_order_moves_no_further_until_released(db: Conn, world: World) -> None:
    visit = factory.planned(db, factory.accepted(db, world).id, world.technician)
    who = engineer(world.technician)
    actions.move_order(db, visit.order_id, "hold", who, T0, reason="waiting_customer")
    with pytest.raises(Conflict, match="on hold"):
        actions.move_visit(db, visit.id, "confirm", who, T0)
    order = actions.move_order(db, visit.order_id, "release", DESK, T0 + HOUR)
    assert (order.state, order.hold_reason) == ("assigned", None)


def test_a_hold_needs_a_listed_reason(db: Conn, world: World) -> None:
    order = factory.accepted(db, world)
    with pytest.raises(Invalid, match="waiting_customer"), db.transaction():
        actions.move_order(db, order.id, "hold", DESK, T0, reason="because")
    assert store.get(db, order.id).state == "accepted"


def test_an_order_whose_visit_was_declined_while_held_goes_back_to_the_pool(db: Conn, world: World) -> None:
    visit = factory.planned(db, factory.accepted(db, world).id, world.technician)
    actions.move_order(db, visit.order_id, "hold", DESK, T0, reason="other")
    actions.move_visit(db, visit.id, "decline", engineer(world.technician), T0, reason="sick")
    assert store.get(db, visit.order_id).state == "on_hold"
    assert actions.move_order(db, visit.order_id, "release", DESK, T0).state == "accepted"


def test_a_reopened_order_owes_completion_again_and_keeps_its_history(db: Conn, world: World) -> None:
    order = factory.repaired(db, world)
    before = len(store.events(db, order.id))
    reopened = actions.move_order(db, order.id, "reopen", MANAGER, T0 + DAY, reason="still loud")
    assert (reopened.state, len(store.visits(db, order.id))) == ("accepted", 1)
    assert clocks(db, order.id)["complete"] is None
    assert scalar(db, "select count(*) from fsm.service_report where signed_at is not null") == 1
    assert len(store.events(db, order.id)) == before + 1
    actions.move_order(db, order.id, "hold", DESK, T0 + DAY, reason="other")
    assert actions.move_order(db, order.id, "release", DESK, T0 + DAY).state == "accepted"


def test_a_misuse_found_on_site_takes_the_warranty_away(db: Conn) -> None:
    world = factory.world(db, warranty_until=T0.date() + DAY)
    order = factory.accepted(db, world)
    assert {row["rule"] for row in entitlement.snapshot(db, order.id)} == {"device_warranty"}
    visit = factory.working(db, factory.planned(db, order.id, world.technician))
    factory.finished(db, visit, cause="operator_error")
    lines = entitlement.snapshot(db, order.id)
    assert {(row["rule"], row["payer"]) for row in lines} == {("misuse", "customer")}
    assert lines[0]["evidence"]["before"] == "device_warranty"


def test_a_changed_priority_is_logged_and_counts_from_the_opening(db: Conn, world: World) -> None:
    order = factory.accepted(db, world)
    actions.change_priority(db, order.id, 1, DESK, T0 + HOUR)
    due = scalar(
        db, "select due_at from fsm.sla_clock where order_id = %s and kind = 'complete'", (order.id,)
    )
    assert due == T0 + 8 * HOUR
    assert store.events(db, order.id)[-1]["data"] == {"from": 2, "to": 1}


def test_the_log_cannot_be_edited(db: Conn, world: World) -> None:
    factory.opened(db, world)
    with pytest.raises(Exception, match="append-only"):
        db.execute("update fsm.work_order_event set actor = 'nobody'")


def test_a_device_at_another_site_is_refused(db: Conn, world: World) -> None:
    elsewhere = factory.site(db, world.customer)
    with pytest.raises(Invalid, match="does not stand at site"):
        factory.opened(db, world, site_id=elsewhere)


def test_of_eight_people_accepting_at_once_one_does(db: Conn, dsn: str, world: World) -> None:
    order = factory.opened(db, world)
    start, outcomes = threading.Barrier(8), list[str]()

    def accept() -> None:
        with connect(dsn, autocommit=True) as conn:
            start.wait()
            try:
                with conn.transaction():
                    actions.move_order(conn, order.id, "accept", DESK, T0)
                outcomes.append("accepted")
            except Conflict:
                outcomes.append("refused")

    threads = [threading.Thread(target=accept) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted"] + ["refused"] * 7
    assert len(store.events(db, order.id)) == 2


def test_lists_show_what_exists_for_the_reader(db: Conn, world: World) -> None:
    order = factory.accepted(db, world)
    other = factory.customer(db)
    away = factory.opened(db, world, customer_id=other, site_id=factory.site(db, other), device_id=None)
    everything = store.listing(db, store.OrderFilter())
    assert [row["id"] for row in everything] == [away.id, order.id]
    assert everything[1]["sla_kind"] == "arrive"
    mine = store.OrderFilter.scope(Actor.user(9, "customer", customer_id=other))
    assert [row["id"] for row in store.listing(db, mine)] == [away.id]
    assert store.listing(db, store.OrderFilter.scope(engineer(world.technician))) == []
    uid = one(db, "select uid from ingest.device where id = %s", (world.device,))
    assert uid is not None
    assert [row["id"] for row in store.listing(db, store.OrderFilter(text=uid["uid"].upper()))] == [order.id]
    assert [row["id"] for row in store.listing(db, store.OrderFilter(after=away.id))] == [order.id]
    assert store.listing(db, store.OrderFilter(text="100%")) == []
