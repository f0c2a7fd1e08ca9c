"""Who pays: the pure decision, and the snapshot of an order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from fsm_core.assets import entitlement
from fsm_core.assets import store as assets
from fsm_core.assets.rules import (
    Contract,
    DeviceWarranty,
    Facts,
    PartWarranty,
    decide,
    renewed_until,
)
from fsm_core.work_orders import actions as orders
from kit.database import Conn, one, scalar
from kit.errors import Conflict, Invalid, NotFound
from tests.fsm_core import factory
from tests.fsm_core.factory import T0

DAY = timedelta(days=1)
TODAY = T0.date()
NOTHING = Facts(fault_at=T0, fault_day=TODAY)
COVERED = DeviceWarranty("P-1", TODAY)
OVER = DeviceWarranty("P-1", TODAY - DAY)
PART = PartWarranty("BRG", "bearing", T0)
HALF = Contract("CT-1", {"labour": Decimal(100), "travel": Decimal(0), "parts": Decimal(50)})


@pytest.mark.parametrize(
    ("facts", "labour", "travel", "parts"),
    [
        (NOTHING, "billable", "billable", "billable"),
        (replace(NOTHING, part=PART), "billable", "billable", "part_warranty"),
        (replace(NOTHING, device=COVERED), *["device_warranty"] * 3),
        (replace(NOTHING, device=OVER), *["billable"] * 3),
        (replace(NOTHING, device=OVER, parent=COVERED), *["parent_warranty"] * 3),
        (replace(NOTHING, part=PART, device=COVERED), "device_warranty", "device_warranty", "part_warranty"),
        (replace(NOTHING, device=OVER, contract=HALF), "contract", "billable", "contract"),
        (replace(NOTHING, device=COVERED, contract=HALF), *["device_warranty"] * 3),
        (replace(NOTHING, part=PART, device=COVERED, contract=HALF, misuse="abuse"), *["misuse"] * 3),
        (replace(NOTHING, part=replace(PART, until=T0 - DAY)), *["billable"] * 3),
    ],
)
def test_the_first_that_covers_a_line_decides(facts: Facts, labour: str, travel: str, parts: str) -> None:
    lines = decide(facts)
    assert [line.rule for line in lines] == [labour, travel, parts]
    assert [line.line for line in lines] == ["labour", "travel", "parts"]
    assert all(line.reason_en and line.reason_zh for line in lines)


def test_the_percentages_are_the_contracts() -> None:
    labour, travel, parts = decide(replace(NOTHING, contract=HALF))
    assert [(x.payer, x.covered_pct) for x in (labour, travel, parts)] == [
        ("contract", 100), ("customer", 0), ("contract", 50),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("until", "hours", "life", "covered"),
    [
        (TODAY, None, 9e9, True),
        (TODAY - DAY, None, 0, False),
        (TODAY, 1000, 1000, True),
        (TODAY, 1000, 1000.1, False),
        (TODAY, 1000, None, True),
        (None, 1000, 10, False),
    ],
)
def test_a_warranty_ends_by_date_or_hours_whichever_is_first(
    until: date | None, hours: float | None, life: float | None, covered: bool
) -> None:
    assert DeviceWarranty("P-1", until, hours, life).covers(TODAY) is covered


def test_a_replaced_part_gets_the_longer_of_the_remainder_and_its_own_days() -> None:
    assert renewed_until(T0, 90, []) == T0 + 90 * DAY
    assert renewed_until(T0, 90, [T0 + 200 * DAY]) == T0 + 200 * DAY
    assert renewed_until(T0, 90, [T0 + 10 * DAY]) == T0 + 90 * DAY


def rules_of(conn: Conn, order_id: int) -> set[str]:
    return {row["rule"] for row in entitlement.snapshot(conn, order_id)}


def test_the_hours_and_the_local_day_of_the_fault_count_not_those_of_the_repair(db: Conn) -> None:
    world = factory.world(db, warranty_until=date(2026, 3, 3), warranty_hours=1000)
    factory.run_hours(db, world.device, 1020, at=T0 + 5 * DAY)
    for days in range(1, 5):
        factory.run_day(db, world.device, (T0 + days * DAY).date(), 10)
    early = factory.accepted(db, world, at=T0 + 6 * DAY, fault_at=T0)
    assert rules_of(db, early.id) == {"device_warranty"}  # 1020 − 4 × 10 = 980 h at the fault
    late = factory.accepted(db, world, at=T0 + 6 * DAY, fault_at=datetime(2026, 3, 3, 16, 30, tzinfo=UTC))
    assert rules_of(db, late.id) == {"billable"}  # 4 March in Shanghai
    worn = factory.accepted(db, world, at=T0 + 6 * DAY, fault_at=T0 + 1.2 * DAY)
    assert rules_of(db, worn.id) == {"device_warranty"}  # 990 h


def test_the_decision_is_a_snapshot(db: Conn) -> None:
    world = factory.world(db, warranty_until=TODAY)
    order = factory.accepted(db, world)
    before = entitlement.snapshot(db, order.id)
    db.execute("update fsm.device set warranty_until = '2020-01-01'")
    factory.contract(db, world.customer)
    entitlement.settle_who_pays(db, order.id, T0 + DAY)
    assert entitlement.snapshot(db, order.id) == before


def test_a_repair_registers_its_part_which_then_covers_the_next_fault(db: Conn) -> None:
    world = factory.world(db)
    order = factory.accepted(db, world)
    visit = factory.working(db, factory.planned(db, order.id, world.technician))
    db.execute("update fsm.order_part set consumed = 1 where order_id = %s", (order.id,))
    done = factory.finished(db, visit)
    assert done.ended_at is not None
    (part,) = assets.installed_parts(db, world.device)
    assert (part["sku"], part["component"]) == ("BRG-6310", "bearing")
    assert part["warranty_until"] == done.ended_at + 90 * DAY
    again = factory.accepted(db, world, at=T0 + 10 * DAY, fault_at=T0 + 10 * DAY)
    rows = {row["line"]: row["rule"] for row in entitlement.snapshot(db, again.id)}
    assert rows == {"labour": "billable", "travel": "billable", "parts": "part_warranty"}


def test_a_manager_correcting_the_cause_to_misuse_takes_the_coverage_away(db: Conn) -> None:
    world = factory.world(db, warranty_until=TODAY)
    order = factory.repaired(db, world)
    orders.file_codes(db, order.id, "operator_error", None, "", factory.MANAGER, T0 + DAY)
    assert rules_of(db, order.id) == {"misuse"}


def test_a_device_shows_where_it_stands_and_what_was_done_to_it(db: Conn) -> None:
    world = factory.world(db)
    factory.run_hours(db, world.device, 42)
    order = factory.repaired(db, world)
    device = assets.device(db, world.device)
    assert (device["customer_id"], device["run_hours"], device["online"]) == (world.customer, 42, False)
    (done,) = assets.history(db, world.device)
    assert (done["id"], done["cause_code"]) == (order.id, "wear")
    assert done["done_at"] is not None
    assert assets.find(db, qr_token=device["qr_token"]) == world.device
    assert [row["id"] for row in assets.listing(db, text=device["uid"])] == [world.device]
    assert assets.listing(db, customer_id=factory.customer(db)) == []
    with pytest.raises(NotFound):
        assets.device(db, 999)


def test_a_provisioned_device_becomes_an_asset(db: Conn) -> None:
    world = factory.world(db)
    device_id = scalar(
        db, "insert into ingest.device (uid, model) values ('new', %s) returning id", (world.model,)
    )
    found = assets.register(db, device_id, serial="S-9", site_id=world.site, installed_on=TODAY)
    assert (found["uid"], found["site_id"]) == ("new", world.site)
    assert len(found["qr_token"]) >= 12
    assert one(db, "select 1 from fsm.device where id = %s", (device_id,))
    with pytest.raises(Conflict):
        assets.register(db, device_id, serial="S-10", site_id=world.site, installed_on=TODAY)
    with pytest.raises(Invalid, match="site"):
        assets.register(db, spare(db, world.model), serial="S-10", site_id=999, installed_on=TODAY)
    with pytest.raises(Invalid, match="Criticality 9"):
        assets.register(
            db, spare(db, world.model), serial="S-11", site_id=world.site, installed_on=TODAY, criticality=9
        )


def spare(conn: Conn, model: str) -> int:
    count: int = scalar(conn, "select count(*) from ingest.device")
    found: int = scalar(
        conn, "insert into ingest.device (uid, model) values (%s, %s) returning id", (f"spare-{count}", model)
    )
    return found
