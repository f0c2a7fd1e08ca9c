"""The simulated staff live by the product's clock."""

from __future__ import annotations

from datetime import timedelta

from kit import clock
from kit.database import Conn
from simulators import staff
from tests.conftest import utc


def test_the_staff_notice_that_a_clock_which_stood_still_was_let_run(db: Conn, dsn: str) -> None:
    frozen = utc("2026-03-06 16:00")
    clock.set_rate(db, 0.0, sim=frozen)
    assert staff._now(dsn) == frozen
    clock.set_rate(db, 1e6)
    assert staff._now(dsn) > frozen
    clock.set_rate(db, 0.0, sim=frozen + timedelta(days=400))
    assert staff._now(dsn) == frozen + timedelta(days=400)
