"""Whatever is done to the stock, the books agree: a random run of all verbs against the real database."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fsm_core.parts import actions, store
from kit.database import Conn, scalar
from kit.errors import Conflict
from tests.fsm_core.factory import SYSTEM, T0
from tests.fsm_core.parts.house import house, order, stocked, visit

quantities = st.decimals("0.001", "9", places=3)
costs = st.decimals("0", "50", places=4)
places = st.sampled_from(["WH", "VAN"])


def machine(conn: Conn) -> type[RuleBasedStateMachine]:
    """Verbs on two places and one order a step may open; a refusal must leave everything as it was."""

    class Stock(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            conn.execute("begin")
            self.here = house(conn)
            self.place = {"WH": self.here.warehouse, "VAN": self.here.van}
            stocked(conn, self.here, warehouse=5, van=2, cost="7.77")
            self.order = order(conn, self.here.world, expected=0)
            self.visit = visit(conn, self.order, self.here.technician)

        def attempt(self, verb: Callable[[], object]) -> None:
            try:
                with conn.transaction():
                    verb()
            except Conflict:
                pass

        @rule(at=places, n=quantities, cost=costs)
        def receive(self, at: str, n: Decimal, cost: Decimal) -> None:
            self.attempt(lambda: actions.receive(conn, self.here.part, self.place[at], n, cost, SYSTEM, T0))

        @rule(at=places, n=quantities)
        def reserve(self, at: str, n: Decimal) -> None:
            self.attempt(
                lambda: actions.reserve(conn, self.order, self.here.part, n, self.place[at], SYSTEM, T0)
            )

        @rule()
        def issue(self) -> None:
            self.attempt(lambda: actions.issue(conn, self.order, self.here.technician, SYSTEM, T0))

        @rule(n=quantities)
        def consume(self, n: Decimal) -> None:
            self.attempt(lambda: actions.consume(conn, self.visit, self.here.part, n, SYSTEM, T0))

        @rule(n=quantities)
        def return_old(self, n: Decimal) -> None:
            self.attempt(lambda: actions.return_old(conn, self.order, self.here.part, n, SYSTEM, T0))

        @rule(back=st.booleans())
        def give_up(self, back: bool) -> None:
            verb = actions.return_unused if back else actions.release
            self.attempt(lambda: verb(conn, self.order, SYSTEM, T0))

        @rule(n=quantities, to_van=st.booleans())
        def transfer(self, n: Decimal, to_van: bool) -> None:
            ends = [self.here.warehouse, self.here.van]
            source, target = ends if to_van else reversed(ends)
            self.attempt(lambda: actions.transfer(conn, self.here.part, source, target, n, SYSTEM, T0))

        @rule(n=quantities)
        def ship(self, n: Decimal) -> None:
            self.attempt(
                lambda: actions.ship(conn, self.here.part, self.here.warehouse, self.here.van, n, SYSTEM, T0)
            )

        @rule()
        def take_in(self) -> None:
            waiting = scalar(conn, "select min(id) from fsm.transfer where received_move is null")
            if waiting is not None:
                self.attempt(lambda: actions.take_in(conn, waiting, SYSTEM, T0))

        @rule(at=places, counted=st.decimals("0", "12", places=3))
        def adjust(self, at: str, counted: Decimal) -> None:
            self.attempt(lambda: actions.adjust(conn, self.here.part, self.place[at], counted, SYSTEM, T0))

        @rule(at=st.sampled_from(["WH", "VAN", "DEFECTIVE"]), n=quantities)
        def write_off(self, at: str, n: Decimal) -> None:
            place = store.place(conn, at).id
            self.attempt(lambda: actions.write_off(conn, self.here.part, place, n, SYSTEM, T0))

        @rule(pick=st.integers(0, 10**6))
        def reverse(self, pick: int) -> None:
            ids = [move.id for move in store.moves(conn)]
            self.attempt(lambda: actions.reverse(conn, ids[pick % len(ids)], SYSTEM, T0))

        @precondition(lambda self: hasattr(self, "here"))
        @invariant()
        def the_books_agree(self) -> None:
            assert store.invariants(conn) == []
            off = conn.execute(
                "select currency, sum(amount) from fsm.journal_line group by 1 having sum(amount) <> 0"
            )
            assert off.fetchall() == []

        def teardown(self) -> None:
            if hasattr(self, "here"):
                conn.execute("set constraints all immediate")
                conn.execute("rollback")

    return Stock


def test_after_any_run_of_verbs_the_books_agree(db: Conn) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(db),
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_invariants_see_what_is_wrong(db: Conn) -> None:
    here = house(db)
    stocked(db, here, warehouse=5)
    db.execute(
        "update fsm.stock_balance set on_hand = on_hand + 1, value = value + 1, reserved = 1 where physical"
    )
    codes = {finding["code"] for finding in store.invariants(db)}
    assert codes == {"stock_sum", "stock_replay", "stock_reserved", "stock_value"}


@pytest.mark.parametrize(
    "column", ["on_hand = -1", "reserved = 99", "value = -1", "on_hand = 0, reserved = 0"]
)
def test_the_table_itself_refuses_a_wrong_balance(db: Conn, column: str) -> None:
    here = house(db)
    stocked(db, here, warehouse=5)
    with pytest.raises(Exception, match="violates check constraint"):
        db.execute(f"update fsm.stock_balance set {column} where physical")  # type: ignore[call-overload]
