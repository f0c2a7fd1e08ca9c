"""What counts as a failure, in words and in SQL."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from analytics.reliability.terms import COUNTED, kind_of, renews
from fsm_core.work_orders.rules import ORDER_STATES
from kit.database import Conn
from tests.fsm_core import factory
from tests.fsm_core.factory import T0
from tests.reliability import history


@pytest.mark.parametrize(
    ("order_type", "state", "cause", "kind"),
    [
        ("repair", "closed", "wear", "breakdown"),
        ("repair", "work_done", "operating_error", "breakdown"),
        ("condition", "settled", "wear", "prevented"),
        ("condition", "closed", "no_fault_found", "needless"),
        ("repair", "reviewed", "no_fault_found", "needless"),
        ("repair", "closed", None, "unconfirmed"),
        ("maintenance", "closed", None, "planned"),
        ("inspection", "closed", "wear", "planned"),
        ("installation", "closed", None, None),
        ("repair", "in_progress", "wear", None),
        ("repair", "cancelled", "wear", None),
    ],
)
def test_a_finished_order_with_a_confirmed_cause_is_a_failure_and_nothing_else(
    order_type: str, state: str, cause: str | None, kind: str | None
) -> None:
    assert kind_of(order_type, state, cause) == kind


def test_failures_prevented_in_time_count_unless_breakdowns_only_are_asked_for() -> None:
    assert COUNTED["all"] - COUNTED["breakdowns"] == {"prevented"}


def test_a_repair_that_only_looked_renews_nothing() -> None:
    assert renews("breakdown", "replace")
    assert renews("prevented", "repair")
    assert not renews("breakdown", "inspect")
    assert not renews("planned", "replace"), "what planned work replaced is an event of its own"


def test_sql_and_python_agree_on_every_kind_of_order(db: Conn) -> None:
    world = factory.world(db)
    types = [code for (code,) in db.execute("select code from fsm.order_type").fetchall()]
    causes = [None, "wear", "no_fault_found", "operating_error"]
    expected = {}
    for number, (order_type, state, cause) in enumerate(product(types, ORDER_STATES, causes)):
        at = T0 + timedelta(hours=number)
        made = history.order(db, world.device, at, type=order_type, state=state, cause=cause, worked=0.5)
        kind = kind_of(order_type, state, cause)
        if kind is not None:
            expected[made] = kind
    assert dict(db.execute("select order_id, kind from reports.maintenance").fetchall()) == expected
    failures = {made for made, kind in expected.items() if kind in COUNTED["all"]}
    assert {made for (made,) in db.execute("select order_id from reports.failure").fetchall()} == failures
