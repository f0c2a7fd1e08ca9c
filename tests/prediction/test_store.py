"""Learning from stored history and scoring it, on a real database."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest

from analytics import explain
from analytics.definitions import DAY, HOUR
from analytics.prediction import decision, failure, features, jobs, pieces, sample, scoring, store, train
from analytics.prediction import stored as past
from analytics.prediction.decision import Costs, Policy
from analytics.prediction.failure import Settings
from analytics.prediction.history import History, Log
from analytics.prediction.scores import score
from analytics.prediction.train import Failure
from analytics.store import microseconds, moment
from kit.database import Conn, rows, scalar
from kit.errors import Invalid
from tests.prediction import stored
from tests.prediction.machines import START, fleet
from tests.prediction.stored import MODEL

QUICK = Settings(iterations=20)
END = moment(START + 75 * DAY)


@pytest.fixture
def world(db: Conn) -> tuple[History, Log]:
    history, failures = fleet()
    return stored.write(db, history, failures), failures


def learn(db: Conn, **given: object) -> dict[str, train.Trained]:
    with db.transaction():
        return {one.component: one for one in train.train(db, MODEL, END, settings=QUICK, **given)}  # type: ignore[arg-type]


def test_history_and_failures_are_read_as_they_were_stored(db: Conn, world: tuple[History, Log]) -> None:
    history, failures = world
    read = past.history(db, MODEL, moment(START), END)
    assert read is not None
    assert read.metrics == tuple(sorted(history.metrics))
    np.testing.assert_array_equal(read.known, history.known)
    order = [history.metrics.index(name) for name in read.metrics]
    np.testing.assert_allclose(read.values, history.values[:, :, order])
    np.testing.assert_array_equal(read.repairs.ts, history.repairs.ts)
    found = past.failures(db, MODEL, END, read.devices, read.components)
    np.testing.assert_array_equal(found.ts, failures.ts)
    np.testing.assert_array_equal(found.device, failures.device)
    # a step is not known before it has ended
    half = past.history(db, MODEL, moment(START), moment(START + 10 * DAY + HOUR))
    assert half is not None
    assert half.known[-1] == START + 10 * DAY


def test_a_repair_without_a_stop_is_no_failure(db: Conn, world: tuple[History, Log]) -> None:
    history, failures = world
    db.execute(
        "delete from ingest.fault_event where code = %s and device_id = %s",
        (stored.STOP, int(history.devices[0])),
    )
    found = past.failures(db, MODEL, END, history.devices, history.components)
    assert len(found) == len(failures) - 3
    assert 0 not in found.device


def test_a_recorded_failure_counts_once_and_only_from_when_it_was_known(
    db: Conn, world: tuple[History, Log]
) -> None:
    history, failures = world
    device, at = int(history.devices[0]), moment(int(failures.ts[0]))
    known = moment(int(failures.ts[0]) + 5 * HOUR)
    db.execute(
        "insert into analytics.failure values (%s, 'bearing', %s, %s, 'WO-000001')", (device, at, known)
    )

    def count(until: datetime) -> int:
        return len(past.failures(db, MODEL, until, history.devices, history.components))

    assert count(END) == len(failures)  # told by the machine's code, too
    before = count(moment(int(failures.ts[0]) + 4 * HOUR))
    db.execute(
        "delete from ingest.fault_event where code = %s and device_id = %s and ts = %s",
        (stored.STOP, device, at),
    )
    assert count(moment(int(failures.ts[0]) + 4 * HOUR)) == before - 1
    assert count(END) == len(failures)


def test_a_component_that_was_only_inspected_is_as_old_as_it_was(
    db: Conn, world: tuple[History, Log]
) -> None:
    history, _ = world
    before = len(past.repairs(db, MODEL, END, history.devices, history.components))
    for reason in ("WO-000001 inspect", "WO-000002 adjust"):
        db.execute(
            "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'motor', %s, %s)",
            (int(history.devices[0]), moment(START + (2 if "adjust" in reason else 1) * DAY), reason),
        )
    assert len(past.repairs(db, MODEL, END, history.devices, history.components)) == before + 1


def test_a_model_is_promoted_when_it_saves_money_and_gives_way_only_to_a_better_one(
    db: Conn, world: tuple[History, Log]
) -> None:
    first = learn(db)
    assert first["bearing"].promoted, first["bearing"].verdict
    assert first["motor"] == train.Trained("motor", None, False, first["motor"].verdict)
    assert "0 failures" in first["motor"].verdict
    assert first["motor"].reason == {"code": "too_few_failures", "failures": 0, "learn": 10, "trial": 3}
    again = learn(db)["bearing"]  # the same model cannot be better than itself
    assert not again.promoted
    assert "with the version in force" in again.verdict
    assert again.reason["code"] == "not_cheaper"
    assert again.reason["in_force"] == again.reason["cost"]
    told = dict(
        db.execute("select component, reason from analytics.learning where kind = 'failure'").fetchall()
    )
    assert told == {"bearing": again.reason, "motor": first["motor"].reason}
    in_force = store.in_force(db, "failure", MODEL)["bearing"]
    assert in_force.id == first["bearing"].version_id
    assert in_force.data_to < END
    assert in_force.cost < in_force.scores["cost_without"]

    db.execute(
        "update analytics.model_version set format = 0, bytes = %s where id = %s",
        (b'{"format": 0}\n', in_force.id),
    )
    replaced = learn(db)["bearing"]  # one that cannot be read any more has to go
    assert replaced.promoted
    listed = store.versions(db, "failure", MODEL, "bearing")
    assert [version.retired_at is None for version in listed] == [True, True, False]
    assert [version.promoted_at is None for version in listed] == [False, True, False]


def test_a_model_that_costs_more_than_it_saves_is_not_promoted(db: Conn, world: tuple[History, Log]) -> None:
    # a planned visit costs nearly as much as the failure, a needless one far more
    dear = Policy({"bearing": Costs(failure=1.0, visit=0.9999999, needless=1e-12)})
    done = learn(db, policy=Policy(dear.costs, confirm=10_000))["bearing"]
    assert not done.promoted  # it opens no order, so it is no cheaper than nothing
    assert store.in_force(db, "failure", MODEL) == {}


def test_named_failures_take_the_place_of_those_on_record(db: Conn, world: tuple[History, Log]) -> None:
    history, failures = world
    db.execute("delete from ingest.fault_event where code = %s", (stored.STOP,))
    assert not any(one.promoted for one in learn(db).values())
    named = [
        Failure(int(history.devices[d]), "bearing", moment(ts))
        for d, ts in zip(failures.device, failures.ts.tolist(), strict=True)
    ]
    assert learn(db, named=named)["bearing"].promoted
    with pytest.raises(Invalid, match="Failure of wing"):
        learn(db, named=[Failure(int(history.devices[0]), "wing", END)])


def tried(db: Conn, most: int = sample.MOST_HEALTHY) -> train.Candidate:
    (found,) = (
        one for one in train.candidates(db, MODEL, moment(START), END, Policy({}), QUICK, most=most)
        if isinstance(one, train.Candidate)
    )  # fmt: skip
    return found


def test_a_fleet_learned_from_in_pieces_gives_the_same_model_as_the_whole(
    db: Conn, world: tuple[History, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _ = world
    whole = tried(db)
    monkeypatch.setattr(pieces, "ROWS_AT_ONCE", 5 * len(history.known))  # devices 0 to 4, 5 to 9, 10 and 11
    cut = tried(db)
    assert (cut.scores, cut.window, cut.verdict) == (whole.scores, whole.window, whole.verdict)
    there = past.scope(db, MODEL, moment(START), END)
    assert there is not None
    for table in pieces.tables(db, there):
        np.testing.assert_array_equal(cut.fitted.probability(table), whole.fitted.probability(table))


def test_rows_read_from_a_time_on_are_those_of_the_whole(
    db: Conn, world: tuple[History, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _ = world
    there = past.scope(db, MODEL, moment(START), END)
    assert there is not None
    (whole,) = pieces.tables(db, there)
    monkeypatch.setattr(pieces, "ROWS_AT_ONCE", 1)
    after = int(history.known[400])
    found = list(pieces.tables(db, there, after))
    assert len(found) == len(history.devices)
    later = whole.take(whole.ts > after)
    np.testing.assert_array_equal(np.concatenate([table.x for table in found]), later.x)
    np.testing.assert_array_equal(np.concatenate([table.device for table in found]), later.device)
    np.testing.assert_array_equal(np.concatenate([table.ts for table in found]), later.ts)


def test_a_model_learned_from_some_rows_is_tried_on_all_later_ones(
    db: Conn, world: tuple[History, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS_AT_ONCE", 1)
    found = tried(db, most=2_000)
    there = past.scope(db, MODEL, moment(START), END)
    assert there is not None
    monkeypatch.undo()
    (whole,) = pieces.tables(db, there)
    _, failures = world
    split = microseconds(found.window[1])
    repairs = past.repairs(db, MODEL, END, there.devices, there.components).only(0)
    later = whole.take((whole.ts > split) & ~failure.broken_down(failures, repairs, whole))
    orders = decision.decide(
        found.fitted.probability(later), later.device, later.ts, repairs, Policy({}), "bearing"
    )
    expected = score(orders, failures, split, int(there.known[-1]))
    assert (found.scores["failures"], found.scores["orders"]) == (expected.failures, expected.orders)
    assert found.scores["leads"] == expected.leads
    assert found.window[0] == moment(int(whole.ts.min()))
    assert found.promote, found.verdict


def test_devices_that_were_never_heard_change_nothing(
    db: Conn, world: tuple[History, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS_AT_ONCE", 1)
    before = tried(db)
    db.execute("insert into ingest.device (uid, model) values ('D-silent-1', %s)", (MODEL,))
    db.execute("insert into ingest.device (uid, model) values ('D-silent-2', %s)", (MODEL,))
    again = tried(db)
    assert (again.scores, again.window) == (before.scores, before.window)


def test_a_type_without_telemetry_is_refused(db: Conn) -> None:
    with pytest.raises(Invalid, match="population is empty"):
        train.train(db, "nothing", END)


def test_one_detection_an_episode_and_a_repair_ends_it(
    db: Conn, db_as: Callable[[str], Conn], world: tuple[History, Log]
) -> None:
    history, failures = world
    learn(db)
    at = int(failures.ts[2])  # the third failure of device 0, which the model has not seen
    device = int(history.devices[0])
    own = db_as("meantime_analytics")
    for hours in range(-36, 31, 3):
        with own.transaction():
            scoring.score(own, MODEL, moment(at + hours * HOUR))
            scoring.score(own, MODEL, moment(at + hours * HOUR))  # a second time says nothing new
    found = rows(db, "select * from analytics.detection where device_id = %s order by id", (device,))
    assert [(row["kind"], row["rule"], row["failure_mode"]) for row in found] == [
        ("raise", "prediction", "bearing_wear"), ("clear", "prediction", "bearing_wear"),
    ]  # fmt: skip
    raised, cleared = found
    assert moment(at - 24 * HOUR) < raised["ts"] < moment(at)
    assert cleared["ts"] == moment(at + 3 * HOUR)  # repaired an hour after the failure
    told = {driver["metric"] for driver in raised["evidence"]["drivers"]}
    assert told | {code["code"] for code in raised["evidence"]["codes"]} >= {"vibration"}
    assert raised["evidence"]["probability"] > raised["evidence"]["level"]
    said = scalar(db, "select count(*) from analytics.prediction where device_id = %s", (device,))
    assert said == len(range(-36, 31, 3))


def test_a_prediction_is_explained_from_the_stored_rows_and_contradicted_when_they_changed(
    db: Conn, world: tuple[History, Log]
) -> None:
    history, failures = world
    learn(db)
    at = int(failures.ts[2])
    for hours in (-21, -18):
        scoring.score(db, MODEL, moment(at + hours * HOUR))
    raised = scalar(db, "select id from analytics.detection where device_id = %s", (int(history.devices[0]),))
    explained = explain.explain(db, raised)
    assert explained.ok, explained.text_en
    db.execute("delete from ingest.fault_event where code = 'E1'")
    changed = explain.explain(db, raised)
    assert not changed.ok
    assert "hash" in changed.text_en


def test_of_a_silent_device_nothing_is_said(db: Conn, world: tuple[History, Log]) -> None:
    history, failures = world
    learn(db)
    at = moment(int(failures.ts[2]))
    silent = int(history.devices[0])
    db.execute(
        "delete from ingest.reading_hour where device_id = %s and bucket > %s - interval '40 h'", (silent, at)
    )
    scoring.score(db, MODEL, at)
    asked = {device for (device,) in db.execute("select device_id from analytics.prediction")}
    assert asked == set(history.devices.tolist()) - {silent}


def test_a_model_of_another_version_is_left_out_and_nothing_is_written(
    db: Conn, world: tuple[History, Log]
) -> None:
    learn(db)
    db.execute(
        "update analytics.model_version set bytes = %s",
        (b'{"format": 0, "class": "x", "sklearn": "", "sha256": ""}\n',),
    )
    assert scoring.score(db, MODEL, END) == 0
    assert scalar(db, "select count(*) from analytics.prediction") == 0


class Ended:
    """A process that has ended well."""

    def __init__(self, code: int = 0) -> None:
        self.returncode = code

    def poll(self) -> int:
        return self.returncode


def test_learning_is_started_once_when_there_is_enough_to_learn_from(
    db: Conn, dsn: str, world: tuple[History, Log]
) -> None:
    started: list[str] = []

    def start(_: str, model: str) -> subprocess.Popen[bytes]:
        started.append(model)
        return Ended()  # type: ignore[return-value]

    set_clock(db, END)
    learner = jobs.Learner(dsn, start)
    learner.look(db)
    learner.look(db)  # nothing came of it: not again today
    assert started == [MODEL]
    learn(db)
    assert jobs.due(db, MODEL, END) == "remaining lives never learned"  # killed between the two
    store.note_learning(db, "remaining_life", MODEL, "bearing", False, "a test")
    assert jobs.due(db, MODEL, END) is None
    set_clock(db, moment(START + 106 * DAY))
    learn(db)
    assert jobs.due(db, MODEL, moment(START + 106 * DAY)) == "remaining lives not learned since"
    db.execute("update analytics.model_version set trained_at = %s", (END,))
    assert jobs.due(db, MODEL, moment(START + 106 * DAY)) == "a month has passed"
    db.execute(
        "delete from ingest.fault_event where code = %s and ts > %s", (stored.STOP, moment(START + 30 * DAY))
    )
    assert jobs.due(db, MODEL, moment(START + 106 * DAY)) is None  # twelve failures are too few


def test_a_learning_that_was_killed_is_started_again_the_same_day_but_not_at_once(
    db: Conn, dsn: str, world: tuple[History, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[float] = []
    seconds = 0.0

    def start(_: str, model: str) -> subprocess.Popen[bytes]:
        started.append(seconds)
        return Ended(-9)  # type: ignore[return-value]

    set_clock(db, END)
    monkeypatch.setattr(jobs.time, "monotonic", lambda: seconds)
    learner = jobs.Learner(dsn, start)
    for seconds in range(0, 4000, 10):  # noqa: B007 - what the clock shows
        learner.look(db)
    first, second, third = started
    assert (second - first, third - second) == pytest.approx((600, 1200), abs=610)
    assert third - second > second - first


def test_a_live_error_that_has_grown_asks_for_learning(db: Conn, world: tuple[History, Log]) -> None:
    history, _ = world
    set_clock(db, END)
    version = learn(db)["bearing"].version_id
    store.note_learning(db, "remaining_life", MODEL, "bearing", False, "a test")
    assert version is not None
    ts = START + 75 * DAY + np.arange(300) * HOUR
    p = np.where(np.arange(300) < 150, 0.01, 0.9)  # it cries wolf from some day on
    store.save_predictions(db, version, np.full(300, history.devices[0]), ts, p)
    assert jobs.due(db, MODEL, moment(START + 90 * DAY)) == "the error for bearing has grown"


def set_clock(db: Conn, at: datetime) -> None:
    db.execute("update kit.clock set wall_anchor = clock_timestamp(), sim_anchor = %s, rate = 0", (at,))


@pytest.mark.slow
def test_a_learning_process_learns_and_ends(db: Conn, dsn: str) -> None:
    history, failures = fleet(devices=6)
    history = stored.write(db, history, failures)
    set_clock(db, END)
    process = jobs.start_process(dsn, MODEL, iterations=10)
    assert process.wait(timeout=300) == 0
    assert set(store.in_force(db, "failure", MODEL)) == {"bearing"}
    tried = rows(db, "select kind, component from analytics.learning order by 1, 2")
    assert [tuple(row.values()) for row in tried] == [
        (kind, component) for kind in ("failure", "remaining_life") for component in ("bearing", "motor")
    ]
    jobs.score(db)
    last = int(history.known[-1])
    assert scalar(db, "select count(*) from analytics.prediction") == len(features.build(history, last))
