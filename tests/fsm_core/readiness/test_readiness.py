from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from fsm_core.dispatch import actions as dispatch
from fsm_core.parts import actions as parts
from fsm_core.readiness import store
from fsm_core.work_orders import actions as orders
from kit.database import Conn
from kit.errors import NotFound
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, SYSTEM, T0, World

NOW = T0 + timedelta(hours=1)


@pytest.fixture
def world(db: Conn) -> World:
    """One of each, and nothing in stock."""
    with db.transaction():
        return factory.world(db)


def stocked(db: Conn, world: World) -> None:
    with db.transaction():
        parts.receive(db, world.part, factory.location(db), Decimal(1), Decimal(9), SYSTEM, T0)


def test_with_person_and_parts_the_order_is_ready_and_the_earliest_start_is_that_of_dispatch(
    db: Conn, world: World
) -> None:
    stocked(db, world)
    order = factory.accepted(db, world)
    found = store.check(db, order.id, NOW)
    assert (found.ready, found.missing) == (True, [])
    with db.transaction():
        visit = dispatch.assign(db, order.id, world.technician, DESK, NOW)
    assert found.earliest == visit.planned_start


def test_without_parts_it_waits_for_them_and_goes_ahead_when_they_come(db: Conn, world: World) -> None:
    order = factory.accepted(db, world)
    found = store.check(db, order.id, NOW)
    assert (found.ready, found.earliest) == (False, None)
    assert [reason.code for reason in found.missing] == ["parts"]
    stocked(db, world)
    assert store.check(db, order.id, NOW).ready


def test_without_anybody_who_has_the_skill_it_says_which(db: Conn, world: World) -> None:
    stocked(db, world)
    db.execute("update fsm.technician set skills = '{plumbing}'")
    (reason,) = store.check(db, factory.accepted(db, world).id, NOW).missing
    assert reason.code == "skill"
    assert "rotating" in reason.text_en
    assert "rotating" in reason.text_zh


def test_an_order_on_hold_is_not_ready_and_names_the_hold(db: Conn, world: World) -> None:
    stocked(db, world)
    order = factory.accepted(db, world)
    with db.transaction():
        orders.move_order(db, order.id, "hold", DESK, NOW, reason="waiting_customer")
    found = store.check(db, order.id, NOW)
    assert not found.ready
    assert found.missing[0].code == "hold"
    assert "客户" in found.missing[0].text_zh


def test_the_overview_tells_ready_orders_from_blocked_ones(db: Conn, world: World) -> None:
    stocked(db, world)
    ready = factory.accepted(db, world)
    blocked = factory.accepted(db, world, device_id=factory.device(db, world.site))
    db.execute("update fsm.order_part set expected = 7 where order_id = %s", (blocked.id,))
    assert {line.order_id: line.readiness.ready for line in store.overview(db, NOW)} == {
        ready.id: True,
        blocked.id: False,
    }


def test_an_order_that_is_not_there_is_not_found(db: Conn, world: World) -> None:
    with pytest.raises(NotFound):
        store.check(db, 999_999, NOW)
