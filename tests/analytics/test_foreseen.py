"""A backtest asks the failure models, too: those of the time, or ones learned from what was known before it."""

from __future__ import annotations

from datetime import datetime

import pytest

from analytics import backtest, tuning
from analytics.definitions import DAY, HOUR
from analytics.prediction import scoring, train
from analytics.prediction.decision import Costs
from analytics.prediction.failure import Settings
from analytics.prediction.history import History, Log
from analytics.store import microseconds, moment
from analytics.whatif import foreseen, result, store
from analytics.whatif import worker as jobs
from kit import clock
from kit.database import Conn, scalar
from kit.errors import Invalid
from tests.prediction import stored
from tests.prediction.machines import START, fleet
from tests.prediction.stored import MODEL

FROM, TO = START + 56 * DAY, START + 67 * DAY  # every device fails once in it
QUICK = Settings(iterations=20)


@pytest.fixture
def world(db: Conn) -> tuple[History, Log]:
    """Twelve presses whose bearings fail three times each; the clock stands at the beginning of the period."""
    history, failures = fleet()
    clock.set_rate(db, 0, sim=moment(FROM))
    written = stored.write(db, history, failures)
    db.execute(
        """insert into ingest.fault_event (batch_id, device_id, ts, code, active)
           select batch_id, device_id, ts + interval '1 h', code, false from ingest.fault_event
           on conflict do nothing"""
    )
    db.execute("update ingest.fault_event set received_at = ts")
    return written, failures


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of few iterations, where the backtest learns some itself."""
    candidates = train.candidates
    monkeypatch.setattr(train, "candidates", lambda *args, **given: candidates(*args, QUICK, **given))


def learn(db: Conn, at: int) -> int:
    clock.set_rate(db, 0, sim=moment(at))
    with db.transaction():
        done = {one.component: one for one in train.train(db, MODEL, moment(at), settings=QUICK)}
    version = done["bearing"].version_id
    assert done["bearing"].promoted
    assert version is not None
    return version


def test_a_model_of_the_time_says_again_what_it_said_then(db: Conn, world: tuple[History, Log]) -> None:
    version = learn(db, FROM)
    until = FROM + 6 * DAY
    for hours in range(0, (until - FROM) // HOUR + 1, 3):
        with db.transaction():
            scoring.score(db, MODEL, moment(FROM + hours * HOUR))
    said = db.execute(
        """select device_id, ts, kind, failure_mode, severity, round(score::numeric, 9), evidence
           from analytics.detection where rule = 'prediction' order by device_id, ts, kind"""
    ).fetchall()
    clock.set_rate(db, 0, sim=moment(TO + 8 * DAY))
    tuning.change(db, {"fault_code": {"off": True}}, "anna")
    report = backtest.run(db, moment(FROM), moment(until), {"fault_code": {"off": True}})
    (source,) = report.predictions[0]
    assert (source.version, source.component, source.since) == (version, "bearing", FROM)
    again = foreseen.foresee(
        db, [source], moment(FROM), moment(until), {MODEL: backtest.Policy({}, Costs())}
    ).found
    found = sorted(
        (d, moment(f.ts), f.kind, f.mode, f.severity, round(f.score, 9), f.evidence()) for d, f in again
    )
    assert [row[:5] for row in found] == [row[:5] for row in said]
    raised = [(float(row[5]), row[6]) for row in said if row[2] == "raise"]
    assert raised == [(row[5], row[6]) for row in found if row[2] == "raise"]
    assert len(raised) >= 6
    assert {pair.status for pair in report.orders} == {"stay"}
    assert any(pair.first.rule == "prediction" for pair in report.orders)
    assert report.cost_difference == 0


def test_a_model_that_was_learned_later_says_nothing_of_the_time_before(
    db: Conn, world: tuple[History, Log]
) -> None:
    learn(db, TO + 3 * DAY)
    report = backtest.run(db, moment(FROM), moment(TO), None)
    assert report.predictions == ([], [])
    assert not any(pair.first.rule == "prediction" for pair in report.orders)


def test_models_learned_before_the_period_show_the_orders_they_would_have_opened(
    db: Conn, world: tuple[History, Log], quick: None
) -> None:
    clock.set_rate(db, 0, sim=moment(TO + 8 * DAY))
    off = {"fault_code": {"off": True}}
    number = store.request(db, moment(FROM), moment(TO), off, {}, "anna", train_from=moment(START))
    assert jobs.work(db) == 1
    found = store.result(db, number)
    assert found is not None, store.get(db, number).error
    learned = {one["component"]: one for one in found["learned"]}
    assert learned["bearing"]["used"], learned["bearing"]["verdict"]
    assert not learned["motor"]["used"]
    assert "0 failures" in learned["motor"]["verdict"]
    assert found["predictions"]["live"] == []
    (source,) = found["predictions"]["changed"]
    assert (source["component"], source["version"], source["since"]) == (
        "bearing",
        None,
        moment(FROM).isoformat(),
    )
    appeared = [order for order in found["orders"] if order["status"] == "appear"]
    assert appeared
    assert {order["changed"]["rule"] for order in appeared} == {"prediction"}
    assert all(microseconds(datetime.fromisoformat(order["changed"]["ts"])) >= FROM for order in appeared)
    assert found["changed"]["recall"] >= 0.9
    assert scalar(db, "select count(*) from analytics.model_version") == 0, "a backtest writes no version"


def test_the_tried_side_decides_by_the_costs_given(db: Conn, world: tuple[History, Log]) -> None:
    learn(db, FROM)
    clock.set_rate(db, 0, sim=moment(TO + 8 * DAY))
    dear = Costs(failure=1.0001, visit=1.0, needless=1e9)  # going is never cheaper
    tuning.change(db, {"fault_code": {"off": True}}, "anna")
    report = backtest.run(db, moment(FROM), moment(TO), {"fault_code": {"off": True}}, costs=dear)
    assert any(pair.first.rule == "prediction" and pair.status == "vanish" for pair in report.orders)
    assert not any(pair.changed is not None and pair.changed.rule == "prediction" for pair in report.orders)


def test_where_predictions_decide_mild_codes_open_nothing_while_a_model_speaks(
    db: Conn, world: tuple[History, Log]
) -> None:
    learn(db, FROM)
    clock.set_rate(db, 0, sim=moment(TO + 8 * DAY))

    def by_code() -> set[int]:
        report = backtest.run(db, moment(FROM), moment(TO), None)
        result.of(db, report)
        return {pair.first.severity for pair in report.orders if pair.first.rule == "fault_code"}

    db.execute("update ingest.fault_code set severity = 2 where code = 'E1'")
    assert 2 in by_code()
    db.execute("insert into analytics.prediction_decides values (%s)", (MODEL,))
    assert by_code() <= {1}


def test_learning_from_the_period_itself_is_refused(db: Conn, world: tuple[History, Log]) -> None:
    with pytest.raises(Invalid, match="must lie before the period"):
        backtest.run(db, moment(FROM), moment(TO), None, train_from=moment(FROM))
    clock.set_rate(db, 0, sim=moment(TO))
    with pytest.raises(Invalid, match="must lie before the period"):
        store.request(db, moment(FROM), moment(TO), {}, {}, "anna", train_from=moment(TO))


def test_planned_maintenance_is_no_failure_where_failures_are_recorded(
    db: Conn, world: tuple[History, Log]
) -> None:
    history, failures = world
    clock.set_rate(db, 0, sim=moment(TO + 8 * DAY))
    planned = backtest.run(db, moment(FROM), moment(TO), None).repairs
    assert len(planned) == len(history.devices), "nobody records failures: every repair stands for one"
    device, at = int(history.devices[0]), int(failures.ts[2])
    db.execute(
        "insert into analytics.failure values (%s, 'bearing', %s, %s, 'maintenance system')",
        (device, moment(at), moment(at)),
    )
    (repair,) = backtest.run(db, moment(FROM), moment(TO), None).repairs
    assert (repair.device, repair.ts) == (device, at + HOUR)


def test_what_failed_after_the_period_is_no_miss_unless_one_of_its_orders_came_before(
    db: Conn, world: tuple[History, Log]
) -> None:
    _, failures = world
    inside = [int(ts) for ts in sorted(failures.ts) if FROM < ts < TO]
    until = inside[len(inside) // 2] + HOUR // 2  # one stands still, half of the devices fail later
    clock.set_rate(db, 0, sim=moment(TO + 8 * DAY))
    report = backtest.run(db, moment(FROM), moment(until), None)
    announced = {pair.live.repaired_at for pair in report.orders if pair.live is not None}
    late = [moment(repair.ts) for repair in report.repairs if repair.ts > until]
    assert late
    assert set(late) <= announced
    off = {"fault_code": {"off": True}}
    tuning.change(db, off, "anna")
    silent = backtest.run(db, moment(FROM), moment(until), off)
    assert silent.orders == []
    assert all(repair.ts <= until for repair in silent.repairs)
    assert 0 < silent.live_outcome.repairs == len(report.repairs) - len(late)
