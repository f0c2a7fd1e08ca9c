from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from fsm_core.dispatch import actions
from fsm_core.dispatch.worker import Dispatcher, make_worker
from fsm_core.parts import store as parts_store
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders import store as order_store
from fsm_core.work_orders.store import WorkOrder
from kit import clock
from kit.database import Conn, connect, rows, scalar
from kit.errors import NotFound, NotReady
from tests.conftest import utc
from tests.fsm_core import factory
from tests.fsm_core.dispatch.conftest import NOW, SETTINGS
from tests.fsm_core.factory import DESK, World

Make = Callable[..., WorkOrder]
EARLY = {str(day): [["06:00", "15:00"]] for day in range(1, 8)}


def test_a_round_plans_the_visit_reserves_its_parts_and_says_why(db: Conn, order: Make, world: World) -> None:
    made = order()
    done = actions.round(db, SETTINGS, NOW)
    (visit,) = done.planned
    assert (visit.order_id, visit.technician_id, visit.planned_by) == (made.id, world.technician, "automatic")
    assert visit.travel_start >= NOW
    assert visit.planned_end - visit.planned_start == timedelta(hours=2.5)
    assert order_store.get(db, made.id).state == "assigned"
    assert [row["reserved"] for row in parts_store.order_parts(db, made.id)] == [1]
    assert visit.explanation["technician"]["id"] == world.technician
    assert visit.explanation["text_en"]
    assert visit.explanation["text_zh"]


def test_nothing_is_planned_when_the_parts_are_short_and_the_reason_says_so(
    db: Conn, order: Make, world: World
) -> None:
    made = order()
    with db.transaction():
        db.execute("update fsm.order_part set expected = 40 where order_id = %s", (made.id,))
    done = actions.round(db, SETTINGS, NOW)
    assert done.planned == []
    assert done.unassigned[made.id].code == "parts"
    assert order_store.get(db, made.id).state == "accepted"


def test_work_that_does_not_fit_the_shift_goes_to_the_next_day(db: Conn, order: Make, world: World) -> None:
    factory.calendar(db, code="early", week=EARLY)
    db.execute("update fsm.technician set calendar = 'early'")
    order()
    (visit,) = actions.round(db, SETTINGS, utc("2026-03-02 13:30")).planned
    assert visit.travel_start >= utc("2026-03-03 06:00")
    assert visit.planned_end <= utc("2026-03-03 15:00")


def test_work_that_does_not_fit_the_early_shift_goes_to_the_late_one(
    db: Conn, order: Make, world: World
) -> None:
    factory.calendar(db, code="early", week=EARLY)
    factory.calendar(db, code="late", week={str(day): [["13:00", "22:00"]] for day in range(1, 8)})
    db.execute("update fsm.technician set calendar = 'early'")
    late = factory.technician(db, calendar="late", latitude=31.4)
    order()
    (visit,) = actions.round(db, SETTINGS, utc("2026-03-02 13:30")).planned
    assert visit.technician_id == late
    assert visit.planned_end <= utc("2026-03-02 22:00")


def test_an_absent_engineer_is_not_sent(db: Conn, order: Make, world: World) -> None:
    db.execute(
        "insert into fsm.absence values (%s, tstzrange(%s, %s), 'holiday')",
        (world.technician, NOW - timedelta(days=1), NOW + timedelta(days=30)),
    )
    made = order()
    assert actions.round(db, SETTINGS, NOW).unassigned[made.id].code == "calendar"


def test_a_second_order_waits_for_the_first_and_promises_do_not_move(db: Conn, order: Make) -> None:
    order()
    (first,) = actions.round(db, SETTINGS, NOW).planned
    order()
    (second,) = actions.round(db, SETTINGS, NOW).planned
    assert second.travel_start >= first.planned_end
    assert order_store.get_visit(db, first.id) == first


def test_the_urgent_order_goes_first(db: Conn, order: Make) -> None:
    normal, urgent = order(priority=3), order(priority=1)
    done = actions.round(db, SETTINGS, NOW)
    starts = {visit.order_id: visit.planned_start for visit in done.planned}
    assert starts[urgent.id] < starts[normal.id]
    assert [visit.order_id for visit in done.planned] == [urgent.id, normal.id]


def test_an_urgent_round_leaves_the_others(db: Conn, order: Make) -> None:
    normal, urgent = order(priority=3), order(priority=1)
    done = actions.round(db, SETTINGS, NOW, urgent_only=True)
    assert [visit.order_id for visit in done.planned] == [urgent.id]
    assert order_store.get(db, normal.id).state == "accepted"


def test_a_routed_order_goes_to_its_provider_only(db: Conn, order: Make, world: World) -> None:
    provider = factory.provider(db)
    made = order()
    with db.transaction():
        orders.route(db, made.id, provider, "test", DESK, NOW)
    assert actions.round(db, SETTINGS, NOW).unassigned[made.id].code == "provider"
    theirs = factory.technician(db, provider_id=provider)
    (visit,) = actions.round(db, SETTINGS, NOW).planned
    assert visit.technician_id == theirs


def test_an_order_moved_during_the_search_waits_for_the_next_round(
    db: Conn, order: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = order(), order()
    search = actions._search

    def meanwhile(*given: object) -> object:
        with db.transaction():
            orders.move_order(db, made.id, "cancel", DESK, NOW, reason="mistake")
        return search(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(actions, "_search", meanwhile)
    done = actions.round(db, SETTINGS, NOW)
    assert set(done.refused) == {made.id}
    assert [visit.order_id for visit in done.planned] == [other.id]


def test_parts_taken_meanwhile_leave_neither_visit_nor_reservation(
    db: Conn, order: Make, world: World
) -> None:
    made = order()
    db.execute("update fsm.order_part set expected = 12 where order_id = %s", (made.id,))
    candidate = actions.candidates(db, made.id, NOW)[0]
    assert candidate.feasible
    rival = order()
    with db.transaction():
        actions.assign(db, rival.id, world.technician, DESK, NOW)
    with pytest.raises(NotReady) as refused, db.transaction():
        actions.assign(db, made.id, world.technician, DESK, NOW)
    assert refused.value.details["constraint"] == "parts"
    assert order_store.visits(db, made.id) == []


def test_two_rounds_at_once_book_nobody_twice_and_no_part_twice(dsn: str, db: Conn, order: Make) -> None:
    for n in range(7):
        factory.technician(db, latitude=31.1 + n / 50)
    for _ in range(50):
        order()
    gate = threading.Barrier(2)

    def race() -> None:
        with connect(dsn, role="meantime_fsm", application="round", autocommit=True) as conn:
            gate.wait(20)
            results.append(actions.round(conn, SETTINGS, NOW))

    results: list[actions.Round] = []
    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 2
    planned = [visit.order_id for each in results for visit in each.planned]
    assert len(planned) == len(set(planned))
    assert 0 < len(planned) <= 12  # twelve bearings there are
    assert (
        rows(db, "select * from fsm.stock_balance where physical and (on_hand < reserved or reserved < 0)")
        == []
    )
    assert scalar(db, "select sum(reserved) from fsm.stock_balance") == len(planned)
    assert not rows(
        db,
        """select a.id from fsm.visit a join fsm.visit b on a.technician_id = b.technician_id and a.id < b.id
           where tstzrange(a.travel_start, a.planned_end) && tstzrange(b.travel_start, b.planned_end)""",
    )
    assert len(planned) + len(actions.round(db, SETTINGS, NOW).planned) == 12


def test_candidates_name_who_can_go_and_why_the_others_cannot(db: Conn, order: Make, world: World) -> None:
    factory.technician(db, name="Plumber", skills=("plumbing",))
    far = factory.technician(db, name="Far", latitude=32.0)
    found = actions.candidates(db, order().id, NOW)
    assert [each.technician_id for each in found[:2]] == [world.technician, far]
    assert [each.feasible for each in found] == [True, True, False]
    assert found[2].reasons[0].code == "skill"
    assert found[1].distance_km is not None
    assert 80 < found[1].distance_km < 130


def test_assigning_by_hand_books_the_time_that_was_asked_for(db: Conn, order: Make, world: World) -> None:
    start = NOW + timedelta(hours=5)
    with db.transaction():
        visit = actions.assign(db, order().id, world.technician, DESK, NOW, start=start)
    assert (visit.planned_start, visit.planned_by) == (start, "manual")


def test_by_hand_somebody_may_be_sent_at_once_but_not_into_the_past(
    db: Conn, order: Make, world: World
) -> None:
    made = order()
    with pytest.raises(NotReady), db.transaction():
        actions.assign(db, made.id, world.technician, DESK, NOW, start=NOW - timedelta(hours=1))
    with db.transaction():
        assert actions.assign(db, made.id, world.technician, DESK, NOW, start=NOW).planned_start == NOW


@pytest.mark.parametrize(("constraint", "hours"), [("skill", None), ("overlap", 2), ("calendar", 9)])
def test_an_assignment_that_cannot_be_names_the_constraint(
    db: Conn, order: Make, world: World, constraint: str, hours: int | None
) -> None:
    who = world.technician
    factory.calendar(db, code="early", week=EARLY)
    db.execute("update fsm.technician set calendar = 'early'")
    if constraint == "skill":
        who = factory.technician(db, skills=("plumbing",))
    if constraint == "overlap":
        with db.transaction():
            actions.assign(db, order().id, who, DESK, NOW, start=NOW + timedelta(hours=1))
    start = None if hours is None else NOW + timedelta(hours=hours)
    with pytest.raises(NotReady) as refused, db.transaction():
        actions.assign(db, order().id, who, DESK, NOW, start=start)
    assert refused.value.details["constraint"] == constraint


def test_assigning_what_is_not_there_says_so(db: Conn, order: Make, world: World) -> None:
    with pytest.raises(NotFound, match="engineer"):
        actions.assign(db, order().id, 999_999, DESK, NOW)
    with pytest.raises(NotFound, match="work order"):
        actions.candidates(db, 999_999, NOW)


def test_the_dispatcher_looks_again_only_when_something_changed(db: Conn, order: Make, world: World) -> None:
    clock.set_rate(db, 0, sim=NOW)
    dispatcher = Dispatcher(SETTINGS)
    order()
    assert dispatcher.run(db)
    dispatcher.wake(db, [])
    assert not dispatcher.run(db)
    assert not dispatcher.run(db)
    made = order()
    dispatcher.wake(db, [])
    assert dispatcher.run(db)
    assert order_store.get(db, made.id).state == "assigned"


def test_the_worker_dispatches_an_accepted_order_by_itself(dsn: str, db: Conn, order: Make) -> None:
    clock.set_rate(db, 0, sim=NOW)
    worker, stop = make_worker(dsn, SETTINGS), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        made = order(priority=1)
        for _ in range(200):
            if order_store.get(db, made.id).state == "assigned":
                break
            stop.wait(0.1)
        assert order_store.get(db, made.id).state == "assigned"
    finally:
        stop.set()
        thread.join(20)
