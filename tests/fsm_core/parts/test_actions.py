"""Parts: the verbs on a real database."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from fsm_core.parts import actions, store
from fsm_core.settlement import journal
from kit import clock
from kit.database import Conn, connect, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotReady
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, MANAGER, SYSTEM, T0, engineer
from tests.fsm_core.parts.house import House, house, order, stocked, visit

D = Decimal


@pytest.fixture
def here(db: Conn) -> House:
    return house(db)


def on_hand(conn: Conn, location: int, part: int) -> tuple[D, D, D]:
    row = conn.execute(
        "select on_hand, reserved, value from fsm.stock_balance where location_id = %s and part_id = %s",
        (location, part),
    ).fetchone()
    return (D(0), D(0), D(0)) if row is None else (row[0], row[1], row[2])


def account(conn: Conn, code: str) -> D:
    return D(
        scalar(conn, "select coalesce(sum(amount), 0) from fsm.journal_line where account = %s", (code,))
    )


def ready_to_consume(conn: Conn, here: House, quantity: int = 2) -> tuple[int, int]:
    order_id = order(conn, here.world, expected=quantity)
    actions.reserve_for(conn, order_id, here.technician, SYSTEM, T0)
    actions.issue(conn, order_id, here.technician, SYSTEM, T0)
    return order_id, visit(conn, order_id, here.technician)


def test_received_goods_are_worth_what_the_supplier_is_owed(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=10, cost="12.50")
    assert on_hand(db, here.warehouse, here.part) == (10, 0, D("125"))
    assert account(db, "inventory") == D("125")
    assert account(db, "payable_supplier") == D("-125")
    assert store.invariants(db) == []


def test_the_moving_average_is_frozen_on_each_move(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=10, cost="10")
    first = actions.transfer(db, here.part, here.warehouse, here.van, D(1), SYSTEM, T0)[0]
    stocked(db, here, warehouse=9, cost="20")
    second = actions.transfer(db, here.part, here.warehouse, here.van, D(1), SYSTEM, T0)[0]
    assert (first.unit_cost, second.unit_cost) == (D("10"), D("15"))
    assert store.move(db, first.id).unit_cost == D("10")


def test_the_last_piece_takes_the_value_that_is_left(db: Conn, here: House) -> None:
    actions.receive(db, here.part, here.warehouse, D(3), D("3.3333"), SYSTEM, T0)
    actions.receive(db, here.part, here.warehouse, D(4), D("0.0001"), SYSTEM, T0)
    for _ in range(7):
        actions.write_off(db, here.part, here.warehouse, D(1), MANAGER, T0)
    assert on_hand(db, here.warehouse, here.part) == (0, 0, 0)
    assert account(db, "inventory") == 0
    assert store.invariants(db) == []


def test_of_fifty_parallel_reservations_for_ten_units_exactly_ten_succeed(
    db: Conn, dsn: str, here: House
) -> None:
    stocked(db, here, warehouse=10)
    orders = [order(db, here.world) for _ in range(50)]
    outcomes: list[str] = []
    start = threading.Barrier(10)

    def grab(mine: list[int]) -> None:
        with connect(dsn, role="meantime_fsm", autocommit=True) as conn:
            start.wait(20)
            for order_id in mine:
                try:
                    with conn.transaction():
                        actions.reserve(conn, order_id, here.part, D(1), here.warehouse, DESK, T0)
                    outcomes.append("reserved")
                except NotReady:
                    outcomes.append("refused")

    threads = [threading.Thread(target=grab, args=(orders[i::10],)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(outcomes) == {"reserved": 10, "refused": 40}
    assert on_hand(db, here.warehouse, here.part)[:2] == (10, 10)
    assert store.available(db, here.part, here.warehouse) == 0
    assert store.invariants(db) == []


def test_the_van_is_taken_from_before_the_nearest_warehouse(db: Conn, here: House) -> None:
    far = factory.location(db, code="FAR", latitude=35.0, longitude=118.0)
    stocked(db, here, warehouse=2, van=1)
    actions.receive(db, here.part, far, D(50), D(90), SYSTEM, T0)
    order_id = order(db, here.world, expected=4)
    actions.reserve_for(db, order_id, here.technician, SYSTEM, T0)
    held = {row["location"]: D(str(row["quantity"])) for row in store.order_parts(db, order_id)[0]["held_at"]}
    assert held == {"VAN": 1, "WH": 2, "FAR": 1}


def test_what_is_short_is_named_and_nothing_is_reserved(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=1, van=1)
    order_id = order(db, here.world, expected=5)
    with pytest.raises(NotReady, match=r"3\.000 × BRG-6310") as refused:
        actions.reserve_for(db, order_id, here.technician, SYSTEM, T0)
    assert refused.value.details["short"][0]["sku"] == "BRG-6310"
    assert on_hand(db, here.warehouse, here.part)[1] == 0
    assert on_hand(db, here.van, here.part)[1] == 0


def test_reserving_again_for_another_engineer_gives_the_first_van_up(db: Conn, here: House) -> None:
    other = factory.technician(db)
    other_van = factory.location(db, kind="van", technician_id=other)
    stocked(db, here, van=1)
    actions.receive(db, here.part, other_van, D(1), D(100), SYSTEM, T0)
    order_id = order(db, here.world)
    actions.reserve_for(db, order_id, here.technician, SYSTEM, T0)
    actions.reserve_for(db, order_id, other, SYSTEM, T0)
    assert on_hand(db, here.van, here.part)[1] == 0
    assert on_hand(db, other_van, here.part)[1] == 1
    actions.reserve_for(db, order_id, other, SYSTEM, T0)
    assert on_hand(db, other_van, here.part)[1] == 1, "a second call reserves nothing more"


def test_issued_parts_are_in_the_van_and_still_reserved(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=5)
    order_id, _ = ready_to_consume(db, here)
    assert on_hand(db, here.warehouse, here.part) == (3, 0, 300)
    assert on_hand(db, here.van, here.part) == (2, 2, 200)
    assert actions.issue(db, order_id, here.technician, SYSTEM, T0) == [], "there is nothing left to issue"
    assert store.invariants(db) == []


def test_consuming_moves_the_value_to_work_in_progress(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=5)
    order_id, visit_id = ready_to_consume(db, here)
    moved = actions.consume(db, visit_id, here.part, D(1), engineer(here.technician), T0)
    assert (moved.value, moved.order_id, moved.visit_id) == (100, order_id, visit_id)
    assert account(db, "inventory") == 400
    assert account(db, "work_in_progress") == 100
    (row,) = store.order_parts(db, order_id)
    assert (row["reserved"], row["consumed"]) == (1, 1)
    assert store.invariants(db) == []


def test_consuming_what_was_not_issued_is_a_conflict(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=5, van=5)
    order_id = order(db, here.world, expected=0)
    visit_id = visit(db, order_id, here.technician)
    with pytest.raises(Conflict, match="issue or reserve it first"):
        actions.consume(db, visit_id, here.part, D(1), engineer(here.technician), T0)
    actions.reserve(db, order_id, here.part, D(1), here.warehouse, DESK, T0)
    with pytest.raises(Conflict, match="has 0 of BRG-6310"):
        actions.consume(db, visit_id, here.part, D(1), engineer(here.technician), T0)
    actions.issue(db, order_id, here.technician, DESK, T0)
    with pytest.raises(Conflict, match="not 2"):
        actions.consume(db, visit_id, here.part, D(2), engineer(here.technician), T0)
    actions.consume(db, visit_id, here.part, D(1), engineer(here.technician), T0)


def test_another_engineer_or_an_early_one_consumes_nothing(db: Conn, here: House) -> None:
    stocked(db, here, van=2)
    _, visit_id = ready_to_consume(db, here, 1)
    with pytest.raises(Forbidden, match="only the engineer of the visit"):
        actions.consume(db, visit_id, here.part, D(1), engineer(here.technician + 99), T0)
    db.execute("update fsm.visit set state = 'confirmed' where id = %s", (visit_id,))
    with pytest.raises(Conflict, match="used on site"):
        actions.consume(db, visit_id, here.part, D(1), engineer(here.technician), T0)
    assert on_hand(db, here.van, here.part) == (2, 1, 200)


def test_unused_parts_go_back_to_where_they_were_issued(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=5, van=1)
    order_id, visit_id = ready_to_consume(db, here, 4)
    actions.consume(db, visit_id, here.part, D(2), engineer(here.technician), T0)
    actions.return_unused(db, order_id, DESK, T0)
    assert on_hand(db, here.warehouse, here.part)[:2] == (4, 0)
    assert on_hand(db, here.van, here.part)[:2] == (0, 0)
    assert actions.return_unused(db, order_id, DESK, T0) == []
    assert store.invariants(db) == []


def test_released_parts_are_free_again_and_stay_where_they_are(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=3)
    order_id, _ = ready_to_consume(db, here)
    actions.release(db, order_id, DESK, T0)
    assert on_hand(db, here.van, here.part)[:2] == (2, 0)
    assert store.available(db, here.part, here.van) == 2
    assert store.invariants(db) == []


def test_an_old_part_is_missed_until_it_is_handed_back(db: Conn, here: House) -> None:
    stocked(db, here, van=2)
    order_id, visit_id = ready_to_consume(db, here)
    assert store.undeclared_old(db, order_id) == []
    actions.consume(db, visit_id, here.part, D(2), engineer(here.technician), T0)
    assert [(row["sku"], row["missing"]) for row in store.undeclared_old(db, order_id)] == [("BRG-6310", 2)]
    with pytest.raises(Conflict, match="not 3"):
        actions.return_old(db, order_id, here.part, D(3), engineer(here.technician), T0)
    moved = actions.return_old(db, order_id, here.part, D(2), engineer(here.technician), T0)
    assert moved.value == 0
    assert store.undeclared_old(db, order_id) == []
    defective = store.place(db, "DEFECTIVE")
    assert on_hand(db, defective.id, here.part)[0] == 2
    actions.write_off(db, here.part, defective.id, D(2), MANAGER, T0)
    assert store.invariants(db) == []


def test_a_shipment_is_in_transit_until_it_is_taken_in_once(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=4, van=1, cost="70")
    (transfer_id,) = actions.ship(db, here.part, here.warehouse, here.van, D(3), DESK, T0)
    assert on_hand(db, here.warehouse, here.part)[0] == 1
    assert on_hand(db, here.van, here.part)[0] == 1
    assert account(db, "inventory") == 350, "goods under way are still the company's"
    moved = actions.take_in(db, transfer_id, DESK, T0 + timedelta(hours=5))
    assert (moved.quantity, moved.value) == (3, 210)
    assert on_hand(db, here.van, here.part)[0] == 4
    with pytest.raises(Conflict, match="received before"):
        actions.take_in(db, transfer_id, DESK, T0)
    with pytest.raises(Conflict, match="move the goods back"):
        actions.reverse(db, moved.id, MANAGER, T0)


def test_a_count_books_the_difference(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=10)
    actions.adjust(db, here.part, here.warehouse, D(8), MANAGER, T0)
    assert (account(db, "inventory"), account(db, "stock_difference")) == (800, 200)
    actions.adjust(db, here.part, here.warehouse, D(9), MANAGER, T0)
    assert (account(db, "inventory"), account(db, "stock_difference")) == (900, 100)
    assert actions.adjust(db, here.part, here.warehouse, D(9), MANAGER, T0) is None
    order_id = order(db, here.world)
    actions.reserve(db, order_id, here.part, D(5), here.warehouse, DESK, T0)
    with pytest.raises(Conflict, match=r"5\.000 of them reserved"):
        actions.adjust(db, here.part, here.warehouse, D(4), MANAGER, T0)
    assert store.invariants(db) == []


def test_counting_and_scrapping_are_the_managers(db: Conn, here: House) -> None:
    stocked(db, here, van=1)
    for verb in (actions.adjust, actions.write_off):
        with pytest.raises(Forbidden):
            verb(db, here.part, here.van, D(1), engineer(here.technician), T0)
    with pytest.raises(Forbidden):
        actions.reverse(db, store.moves(db)[0].id, DESK, T0)


def test_stock_never_falls_below_zero(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=1)
    with pytest.raises(Conflict, match=r"WH has 1\.000 of BRG-6310, not 2"):
        actions.transfer(db, here.part, here.warehouse, here.van, D(2), DESK, T0)
    order_id = order(db, here.world)
    actions.reserve(db, order_id, here.part, D(1), here.warehouse, DESK, T0)
    with pytest.raises(Conflict, match="reserved for orders"):
        actions.transfer(db, here.part, here.warehouse, here.van, D(1), DESK, T0)


def test_a_correction_is_a_reversal_and_happens_once(db: Conn, here: House) -> None:
    stocked(db, here, van=2)
    order_id, visit_id = ready_to_consume(db, here)
    used = actions.consume(db, visit_id, here.part, D(1), engineer(here.technician), T0)
    undone = actions.reverse(db, used.id, MANAGER, T0)
    assert (undone.reverses, undone.value) == (used.id, used.value)
    assert account(db, "work_in_progress") == 0
    assert store.order_parts(db, order_id)[0]["consumed"] == 0
    with pytest.raises(Conflict, match="reversed before"):
        actions.reverse(db, used.id, MANAGER, T0)
    with pytest.raises(Conflict, match="not reversed"):
        actions.reverse(db, undone.id, MANAGER, T0)
    assert store.invariants(db) == []


def test_reversing_a_purchase_whose_goods_were_used_books_the_difference(db: Conn, here: House) -> None:
    dear = actions.receive(db, here.part, here.warehouse, D(1), D(5), SYSTEM, T0)[0]
    actions.receive(db, here.part, here.warehouse, D(1), D(1), SYSTEM, T0)
    actions.write_off(db, here.part, here.warehouse, D(1), MANAGER, T0)
    actions.reverse(db, dear.id, MANAGER, T0)
    assert on_hand(db, here.warehouse, here.part) == (0, 0, 0)
    assert account(db, "inventory") == 0
    assert account(db, "payable_supplier") == -1
    assert account(db, "stock_difference") == 1
    assert store.invariants(db) == []


def test_a_used_part_whose_old_one_is_back_is_not_simply_unused(db: Conn, here: House) -> None:
    stocked(db, here, van=1)
    order_id, visit_id = ready_to_consume(db, here, 1)
    used = actions.consume(db, visit_id, here.part, D(1), SYSTEM, T0)
    old = actions.return_old(db, order_id, here.part, D(1), SYSTEM, T0)
    with pytest.raises(Conflict, match="reverse that move first"):
        actions.reverse(db, used.id, MANAGER, T0)
    actions.reverse(db, old.id, MANAGER, T0)
    actions.reverse(db, used.id, MANAGER, T0)
    assert store.invariants(db) == []


def test_the_ledger_itself_cannot_be_edited(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=1)
    for table in ("stock_move", "journal_entry", "journal_line"):
        with pytest.raises(Exception, match="append-only"):
            db.execute(f"delete from fsm.{table}")  # type: ignore[arg-type]


def test_a_late_entry_keeps_when_it_happened_and_posts_now(db: Conn, here: House) -> None:
    now = T0 + timedelta(days=3)
    clock.set_rate(db, 0, sim=now)
    stocked(db, here, van=1)
    (moved,) = store.moves(db, part_id=here.part)
    assert (moved.occurred_at, moved.posted_at) == (T0, now)
    entry = db.execute("select occurred_at, posted_at from fsm.journal_entry").fetchone()
    assert entry == (T0, now)


def test_a_serial_number_is_in_one_place(db: Conn, here: House) -> None:
    part = factory.part(db, sku="DRIVE", serialised=True)
    with pytest.raises(Invalid, match="one serial number for each of 2"):
        actions.receive(db, part, here.warehouse, D(2), D(50), SYSTEM, T0, serials=["A"])
    actions.receive(db, part, here.warehouse, D(2), D(50), SYSTEM, T0, serials=["A", "B"])
    with pytest.raises(Conflict, match="in stock already"):
        actions.receive(db, part, here.van, D(1), D(50), SYSTEM, T0, serials=["A"])
    actions.transfer(db, part, here.warehouse, here.van, D(1), SYSTEM, T0, serials=["A"])
    with pytest.raises(Conflict, match="number A is not at WH"):
        actions.transfer(db, part, here.warehouse, here.van, D(1), SYSTEM, T0, serials=["A"])
    assert store.serials_at(db, part, here.van, 9) == ["A"]


def test_a_serialised_part_is_issued_and_consumed_by_its_number(db: Conn, here: House) -> None:
    part = factory.part(db, sku="DRIVE", serialised=True)
    actions.receive(db, part, here.warehouse, D(2), D(50), SYSTEM, T0, serials=["A", "B"])
    order_id = order(db, here.world, expected=0)
    visit_id = visit(db, order_id, here.technician)
    actions.reserve(db, order_id, part, D(1), here.warehouse, SYSTEM, T0)
    (issued,) = actions.issue(db, order_id, here.technician, SYSTEM, T0)
    with pytest.raises(Invalid, match="serial number"):
        actions.consume(db, visit_id, part, D(1), SYSTEM, T0)
    other = "B" if issued.serial == "A" else "A"
    with pytest.raises(Conflict, match="is not at VAN"), db.transaction():
        actions.consume(db, visit_id, part, D(1), SYSTEM, T0, serial=other)
    assert actions.consume(db, visit_id, part, D(1), SYSTEM, T0, serial=issued.serial).serial == issued.serial


@pytest.mark.parametrize("quantity", [0, -1, "0.0001", "NaN", "Infinity", "two", None])
def test_a_quantity_that_is_none_is_refused(db: Conn, here: House, quantity: object) -> None:
    with pytest.raises(Invalid, match="not a quantity"):
        actions.receive(db, here.part, here.warehouse, quantity, D(1), SYSTEM, T0)  # type: ignore[arg-type]


def test_an_ended_order_holds_no_more_parts(db: Conn, here: House) -> None:
    stocked(db, here, warehouse=1)
    order_id = order(db, here.world, state="cancelled")
    with pytest.raises(Conflict, match="cancelled"):
        actions.reserve_for(db, order_id, here.technician, SYSTEM, T0)


def test_an_entry_posted_twice_is_one_entry_and_an_unbalanced_one_none(db: Conn) -> None:
    from fsm_core.settlement.money import Posting

    lines = [Posting("cash", D(5), "CNY"), Posting("deposits", D(-5), "CNY")]
    head = journal.Head("test:1", "receipt", T0)
    first, second = journal.post(db, head, lines), journal.post(db, head, lines)
    assert first == (second[0], True)
    assert not second[1]
    with pytest.raises(ValueError, match="sum to zero"):
        journal.post(db, journal.Head("test:2", "receipt", T0), lines[:1])
    with pytest.raises(Exception, match="does not balance"), db.transaction():
        db.execute("insert into fsm.journal_line values (%s, 9, 'cash', 1, 'CNY', '')", (first[0],))


def test_engineers_who_work_at_the_same_time_leave_the_books_in_order(
    db: Conn, dsn: str, here: House
) -> None:
    second = factory.part(db, sku="SEAL-50")
    stocked(db, here, warehouse=40, van=1)
    actions.receive(db, second, here.warehouse, D(40), D("3.3333"), SYSTEM, T0)
    work: list[tuple[int, int, int]] = []
    for _ in range(6):
        who = factory.technician(db)
        factory.location(db, kind="van", technician_id=who)
        for _ in range(3):
            order_id = order(db, here.world, expected=2)
            db.execute(
                "insert into fsm.order_part (order_id, part_id, expected) values (%s, %s, 2)",
                (order_id, second),
            )
            start = T0 + timedelta(hours=6 * len(work))
            work.append((who, order_id, visit(db, order_id, who, start=start, state="done")))
    failures: list[Exception] = []

    def engineer_at_work(mine: list[tuple[int, int, int]]) -> None:
        with connect(dsn, autocommit=True) as conn:
            for who, order_id, visit_id in mine:
                try:
                    with conn.transaction():
                        actions.reserve_for(conn, order_id, here.technician, SYSTEM, T0)
                    with conn.transaction():
                        actions.reserve_for(conn, order_id, who, SYSTEM, T0)
                        actions.issue(conn, order_id, who, SYSTEM, T0)
                    for part in (second, here.part):
                        with conn.transaction():
                            actions.consume(conn, visit_id, part, D(1), SYSTEM, T0)
                    with conn.transaction():
                        actions.return_unused(conn, order_id, SYSTEM, T0)
                except Exception as error:  # noqa: BLE001 - reported by the assertion below
                    failures.append(error)

    threads = [threading.Thread(target=engineer_at_work, args=(work[i::6],)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert store.invariants(db) == []
    assert scalar(db, "select sum(quantity) from fsm.stock_move where verb = 'consume'") == 2 * len(work)
