"""What events cost is stored for each device type, with who changed it when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from analytics import costs
from analytics.prediction.decision import Costs
from kit import clock
from kit.database import Conn
from kit.errors import Invalid, NotFound
from tests.analytics import stored
from tests.analytics.stored import MODEL

T = datetime(2026, 3, 1, tzinfo=UTC)


def test_without_a_change_the_defaults_hold_and_a_change_holds_from_its_time_on(db: Conn) -> None:
    stored.prepare(db, 1)
    clock.set_rate(db, 0, sim=T)
    assert costs.for_model(db, MODEL) == Costs()
    assert costs.change(db, MODEL, None, "anna") is None
    dear = Costs(failure=20_000.0, visit=800.0, needless=600.0)
    made = costs.change(db, MODEL, dear, "anna", "price list of March")
    assert made is not None
    assert (made.costs, made.changed_by, made.changed_at) == (dear, "anna", T)
    assert costs.change(db, MODEL, dear, "ben") is None, "the same costs again are no change"
    clock.set_rate(db, 0, sim=T + timedelta(days=1))
    costs.change(db, MODEL, None, "ben")
    assert costs.for_model(db, MODEL) == Costs()
    assert costs.for_model(db, MODEL, T + timedelta(hours=1)) == dear
    assert costs.for_model(db, MODEL, T - timedelta(hours=1)) == Costs()
    assert [(c.changed_by, c.costs) for c in costs.history(db, MODEL)] == [("ben", None), ("anna", dear)]
    assert costs.for_all(db) == {MODEL: Costs()}


def test_costs_that_make_no_sense_are_refused_by_the_code_and_by_the_table(db: Conn) -> None:
    stored.prepare(db, 1)
    with pytest.raises(Invalid, match="less than a failure"):
        Costs(failure=1.0, visit=2.0)
    with pytest.raises(Invalid, match="who changes the costs"):
        costs.change(db, MODEL, Costs(9.0), " ")
    with pytest.raises(NotFound, match="no device type 'pimp'"):
        costs.change(db, "pimp", Costs(9.0), "anna")
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(
            "insert into analytics.cost (model, failure, visit, needless, changed_by) values (%s, 1, 2, 1, 'x')",
            (MODEL,),
        )
