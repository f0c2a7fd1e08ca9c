"""How far alarms can be trusted is worked out from what the engineers found, and proposals change nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import tuning
from analytics.honesty import alarms, proposals, scores, store
from analytics.honesty.scores import Failure, Raise
from analytics.rules import Rules
from kit.database import Conn
from tests.dashboards import life
from tests.fsm_core import factory
from tests.fsm_core.parts.house import house, stocked

T = datetime(2026, 3, 1, tzinfo=UTC)


def hours(n: float) -> datetime:
    return T + timedelta(hours=n)


def one(at: float, verdict: str = "right", order: int | None = None, **changes: object) -> Raise:
    base = Raise(1, "pump", "shift", "bearing_wear", 1.2, hours(at), None, order, verdict, 30.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_orders_are_counted_not_raises_and_undecided_ones_do_not_count() -> None:
    raises = [
        one(0, order=1, lead_hours=50.0), one(5, order=1, rule="spike", lead_hours=45.0), one(9, order=1),
        one(100, "false", 2), one(200, "undecided", 3), one(300, "no_order"), one(400, "other", 4),
    ]  # fmt: skip
    failure = Failure(1, "pump", "bearing_wear", hours(50), hours(60))
    missed = Failure(2, "pump", "bearing_wear", hours(50), hours(60))
    long_ago = Failure(1, "pump", "bearing_wear", hours(2000), hours(2010))
    shift, spike = scores.scores(raises, [failure, missed, long_ago])
    assert (shift.rule, shift.right, shift.false, shift.other, shift.undecided) == ("shift", 1, 1, 1, 1)
    assert shift.precision == pytest.approx(1 / 3)
    assert (shift.failures, shift.announced, shift.recall) == (3, 1, pytest.approx(1 / 3))
    assert shift.lead_hours == (50.0, 50.0, 50.0)
    assert (spike.right, spike.precision, spike.recall) == (1, 1.0, pytest.approx(1 / 3))


def test_an_alarm_announces_the_failure_it_came_before_and_none_after_its_repair() -> None:
    first, second = (Failure(1, "pump", "bearing_wear", hours(at), hours(at + 10)) for at in (50, 250))
    (score,) = scores.scores([one(0, order=1), one(20, order=1)], [first, second])
    assert (score.failures, score.announced) == (2, 1)  # both alarms are of the first fault
    (again,) = scores.scores([one(0, order=1), one(200, order=2)], [second, first])
    assert again.announced == 2
    assert scores.announces(one(55), [first]) is None  # raised when it was known already


def test_a_failure_at_the_beginning_of_a_period_may_have_been_announced_before_it() -> None:
    failure = Failure(1, "pump", "bearing_wear", hours(5), hours(9))
    (score,) = scores.scores([one(300, "false", 2)], [failure], [one(-40, "right", 1)])
    assert (score.recall, score.right, score.false, score.precision) == (1.0, 0, 1, 0.0)


def test_nothing_decided_is_no_precision_and_an_empty_fleet_no_rate() -> None:
    (score,) = scores.scores([one(0, "undecided", 1)], [])
    assert (score.precision, score.precision_low, score.recall, score.lead_hours) == (None, None, None, None)
    assert scores.scores([], []) == []
    assert alarms.load([], T, hours(24), 0).per_device_day == 0.0


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_interval_of_a_share_holds_the_share_and_lies_between_none_and_all(hits: int, n: int) -> None:
    hits = min(hits, n)
    low, high = scores.wilson(hits, n)
    assert -1e-12 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1 + 1e-12


def test_chatter_fleeting_stale_floods_and_bad_actors() -> None:
    chatter = [
        one(at, "no_order", device_id=7, cleared_at=hours(at + 0.5), rule="limit") for at in range(0, 12, 3)
    ]
    stale = one(1, order=9, device_id=3)
    flood = [one(100 + at / 100, order=at, device_id=20 + at, cleared_at=hours(110)) for at in range(12)]
    load = alarms.load([*chatter, stale, *flood], T, hours(240), devices=40)
    assert load.raises == 17
    assert load.per_day == pytest.approx(1.7)
    assert load.per_device_day == pytest.approx(1.7 / 40)
    assert (load.chattering, load.fleeting, load.stale) == (3, 4, 1)
    assert load.floods == [hours(100)]
    worst = load.bad_actors[0]
    assert (worst.device_id, worst.rule, worst.raises, worst.chattering) == (7, "limit", 4, 3)
    assert worst.share == pytest.approx(4 / 17)


def history(right: list[float], false: list[float]) -> list[Raise]:
    return [
        *(one(24 * at, order=at, score=score) for at, score in enumerate(right)),
        *(one(24 * at, "false", 1000 + at, score=score) for at, score in enumerate(false)),
    ]


def test_a_limit_that_would_have_spared_needless_visits_is_proposed_with_its_price() -> None:
    raises = history(right=[1.02] + [1.6] * 10, false=[1.1, 1.15, 1.2, 1.25, 1.3, 1.35, 1.7])
    (proposal,) = proposals.propose(raises, Rules())
    assert proposal.rules == {"shift": {"limit": pytest.approx(5.5 * proposal.factor, abs=1e-3),
                                        "sum_limit": pytest.approx(8.0 * proposal.factor, abs=1e-3)}}  # fmt: skip
    assert 1.1 < proposal.factor < 1.4
    assert proposal.precision_now < 0.7 <= proposal.precision_then
    assert (proposal.decided, proposal.delayed) == (18, 1)
    assert proposal.avoided >= 2
    assert "backtest" in proposal.text_en
    assert "回测" in proposal.text_zh
    assert Rules.of(proposal.rules).detectors["shift"].limit > 5.5


@pytest.mark.parametrize(
    ("right", "false"),
    [
        ([1.5] * 3, [1.1] * 6),  # too few to say
        ([1.5] * 9, [1.1] * 3),  # good enough
        ([1.1] * 6, [1.5] * 6),  # the needless ones score higher than the right ones
        ([], [1.1] * 20),  # never right: no limit makes it so
    ],
)
def test_nothing_is_proposed_where_it_would_not_help(right: list[float], false: list[float]) -> None:
    assert proposals.propose(history(right, false), Rules()) == []


def test_what_engineers_found_is_read_from_the_database_and_nothing_is_changed(db: Conn) -> None:
    here = house(db, returns_old=False)
    stocked(db, here, van=4)
    life.repaired(db, here)
    life.repaired(db, here, cause="no_fault_found", hours=100)
    factory.detection(db, here.world.device, at=factory.T0 + timedelta(hours=200))
    start, end = life.START, life.END + timedelta(days=30)
    raises = store.raises(db, start, end)
    assert [raised.verdict for raised in raises] == ["right", "false", "no_order"]
    assert raises[0].lead_hours == pytest.approx(1.0)  # from the raise to the beginning of the work
    assert raises[1].lead_hours is None
    failures = store.failures(db, start, end)
    (score,) = scores.scores(raises, failures)
    assert (score.right, score.false, score.precision, score.recall) == (1, 1, 0.5, 1.0)
    assert alarms.load(raises, start, end, store.devices(db)).raises == 3
    proposals.propose(raises, Rules())
    assert tuning.history(db) == []
