"""The truth in the database, and scores against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulators import truth
from simulators.faults import DAY, HOUR, Fault
from simulators.truth import Opened

START = 1_790_035_200_000_000


def a_fault(number: int, shape: str = "wear", onset_day: float = 1.0, days: float = 4.0) -> Fault:
    onset = START + int(onset_day * DAY)
    return Fault(number, f"P-{number:04}", "bearing_wear", "bearing", onset, onset + int(days * DAY), shape)


def test_faults_come_back_as_they_were_saved_and_repairs_are_noted(db):
    faults = [a_fault(1), a_fault(2, "silent", 2)]
    truth.save(db, faults)
    assert truth.load(db) == faults
    repaired = replace(faults[0], repaired=START + 3 * DAY)
    truth.save(db, [repaired])
    assert truth.load(db) == [repaired, faults[1]]


def test_reports_may_read_the_truth_and_the_product_may_not(db, db_as):
    truth.save(db, [a_fault(1)])
    assert truth.load(db_as("meantime_reports")) == [a_fault(1)]
    with pytest.raises(Exception, match="permission denied"):
        truth.load(db_as("meantime_analytics"))


def test_orders_are_judged_by_device_component_and_time():
    faults = [
        replace(a_fault(1), repaired=START + 3 * DAY),  # an order in time, repaired in time
        replace(a_fault(2), repaired=START + 6 * DAY),  # an order only after the failure
        replace(a_fault(3), repaired=START + 7 * DAY),  # an order for the wrong component
        replace(a_fault(4, "silent"), repaired=START + 6 * DAY),  # fell silent; reported afterwards
        a_fault(5, onset_day=28),  # not decided yet
    ]
    orders = [
        Opened("P-0001", "bearing", START + 2 * DAY),
        Opened("P-0001", "bearing", START + 20 * DAY),  # long after the repair
        Opened("P-0002", "bearing", START + 5 * DAY + HOUR),
        Opened("P-0003", "motor", START + 3 * DAY),
        Opened("P-0004", "bearing", START + 5 * DAY + HOUR),
        Opened("P-0009", "motor", START + 9 * DAY),
    ]
    found = truth.score(faults, orders, start=START, end=START + 30 * DAY, devices=10)
    assert (found.faults, found.warned, found.late, found.missed) == (3, 1, 1, 1)
    assert (found.silent, found.silent_met) == (1, 1)
    assert found.lead_hours == pytest.approx((72, 72, 72))
    assert (found.orders, found.wrong_component, found.false) == (6, 1, 2)
    assert found.false_per_device_year == pytest.approx(2 / (10 * 30 / 365.25))


def test_an_order_at_the_moment_of_failure_is_no_warning():
    fault = replace(a_fault(1), repaired=START + 6 * DAY)
    found = truth.score(
        [fault], [Opened("P-0001", "bearing", fault.failed)], start=START, end=START + 9 * DAY, devices=1
    )
    assert (found.warned, found.late) == (0, 1)
    assert found.lead_hours == ()
