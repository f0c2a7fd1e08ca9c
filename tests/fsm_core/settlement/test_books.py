"""Whatever is settled, paid, corrected and reversed, in any order, the books balance."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from fsm_core.parts import actions as parts
from fsm_core.parts import store as stock
from fsm_core.settlement import actions, store
from kit.database import Conn, rows
from kit.errors import Conflict
from tests.fsm_core import factory
from tests.fsm_core.factory import FINANCE, SYSTEM, T0
from tests.fsm_core.parts.house import house, stocked
from tests.fsm_core.settlement.test_actions import reviewed

numbers = st.integers(0, 10**6)
amounts = st.decimals("0.01", "6000", places=2)
payers = st.sampled_from(["warranty", "contract", "goodwill", "customer"])
steps = st.one_of(
    st.tuples(st.just("settle"), payers, st.integers(0, 100), st.booleans()),
    st.tuples(st.just("receive"), amounts),
    st.tuples(st.just("credit"), numbers),
    st.tuples(st.just("correct"), numbers, payers, st.integers(0, 100)),
    st.tuples(st.just("pay"), amounts),
    st.tuples(st.just("bounce"), numbers),
)


class Run:
    """One run; a step that the state does not allow must change nothing."""

    def __init__(self, conn: Conn) -> None:
        self.conn, self.here = conn, house(conn)
        stocked(conn, self.here, van=99, cost="33.3333")
        self.provider = factory.provider(conn)
        self.foreign = factory.technician(conn, provider_id=self.provider)
        van = factory.location(conn, kind="van", technician_id=self.foreign)
        parts.receive(conn, self.here.part, van, Decimal(99), Decimal("7.0001"), SYSTEM, T0)
        self.at, self.count = T0, 0

    def take(self, step: tuple[object, ...]) -> None:
        self.at += timedelta(hours=1)
        self.count += 1
        try:
            with self.conn.transaction():
                getattr(self, str(step[0]))(*step[1:])
        except Conflict:
            pass

    def settle(self, payer: str, pct: int, foreign: bool) -> None:
        who = self.foreign if foreign else None
        order_id = reviewed(
            self.conn, self.here, technician=who, payer=payer, pct=0 if payer == "customer" else pct
        )
        actions.settle(self.conn, order_id, FINANCE, self.at)

    def receive(self, amount: Decimal) -> None:
        customer = self.here.world.customer
        actions.receive_payment(self.conn, customer, amount, f"IN-{self.count}", FINANCE, self.at)

    def pay(self, amount: Decimal) -> None:
        actions.pay_provider(self.conn, self.provider, amount, f"OUT-{self.count}", FINANCE, self.at)

    def credit(self, pick: int) -> None:
        if (order_id := self._any("select order_id as id from fsm.settlement order by 1", pick)) is not None:
            actions.apply_credit(self.conn, order_id, FINANCE, self.at)

    def correct(self, pick: int, payer: str, pct: int) -> None:
        if (order_id := self._any("select order_id as id from fsm.settlement order by 1", pick)) is not None:
            self.conn.execute(
                "update fsm.entitlement set payer = %s, covered_pct = %s where order_id = %s",
                (payer, pct, order_id),
            )
            actions.correct(self.conn, order_id, FINANCE, self.at)

    def bounce(self, pick: int) -> None:
        if (payment_id := self._any("select id from fsm.payment order by 1", pick)) is not None:
            actions.reverse_payment(self.conn, payment_id, FINANCE, self.at)

    def _any(self, query: str, pick: int) -> int | None:
        found = [row["id"] for row in rows(self.conn, query)]  # type: ignore[arg-type]
        return found[pick % len(found)] if found else None


def test_after_any_run_the_books_balance(db: Conn) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, min_size=1, max_size=10))
    def run(taken: list[tuple[object, ...]]) -> None:
        with db.transaction(force_rollback=True):
            play = Run(db)
            for step in taken:
                play.take(step)
                assert store.invariants(db) == []
                assert stock.invariants(db) == []
            balances = [row["balance"] for row in actions.trial_balance(db)]
            assert sum(balances) == 0
            db.execute("set constraints all immediate")

    run()
