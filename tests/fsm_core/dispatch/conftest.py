"""A small town: two warehouses' worth of parts, engineers with vans, pumps at sites around them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from fsm_core.parts import actions as parts
from fsm_core.work_orders.store import WorkOrder
from kit.database import Conn
from kit.settings import Dispatch, Settings
from tests.fsm_core import factory
from tests.fsm_core.factory import SYSTEM, T0, World

SETTINGS = Settings(dispatch=Dispatch(seconds=0.3))
NOW = T0 + timedelta(hours=1)


@pytest.fixture
def world(db: Conn) -> World:
    """One of each; the engineer (rotating) has a van with two bearings, the warehouse has ten."""
    with db.transaction():
        made = factory.world(db)
        van = factory.location(db, kind="van", technician_id=made.technician)
        warehouse = factory.location(db)
        parts.receive(db, made.part, van, Decimal(2), Decimal(100), SYSTEM, T0)
        parts.receive(db, made.part, warehouse, Decimal(10), Decimal(100), SYSTEM, T0)
    return made


@pytest.fixture
def order(db: Conn, world: World) -> Callable[..., WorkOrder]:
    """Makes accepted orders, each at a pump of its own."""

    def make(**values: object) -> WorkOrder:
        with db.transaction():
            given = {"device_id": factory.device(db, world.site)} | values
            return factory.accepted(db, world, **given)  # type: ignore[arg-type]

    return make
