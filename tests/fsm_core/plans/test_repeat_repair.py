"""From telemetry to a repair that does not hold, and to its repeat: the followers of analytics and orders together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analytics import explain
from analytics import worker as analytics
from analytics.definitions import DAY, HOUR
from analytics.store import moment
from fsm_core import invariants
from fsm_core.plans import worker as plans
from kit import clock, follow
from kit.database import Conn, rows, scalar
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import START, VIBRATION, Fault
from tests.fsm_core import factory

REPAIR = START + int(10.5 * DAY)


@pytest.fixture
def fleet(db: Conn) -> tuple[factory.World, list[int]]:
    clock.set_rate(db, 0, sim=moment(START))
    stored.prepare(db, 0)
    world = factory.world(db)
    return world, [world.device, *(factory.device(db, world.site) for _ in range(3))]


def live(conn: Conn, devices: list[int], first_day: float, last_day: float) -> None:
    """The first device's bearing wears out and stays worn, whatever is done to it; a day at a time."""
    block = machines.rows(devices, machines.times(last_day), faults=[Fault(devices[0], VIBRATION, 7, 3, 0.8)])
    first, last = START + int(first_day * DAY), START + int(last_day * DAY)
    for begin, end in pairwise([*range(first, last, DAY), last]):
        stored.write(conn, block.take(np.flatnonzero((block.ts >= begin) & (block.ts < end))))
        clock.set_rate(conn, 0, sim=moment(end))
        settings = Settings()
        follow.catch_up(conn, [*analytics.followers(settings), *plans.followers(settings)])


def test_a_repair_that_does_not_hold_is_repeated_once_and_at_no_cost_to_the_customer(
    db: Conn, fleet: tuple[factory.World, list[int]]
) -> None:
    world, devices = fleet
    live(db, devices, 0, 10.5)
    (first,) = rows(db, "select * from fsm.work_order where device_id = %s", (world.device,))
    assert (first["type"], first["failure_mode"], first["state"]) == ("condition", "bearing_wear", "accepted")
    start = moment(REPAIR - 3 * HOUR)
    visit = factory.working(db, factory.planned(db, first["id"], world.technician, start=start, hours=2.5))
    factory.finished(db, visit)
    live(db, devices, 10.5, 17)

    (check,) = rows(db, "select * from analytics.recovery")
    assert (check["state"], check["device_id"]) == ("not_recovered", world.device)
    found = rows(db, "select * from fsm.work_order where device_id = %s order by id", (world.device,))
    assert [(order["type"], order["repeat_of"]) for order in found] == [
        ("condition", None), ("repeat", first["id"]),
    ]  # fmt: skip
    paid = rows(db, "select payer, rule from fsm.entitlement where order_id = %s", (found[1]["id"],))
    assert [(row["payer"], row["rule"]) for row in paid] == [("warranty", "repair_warranty")] * 3
    fixed = rows(db, "select order_id, first_fix from reports.mttr")
    assert fixed == [{"order_id": first["id"], "first_fix": False}]
    signal = scalar(db, "select detection_id from fsm.episode_signal where order_id = %s", (found[1]["id"],))
    assert explain.explain(db, signal).ok
    assert invariants.check(db) == []
