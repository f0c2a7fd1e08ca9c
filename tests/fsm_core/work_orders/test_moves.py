"""Orders and visits move as the tables say, with their effects."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fsm_core.actors import Actor
from fsm_core.work_orders import actions, rules, store
from kit.database import Conn, one, rows, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotFound, NotReady, StaleVersion
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, FINANCE, MANAGER, SYSTEM, T0, World, engineer

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(db: Conn) -> World:
    return factory.world(db)


def replayed(conn: Conn, order_id: int) -> rules.Replayed:
    return rules.replay(
        rules.Event(e["subject"], e["visit_id"], e["from_state"], e["to_state"])
        for e in store.events(conn, order_id)
    )


def test_an_order_goes_from_new_to_closed(db: Conn, world: World) -> None:
    order = factory.repaired(db, world)
    assert order.state == "work_done"
    for action, actor in (("review", MANAGER), ("settle", FINANCE), ("close", FINANCE)):
        order = actions.move_order(db, order.id, action, actor, T0 + timedelta(days=1))
    assert order.state == "closed"
    assert replayed(db, order.id).order == "closed"
