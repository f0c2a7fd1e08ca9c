"""From signals to episodes and orders."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from fsm_core import invariants
from fsm_core.plans import worker
from fsm_core.plans.rules import Policy
from fsm_core.work_orders import actions, store
from kit import clock, follow
from kit.database import Conn, one, rows, scalar
from kit.settings import Settings
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, MANAGER, T0, World, engineer

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
POLICY = Policy()


@pytest.fixture
def world(db: Conn) -> World:
    clock.set_rate(db, 0, sim=T0 + HOUR)
    return factory.world(db)


def catch_up(conn: Conn, policy: Policy = POLICY) -> None:
    follow.catch_up(conn, worker.followers(Settings(), policy))


def verdict(conn: Conn, detection_id: int) -> tuple[str, str]:
    row = one(conn, "select outcome, rule from fsm.episode_signal where detection_id = %s", (detection_id,))
    assert row is not None
    return row["outcome"], row["rule"]


def orders(conn: Conn) -> list[dict[str, Any]]:
    return rows(conn, "select * from fsm.work_order order by id")


def repair(conn: Conn, order_id: int, technician_id: int) -> store.WorkOrder:
    """Bring an accepted order to work_done, five hours after T0."""
    factory.finished(conn, factory.working(conn, factory.planned(conn, order_id, technician_id)))
    return store.get(conn, order_id)


@pytest.fixture(autouse=True)
def nothing_is_off(db: Conn) -> Iterator[None]:
    yield
    assert invariants.check(db) == []
    assert rows(db, "select * from kit.failed_fact") == []


def test_a_raise_opens_one_accepted_order_with_everything_it_needs(db: Conn, world: World) -> None:
    found = factory.detection(db, world.device)
    catch_up(db)
    (order,) = orders(db)
    assert verdict(db, found) == ("opened", "new_fault")
    assert (order["state"], order["source"], order["type"]) == ("accepted", "automatic", "condition")
    assert (order["component"], order["skill"], order["priority"]) == ("bearing", "rotating", 2)
    assert order["fault_at"] == T0
    assert scalar(db, "select expected from fsm.order_part where order_id = %s", (order["id"],)) == 1
    assert scalar(db, "select count(*) from fsm.entitlement where order_id = %s", (order["id"],)) == 3
    assert scalar(db, "select count(*) from fsm.sla_clock where order_id = %s", (order["id"],)) == 3
    assert scalar(db, "select count(*) from fsm.checklist_item where order_id = %s", (order["id"],)) == 1


def test_the_order_says_in_both_languages_what_was_found(db: Conn, world: World) -> None:
    evidence = factory.EVIDENCE | {"codes": [{"code": "E101", "ts": "2026-03-02T08:00:00Z", "active": True}]}
    factory.detection(db, world.device, evidence=evidence)
    catch_up(db)
    (order,) = orders(db)
    assert order["title_en"].startswith("Bearing wear on ")
    assert order["title_zh"].endswith("轴承磨损")
    assert "Vibration 7.1 mm/s against a baseline of 2.2 mm/s (limit 4 mm/s)." in order["description"]
    assert "轴承振动 7.1 mm/s，基线 2.2 mm/s（限值 4 mm/s）。" in order["description_zh"]
    assert "Fault code E101" in order["description"]


def test_a_second_raise_attaches_and_raises_the_priority(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    again = factory.detection(db, world.device, at=T0 + HOUR / 2, severity=1)
    catch_up(db)
    (order,) = orders(db)
    assert verdict(db, again) == ("attached", "open_episode")
    assert order["priority"] == 1
    assert scalar(db, "select minutes from fsm.sla_clock where kind = 'arrive'") == 240


def test_another_failure_mode_of_the_device_is_another_fault(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    factory.detection(db, world.device, failure_mode="seal_leak")
    catch_up(db)
    assert len(orders(db)) == 2


def test_a_desk_order_for_the_same_fault_takes_the_signal_in(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    found = factory.detection(db, world.device)
    catch_up(db)
    assert verdict(db, found) == ("attached", "open_order")
    assert [o["id"] for o in orders(db)] == [order.id]


def test_a_device_that_is_no_asset_gets_no_order(db: Conn, world: World) -> None:
    stranger = scalar(
        db, "insert into ingest.device (uid, model) values ('stranger', %s) returning id", (world.model,)
    )
    found = factory.detection(db, stranger)
    catch_up(db)
    assert verdict(db, found) == ("ignored", "no_asset")
    assert orders(db) == []


def test_information_opens_nothing(db: Conn, world: World) -> None:
    found = factory.detection(db, world.device, severity=4)
    catch_up(db)
    assert verdict(db, found) == ("ignored", "information_only")


def test_a_child_is_quiet_while_its_parent_is_broken_and_heard_after(db: Conn, world: World) -> None:
    child = factory.device(db, world.site, parent_id=world.device)
    factory.detection(db, world.device)
    found = factory.detection(db, child, at=T0 + HOUR / 4)
    catch_up(db)
    assert verdict(db, found) == ("suppressed", "parent_cause")
    (order,) = orders(db)
    assert worker.reconsider(db, T0 + HOUR, POLICY) == 0
    repair(db, order["id"], world.technician)
    assert worker.reconsider(db, T0 + 6 * HOUR, POLICY) == 1
    assert verdict(db, found) == ("opened", "new_fault")


def test_a_child_that_recovered_meanwhile_is_left_alone(db: Conn, world: World) -> None:
    child = factory.device(db, world.site, parent_id=world.device)
    factory.detection(db, world.device)
    factory.detection(db, child, at=T0 + HOUR / 4)
    factory.detection(db, child, at=T0 + HOUR / 2, kind="clear")
    catch_up(db)
    repair(db, orders(db)[0]["id"], world.technician)
    assert worker.reconsider(db, T0 + 6 * HOUR, POLICY) == 0


def test_a_maintenance_window_keeps_signals_quiet_until_it_ends(db: Conn, world: World) -> None:
    db.execute(
        "insert into fsm.maintenance_window (site_id, during, reason) values (%s, tstzrange(%s, %s), 'cleaning')",
        (world.site, T0 - HOUR, T0 + HOUR),
    )
    found = factory.detection(db, world.device)
    catch_up(db)
    assert verdict(db, found) == ("suppressed", "maintenance_window")
    assert worker.reconsider(db, T0 + HOUR / 2, POLICY) == 0
    assert worker.reconsider(db, T0 + 2 * HOUR, POLICY) == 1
    assert verdict(db, found) == ("opened", "new_fault")


def test_signals_while_an_engineer_works_on_the_device_open_nothing(db: Conn, world: World) -> None:
    order = factory.accepted(db, world, failure_mode="seal_leak")
    visit = factory.working(db, factory.planned(db, order.id, world.technician))
    assert visit.working_at is not None
    found = factory.detection(db, world.device, at=visit.working_at + timedelta(minutes=5))
    catch_up(db)
    assert verdict(db, found) == ("suppressed", "engineer_on_site")


def test_a_raise_soon_after_the_repair_is_a_repeat_repair(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    first = repair(db, orders(db)[0]["id"], world.technician)
    clock.set_rate(db, 0, sim=T0 + 3 * DAY)
    found = factory.detection(db, world.device, at=T0 + 2 * DAY)
    catch_up(db)
    assert verdict(db, found) == ("reopened", "repeat_repair")
    again = orders(db)[1]
    assert (again["repeat_of"], again["type"]) == (first.id, "repeat")
    payers = rows(
        db, "select payer, covered_pct, rule from fsm.entitlement where order_id = %s", (again["id"],)
    )
    assert [tuple(row.values()) for row in payers] == [("warranty", 100, "repair_warranty")] * 3


def not_recovered(conn: Conn, device_id: int, at: datetime) -> int:
    """What analytics writes when the signal had not come back after the last repair."""
    reset = scalar(conn, "select max(id) from analytics.reset where device_id = %s", (device_id,))
    evidence = factory.EVIDENCE | {"reset": reset, "run_hours": 48.5, "within_hours": 48.0}
    return factory.detection(conn, device_id, at=at, rule="recovery", evidence=evidence)


def test_a_signal_that_did_not_recover_is_a_repeat_of_that_repair_however_long_it_took(
    db: Conn, world: World
) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    first = repair(db, orders(db)[0]["id"], world.technician)
    clock.set_rate(db, 0, sim=T0 + 41 * DAY)
    found = not_recovered(db, world.device, T0 + 40 * DAY)
    again = not_recovered(db, world.device, T0 + 40 * DAY + HOUR)
    catch_up(db)
    catch_up(db)
    assert verdict(db, found) == ("reopened", "not_recovered")
    assert verdict(db, again) == ("attached", "open_episode")
    repeat = orders(db)[1]
    assert len(orders(db)) == 2
    assert (repeat["repeat_of"], repeat["type"]) == (first.id, "repeat")
    assert "Not back to normal 48 operating hours after the repair." in repeat["description"]
    assert "维修后运行 48 小时信号仍未恢复正常。" in repeat["description_zh"]


def test_a_desk_repair_is_repeated_too_and_nothing_while_an_order_is_open(db: Conn, world: World) -> None:
    first = repair(db, factory.accepted(db, world).id, world.technician)
    clock.set_rate(db, 0, sim=T0 + 4 * DAY)
    desk = factory.opened(db, world, at=T0 + 2 * DAY)
    found = not_recovered(db, world.device, T0 + 3 * DAY)
    catch_up(db)
    assert verdict(db, found) == ("attached", "open_order")
    actions.move_order(db, desk.id, "cancel", DESK, T0 + 3 * DAY, reason="double")
    again = not_recovered(db, world.device, T0 + 3 * DAY + HOUR)
    catch_up(db)
    assert verdict(db, again) == ("reopened", "not_recovered")
    assert orders(db)[-1]["repeat_of"] == first.id


def test_a_repeat_of_a_repair_nobody_ordered_is_a_new_fault(db: Conn, world: World) -> None:
    db.execute(
        "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'told by hand')",
        (world.device, T0 - DAY),
    )
    found = not_recovered(db, world.device, T0)
    catch_up(db)
    assert verdict(db, found) == ("opened", "new_fault")
    assert orders(db)[0]["repeat_of"] is None


def test_where_a_failure_model_decides_other_findings_are_its_evidence(db: Conn, world: World) -> None:
    db.execute("insert into analytics.prediction_decides values (%s)", (world.model,))
    first = factory.detection(db, world.device)
    catch_up(db)
    assert verdict(db, first) == ("opened", "new_fault")  # no model is in force yet
    repair(db, orders(db)[0]["id"], world.technician)
    db.execute(
        """insert into analytics.model_version (kind, model, component, format, bytes, data_from, data_to, scores, cost,
               promoted_at, verdict) values ('failure', %s, 'bearing', 1, '', %s, %s, '{}', 0, %s, 'Promoted')""",
        (world.model, T0 - 30 * DAY, T0, T0),
    )
    clock.set_rate(db, 0, sim=T0 + 30 * DAY)
    shift = factory.detection(db, world.device, at=T0 + 29 * DAY)
    stop = factory.detection(
        db, world.device, at=T0 + 29 * DAY, rule="fault_code", severity=1, failure_mode="seal_leak"
    )
    catch_up(db)
    assert verdict(db, shift) == ("suppressed", "left_to_prediction")
    assert verdict(db, stop) == ("opened", "new_fault")
    foreseen = factory.detection(db, world.device, at=T0 + 29 * DAY + HOUR, rule="prediction")
    catch_up(db)
    assert verdict(db, foreseen) == ("opened", "new_fault")


def test_a_raise_long_after_the_repair_is_a_new_fault(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    repair(db, orders(db)[0]["id"], world.technician)
    clock.set_rate(db, 0, sim=T0 + 30 * DAY)
    found = factory.detection(db, world.device, at=T0 + 29 * DAY)
    catch_up(db)
    assert verdict(db, found) == ("opened", "new_fault")
    assert orders(db)[1]["repeat_of"] is None


def test_a_late_signal_from_before_the_repair_opens_nothing(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    repair(db, orders(db)[0]["id"], world.technician)
    found = factory.detection(db, world.device, at=T0 + HOUR, rule="limit")
    catch_up(db)
    assert verdict(db, found) == ("suppressed", "before_repair")


def test_a_storm_at_a_site_is_one_incident(db: Conn, world: World) -> None:
    devices = [world.device, *(factory.device(db, world.site) for _ in range(6))]
    found = [factory.detection(db, device, at=T0 + timedelta(minutes=n)) for n, device in enumerate(devices)]
    catch_up(db)
    assert len(orders(db)) == POLICY.storm_cap
    assert [verdict(db, one)[1] for one in found] == ["new_fault"] * 5 + ["site_storm"] * 2


def test_a_clear_cancels_an_order_nobody_accepted_once_it_has_settled(db: Conn, world: World) -> None:
    patient = Policy(auto_accept=0)
    factory.detection(db, world.device)
    found = factory.detection(db, world.device, at=T0 + HOUR, kind="clear")
    catch_up(db, patient)
    assert verdict(db, found) == ("cleared", "signal_clear")
    assert worker.cancel_cleared(db, T0 + HOUR, patient) == 0
    assert worker.cancel_cleared(db, T0 + 2 * HOUR, patient) == 1
    assert orders(db)[0]["state"] == "cancelled"
    assert verdict(db, found) == ("cancelled", "cleared_before_acceptance")


def test_a_clear_leaves_an_accepted_order_alone(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    factory.detection(db, world.device, at=T0 + HOUR, kind="clear")
    catch_up(db)
    assert worker.cancel_cleared(db, T0 + DAY, POLICY) == 0
    assert orders(db)[0]["state"] == "accepted"


def test_a_raise_after_the_clear_keeps_the_order(db: Conn, world: World) -> None:
    patient = Policy(auto_accept=0)
    for minutes, kind in ((0, "raise"), (10, "clear"), (20, "raise")):
        factory.detection(db, world.device, at=T0 + timedelta(minutes=minutes), kind=kind)
    catch_up(db, patient)
    assert worker.cancel_cleared(db, T0 + DAY, patient) == 0


def test_a_clear_that_comes_before_its_raise_still_counts(db: Conn, world: World) -> None:
    patient = Policy(auto_accept=0)
    factory.detection(db, world.device, at=T0 + HOUR, kind="clear")
    catch_up(db, patient)
    factory.detection(db, world.device, at=T0)
    catch_up(db, patient)
    assert worker.cancel_cleared(db, T0 + DAY, patient) == 1


def test_the_repair_tells_analytics_that_the_component_is_as_new(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    order = repair(db, orders(db)[0]["id"], world.technician)
    reset = one(db, "select device_id, component, ts from analytics.reset")
    visit = store.visits(db, order.id)[0]
    assert reset == {"device_id": world.device, "component": "bearing", "ts": visit.ended_at}


def test_a_cancelled_order_ends_its_episode(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    actions.move_order(db, orders(db)[0]["id"], "cancel", DESK, T0 + 2 * HOUR, reason="false alarm")
    assert scalar(db, "select closed_at from fsm.episode") == T0 + 2 * HOUR


def test_a_reopened_order_takes_new_signals_in(db: Conn, world: World) -> None:
    factory.detection(db, world.device)
    catch_up(db)
    order = repair(db, orders(db)[0]["id"], world.technician)
    actions.move_order(db, order.id, "reopen", MANAGER, T0 + DAY, reason="still loud")
    found = factory.detection(db, world.device, at=T0 + DAY + HOUR)
    catch_up(db)
    assert verdict(db, found) == ("attached", "open_episode")
    assert engineer(world.technician).technician_id == world.technician


def spread(conn: Conn, seed: int, count: int, order: str) -> None:
    """The same raises and clears of many devices and modes, inserted in order or shuffled."""
    dice = random.Random(seed)
    devices = [row["id"] for row in rows(conn, "select id from fsm.device order by id")]
    facts = [
        (dice.choice(devices), T0 + timedelta(seconds=n), dice.choice(["raise", "raise", "clear"]),
         dice.choice(["bearing_wear", "seal_leak", "motor_overload"]), dice.choice([1, 2, 3]))
        for n in range(count)
    ]  # fmt: skip
    if order == "shuffled":
        facts += dice.sample(facts, count // 5)
        dice.shuffle(facts)
    conn.cursor().executemany(
        """insert into analytics.detection (device_id, ts, kind, rule, rule_version, failure_mode, severity, score,
               evidence, telemetry_from, telemetry_to, through_batch, telemetry_hash, partition)
           values (%s, %s, %s, 'shift', 1, %s, %s, 5, '{}', %s, %s, 0, 'h', 0)
           on conflict (device_id, ts, kind, rule, failure_mode) do nothing""",
        [(device, ts, kind, mode, severity, ts, ts) for device, ts, kind, mode, severity in facts],
    )


def outcome(conn: Conn) -> list[dict[str, Any]]:
    return rows(
        conn,
        """select e.device_id, e.failure_mode, e.opened_at, e.last_raise_at, e.cleared_at, e.closed_at is null as open,
               o.state, o.priority, o.fault_at, o.type
           from fsm.episode e join fsm.work_order o on o.id = e.order_id order by 1, 2, 3""",
    )


@pytest.mark.slow
def test_ten_thousand_shuffled_and_duplicated_detections_end_as_the_ordered_ones(
    db: Conn, world: World
) -> None:
    for n in range(11):
        factory.device(db, factory.site(db, world.customer), criticality=4 if n % 2 else 3)
    clock.set_rate(db, 0, sim=T0 + DAY)
    wary, ends = Policy(auto_accept=2), []
    for order in ("ordered", "shuffled"):
        with db.transaction() as undo:
            spread(db, 11, 10_000, order)
            facts = rows(db, "select * from analytics.detection order by id")
            for at in range(0, len(facts), 500):
                batch = facts[at : at + 500]
                worker.handle(db, batch, wary)
                if at % 2500 == 0:
                    worker.handle(db, batch, wary)  # a replay after a crash hands the same facts over again
            worker.cancel_cleared(db, T0 + DAY, wary)
            ends.append(outcome(db))
            assert scalar(db, "select count(*) from fsm.episode_signal") == len(facts)
            assert invariants.check(db) == []
            raise psycopg.Rollback(undo)
    assert len(ends[0]) == 36
    assert ends[0] == ends[1]
