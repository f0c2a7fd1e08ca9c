from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from fsm_core.dispatch import actions, replan
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders import store as order_store
from fsm_core.work_orders.store import WorkOrder
from kit.database import Conn, rows, scalar
from kit.settings import Dispatch, Settings
from tests.fsm_core import factory
from tests.fsm_core.dispatch.conftest import NOW, SETTINGS
from tests.fsm_core.factory import World

Make = Callable[..., WorkOrder]
DAY = Settings(dispatch=Dispatch(seconds=0.3, horizon_hours=13))


def busy(db: Conn, world: World, order: Make) -> tuple[order_store.Visit, WorkOrder]:
    """A short shift that has room for one job: a job of low priority is planned, then an urgent one comes."""
    factory.calendar(db, code="noon", week={"1": [["12:00", "15:30"]], "2": [["12:00", "15:30"]]})
    db.execute("update fsm.technician set calendar = 'noon'")
    low = order(priority=4)
    (visit,) = actions.round(db, DAY, NOW).planned
    assert visit.order_id == low.id
    return visit, order(priority=1)


def test_an_urgent_order_takes_the_place_of_an_unconfirmed_one_that_can_wait(
    db: Conn, world: World, order: Make
) -> None:
    visit, urgent = busy(db, world, order)
    assert actions.round(db, DAY, NOW).unassigned[urgent.id].code == "overlap"
    made = {each.order_id: each for each in replan.improve(db, SETTINGS, NOW)}
    assert set(made) == {visit.order_id, urgent.id}
    assert made[urgent.id].planned_end < made[visit.order_id].travel_start
    assert order_store.get_visit(db, visit.id).state == "cancelled"
    assert scalar(db, "select sum(reserved) from fsm.stock_balance") == 2


def test_a_confirmed_visit_does_not_move(db: Conn, world: World, order: Make) -> None:
    visit, _ = busy(db, world, order)
    with db.transaction():
        orders.move_visit(db, visit.id, "confirm", factory.engineer(world.technician), NOW)
    assert replan.improve(db, SETTINGS, NOW) == []
    assert order_store.get_visit(db, visit.id).state == "confirmed"


def test_a_visit_that_begins_soon_does_not_move(db: Conn, world: World, order: Make) -> None:
    visit, _ = busy(db, world, order)
    assert replan.improve(db, SETTINGS, visit.travel_start - timedelta(minutes=30)) == []


def test_where_moving_saves_nothing_everything_stays(db: Conn, world: World, order: Make) -> None:
    for _ in range(3):
        order()
    actions.round(db, SETTINGS, NOW)
    before = rows(db, "select id, state, planned_start from fsm.visit order by id")
    assert replan.improve(db, SETTINGS, NOW) == []
    assert rows(db, "select id, state, planned_start from fsm.visit order by id") == before
