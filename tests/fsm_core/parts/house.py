"""An order under way, with stock: what the tests of parts, settlement and reports start from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from fsm_core.parts import actions
from kit.database import Conn, scalar
from tests.fsm_core import factory
from tests.fsm_core.factory import SYSTEM, T0, World


@dataclass(frozen=True)
class House:
    """A warehouse, the engineer's van, and the world of the factory."""

    world: World
    warehouse: int
    van: int

    @property
    def part(self) -> int:
        return self.world.part

    @property
    def technician(self) -> int:
        return self.world.technician


def house(conn: Conn, *, returns_old: bool = True) -> House:
    world = factory.world(conn, returns_old=returns_old)
    return House(
        world,
        factory.location(conn, code="WH"),
        factory.location(conn, kind="van", code="VAN", technician_id=world.technician),
    )


def stocked(conn: Conn, here: House, warehouse: int = 0, van: int = 0, cost: str = "100") -> None:
    """Buy so many of the world's part for the warehouse and the van."""
    for location, quantity in ((here.warehouse, warehouse), (here.van, van)):
        if quantity:
            actions.receive(conn, here.part, location, Decimal(quantity), Decimal(cost), SYSTEM, T0)


def order(
    conn: Conn, world: World, *, expected: int = 1, state: str = "in_progress", type: str = "repair"
) -> int:
    """An order as it stands in the table, expecting so many of the world's part."""
    order_id: int = scalar(
        conn,
        """insert into fsm.work_order (type, state, source, device_id, site_id, customer_id, failure_mode, component,
               priority, title_en, title_zh, fault_at, opened_at)
           values (%s, %s, 'automatic', %s, %s, %s, 'bearing_wear', 'bearing', 2, 'Bearing', '轴承', %s, %s)
           returning id""",
        (type, state, world.device, world.site, world.customer, T0, T0),
    )
    if expected:
        conn.execute(
            "insert into fsm.order_part (order_id, part_id, expected) values (%s, %s, %s)",
            (order_id, world.part, expected),
        )
    return order_id


def visit(
    conn: Conn,
    order_id: int,
    technician_id: int,
    *,
    state: str = "working",
    start: datetime = T0,
    minutes: float = 150,
    km: float = 20,
) -> int:
    """A visit as it stands in the table: on site since `start`."""
    visit_id: int = scalar(
        conn,
        """insert into fsm.visit (order_id, technician_id, state, travel_start, planned_start, planned_end,
               travel_minutes, distance_km, planned_by, on_site_at, working_at, worked_minutes)
           values (%s, %s, %s, %s, %s, %s, 30, %s, 'manual', %s, %s, %s) returning id""",
        (
            order_id, technician_id, state, start - timedelta(minutes=30), start,
            start + timedelta(minutes=max(minutes, 1)), km, start, start, minutes,
        ),
    )  # fmt: skip
    return visit_id
