from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fsm_core.dispatch import solve
from fsm_core.dispatch.limit import Stop
from fsm_core.dispatch.snapshot import Facts, Road, Snapshot, build
from fsm_core.dispatch.store import Booked, Stock, Waiting
from fsm_core.technicians.store import Engineer
from tests.conftest import utc

AT = utc("2026-03-02 10:00")
SHIFT = (utc("2026-03-02 06:00"), utc("2026-03-02 15:00"))
TOMORROW = (utc("2026-03-03 06:00"), utc("2026-03-03 15:00"))
ENGINEER = Engineer(1, "Chen", None, ["rotating"], "early", 31.2, 121.5, None, None, None)
ORDER = Waiting(5, "WO-000005", 2, 2, "rotating", 60, 31.2, 121.5, None, AT + timedelta(hours=4), {})


def visit(start: datetime, end: datetime, state: str, id: int = 1) -> Booked:
    leave = start - timedelta(minutes=20)
    return Booked(id, 90 + id, 1, state, "automatic", 3, leave, start, end, 31.2, 121.5)


def snapshot(
    *visits: Booked, order: Waiting = ORDER, at: datetime = AT, who: Engineer = ENGINEER
) -> Snapshot:
    facts = Facts(at, [order], visits, [who], {1: [SHIFT, TOMORROW]}, Stock())
    return build(facts, Road(1.3, 38.0))


def start_of(made: Snapshot) -> datetime:
    stop = solve.solve(made.problem, Stop(iterations=3)).stop(ORDER.id)
    assert stop is not None
    return made.time(stop.start)


def test_nobody_is_sent_off_in_the_past_or_at_once() -> None:
    assert start_of(snapshot(at=AT + timedelta(seconds=30))) == AT + timedelta(minutes=11)


def test_work_that_runs_over_its_time_is_waited_for() -> None:
    running = visit(AT - timedelta(hours=3), AT - timedelta(minutes=30), "working")
    assert start_of(snapshot(running)) == AT + timedelta(minutes=15)


def test_a_visit_that_should_have_begun_is_expected_now() -> None:
    late = visit(AT - timedelta(minutes=30), AT + timedelta(minutes=30), "confirmed")
    assert start_of(snapshot(late)) == AT + timedelta(hours=1)


def test_two_visits_under_way_at_once_do_not_break_the_round() -> None:
    paused = visit(AT - timedelta(hours=2), AT - timedelta(hours=1), "paused", 1)
    driving = visit(AT - timedelta(minutes=10), AT + timedelta(minutes=50), "traveling", 2)
    assert start_of(snapshot(paused, driving)) >= AT + timedelta(minutes=15)


def test_a_promise_outside_all_shifts_binds_no_working_time() -> None:
    night = visit(utc("2026-03-02 20:00"), utc("2026-03-02 22:00"), "confirmed")
    assert start_of(snapshot(night)) == AT + timedelta(minutes=10)


def test_he_leaves_from_where_he_was_last_seen_unless_that_was_long_ago() -> None:
    values: dict[str, Any] = {"seen_latitude": 31.5, "seen_longitude": 121.5}
    fresh = Engineer(**(vars_of(ENGINEER) | values | {"seen_at": AT - timedelta(hours=1)}))
    old = Engineer(**(vars_of(ENGINEER) | values | {"seen_at": AT - timedelta(days=2)}))
    assert start_of(snapshot(who=fresh)) > AT + timedelta(hours=1)
    assert start_of(snapshot(who=old)) == AT + timedelta(minutes=10)


def vars_of(engineer: Engineer) -> dict[str, Any]:
    return dict(vars(engineer))
