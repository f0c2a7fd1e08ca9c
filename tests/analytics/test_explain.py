"""A detection is recomputed from stored rows; a changed row is noticed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from analytics import backtest, explain, store, worker
from analytics.definitions import DAY
from analytics.prediction.decision import Costs
from analytics.store import moment
from kit import clock, follow
from kit.database import Conn, scalar
from kit.errors import Invalid, NotFound
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import START, VIBRATION, Fault


@pytest.fixture
def found(db: Conn) -> Conn:
    """A pump whose bearing fails on the tenth day, among five healthy ones; a repair that was reported late."""
    devices = stored.prepare(db, 6)
    faults = (Fault(devices[2], VIBRATION, 9, 2, 5.0),)
    followers = worker.followers(Settings())
    for day in range(12):
        code = [(devices[0], moment(START + day * DAY + 90), "E101", True)] if day == 3 else []
        stored.write(
            db, machines.rows(devices, machines.times(1, first_day=day), faults=faults, seed=day), code
        )
        follow.catch_up(db, followers)
        if day == 5:
            db.execute(
                "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'test')",
                (devices[0], moment(START + 5 * DAY)),
            )
    return db


def ids(conn: Conn) -> list[int]:
    return [row[0] for row in conn.execute("select id from analytics.detection order by id").fetchall()]


def test_every_detection_follows_from_the_stored_rows(found: Conn) -> None:
    kinds = found.execute("select kind, rule from analytics.detection order by id").fetchall()
    assert {("raise", "fault_code"), ("clear", "reset"), ("raise", "shift"), ("raise", "spike")} <= set(kinds)
    for detection in ids(found):
        explanation = explain.explain(found, detection)
        assert explanation.ok, explanation.text_en
        assert explanation.recomputed is not None


def test_without_snapshots_the_device_is_replayed_from_its_beginning(found: Conn) -> None:
    snapshots = scalar(found, "select count(*) from analytics.snapshot")
    store.drop_snapshots(found, timedelta(days=36500))
    assert scalar(found, "select count(*) from analytics.snapshot") == snapshots > 0
    store.drop_snapshots(found, timedelta(0))
    assert scalar(found, "select count(*) from analytics.snapshot") == 0
    assert all(explain.explain(found, detection).ok for detection in ids(found))


def test_a_tampered_row_makes_it_false_and_says_so(found: Conn) -> None:
    detection = scalar(found, "select id from analytics.detection where rule = 'shift' and kind = 'raise'")
    found.execute(
        """update ingest.telemetry t set "values"[6] = 2.0 from analytics.detection d
           where d.id = %s and t.device_id = d.device_id and t.ts = d.telemetry_to""",
        (detection,),
    )
    explanation = explain.explain(found, detection)
    assert not explanation.ok
    assert "hash differs" in explanation.text_en
    assert "哈希" in explanation.text_zh


def test_an_invented_detection_is_not_confirmed(found: Conn) -> None:
    detection = scalar(found, "select id from analytics.detection where rule = 'shift' and kind = 'raise'")
    found.execute("update analytics.detection set score = score + 1 where id = %s", (detection,))
    explanation = explain.explain(found, detection)
    assert not explanation.ok
    assert "score" in explanation.text_en


def test_what_is_not_there_is_not_explained(db: Conn) -> None:
    with pytest.raises(NotFound, match="no detection 12"):
        explain.explain(db, 12)


def test_a_backtest_with_the_rules_in_force_changes_nothing(found: Conn) -> None:
    report = backtest.run(found, moment(START), moment(START + 12 * DAY), None)
    stored_raises = {
        row[:2] for row in found.execute("select device_id, ts from analytics.detection where kind = 'raise'")
    }
    assert {(raised.device_id, raised.ts) for raised in report.live} == stored_raises
    assert report.live == report.changed
    assert not report.appear
    assert not report.vanish


def test_a_backtest_says_what_other_rules_would_have_raised(found: Conn) -> None:
    rules = {
        "shift": {"limit": 90.0, "sum_limit": 900.0},
        "spike": {"off": True},
        "fault_code": {"at_once": 1},
    }
    report = backtest.run(found, moment(START), moment(START + 12 * DAY), rules)
    assert {raised.failure_mode for raised in report.vanish} == {"bearing_wear"}
    assert not report.changed
    more = backtest.run(found, moment(START + 7 * DAY), moment(START + 12 * DAY), {"shift": {"limit": 2.0}})
    assert len(more.changed) > len(more.live)
    assert all(raised.ts >= moment(START + 7 * DAY) for raised in more.changed)


def test_a_backtest_holds_orders_against_repairs_and_says_what_the_difference_costs(found: Conn) -> None:
    broken = scalar(
        found, "select device_id from analytics.detection where rule = 'shift' and kind = 'raise'"
    )
    orders_of = (
        "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, %s)"
    )
    found.execute(orders_of, (broken, moment(START + 12 * DAY), "replayed"))
    # An engineer who found no fault repaired nothing: that order's visit does not count as a repair.
    found.execute(orders_of, (broken, moment(START + 11 * DAY), "WO-000001 none"))
    clock.set_rate(found, 0, sim=moment(START + 60 * DAY))
    costs = Costs(failure=100.0, visit=10.0, needless=20.0)
    quiet = {"shift": {"off": True}, "spike": {"off": True}}
    report = backtest.run(found, moment(START), moment(START + 12 * DAY), quiet, costs=costs)
    live, changed = report.live_outcome, report.changed_outcome
    assert (live.repairs, live.announced, live.right, live.false) == (2, 2, 2, 0)
    assert live.lead_hours[1] > live.lead_hours[0] > 24
    assert (changed.announced, changed.recall, changed.precision) == (1, 0.5, 1.0)
    assert (live.cost, changed.cost, report.cost_difference) == (20.0, 110.0, 90.0)


def test_a_backtest_refuses_what_makes_no_sense(db: Conn) -> None:
    with pytest.raises(Invalid, match="begin before it ends"):
        backtest.run(db, moment(START), moment(START), None)
    with pytest.raises(Invalid, match="no rule 'shaft'"):
        backtest.run(db, moment(START), moment(START + DAY), {"shaft": {}})
    with pytest.raises(Invalid, match="shift has no setting 'limt'"):
        backtest.run(db, moment(START), moment(START + DAY), {"shift": {"limt": 3}})
