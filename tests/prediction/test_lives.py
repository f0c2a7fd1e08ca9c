"""Remaining life from stored history: lives in operating hours, learned, promoted, predicted, revised."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from analytics.definitions import DAY, HOUR
from analytics.prediction import late, life_scoring, life_train, lives, store, stored
from analytics.prediction.history import Log
from analytics.prediction.lives import CYCLE_HOURS, Hours, operating
from analytics.prediction.remaining_life import Settings
from analytics.store import moment
from kit import clock
from kit.database import Conn, rows, scalar
from kit.errors import Invalid
from tests.prediction import wearing
from tests.prediction.wearing import MODEL, START

QUICK = Settings(members=1, folds=2, iterations=40)
END = moment(START + 60 * DAY)


def log(*pairs: tuple[int, float]) -> Log:
    device = np.array([d for d, _ in pairs], np.int64)
    ts = np.array([START + int(hours * HOUR) for _, hours in pairs], np.int64)
    return Log.of(device, ts, np.zeros(len(pairs), np.int64))


def hours(devices: int = 1, count: int = 200) -> Hours:
    """Runs every second hour."""
    run = np.tile(np.arange(count) % 2.0, (devices, 1))
    values = np.random.default_rng(1).normal(5, 1, (devices, count, 2))
    return Hours(START + (np.arange(count) + 1) * HOUR, values, run * 3, run)


def test_a_life_is_counted_in_operating_hours_from_repair_to_failure() -> None:
    found = lives.lives(hours(), failures=log((0, 120)), repairs=log((0, 120), (0, 40)))
    assert [(life.run.failed, len(life.run)) for life in found] == [(False, 2), (True, 5), (False, 5)]
    assert START + 110 * HOUR < found[1].known[-1] <= START + 120 * HOUR
    for ended, cycles in ((101, 3), (102, 4), (119, 5)):
        assert len(found[1].until(START + ended * HOUR).run) == cycles
    assert not found[1].until(START + 119 * HOUR).run.failed


def test_a_failure_long_after_the_last_reading_tells_nothing_of_the_life_before_it() -> None:
    still = hours()
    found = lives.lives(still, failures=log((0, 200 + 24 * 8)), repairs=log())
    assert found == []


def test_operating_hours_are_the_counters_where_it_moves_plausibly() -> None:
    counter = np.array([[5.0, 5.5, 905.0, 906.0, 1.0, 1.25, np.nan]])
    state = np.array([[3.0, 3.0, 0.0, 3.0, 3.0, 3.0, np.nan]])
    heard = np.array([[True] * 6 + [False]])
    assert operating(counter, state, heard).tolist() == [[1.0, 0.5, 0.0, 1.0, 1.0, 0.25, 0.0]]
    nothing = np.full((1, 7), np.nan)
    assert operating(nothing, nothing, heard).tolist() == [[1.0] * 6 + [0.0]]


@pytest.fixture
def fleet(db: Conn) -> list[int]:
    clock.set_rate(db, 0, sim=END)
    return wearing.write(db)


def test_it_is_learned_promoted_predicted_and_revised_when_rows_come_late(db: Conn, fleet: list[int]) -> None:
    with db.transaction():
        bearing, motor = life_train.learn(db, MODEL, END, QUICK)
    assert bearing.promoted, bearing.verdict
    assert (motor.promoted, motor.version_id) == (False, None)
    assert "0 failures on record" in motor.verdict
    version = store.in_force(db, life_train.KIND, MODEL)["bearing"]
    assert version.scores["pinball"] < version.scores["naive"]
    assert 0.5 <= version.scores["coverage"] <= 1
    assert version.data_to < END
    assert rows(db, "select component, promoted from analytics.learning order by 1") == [
        {"component": "bearing", "promoted": True}, {"component": "motor", "promoted": False},
    ]  # fmt: skip

    now = moment(START + 50 * DAY)
    with db.transaction():
        first = life_scoring.score(db, MODEL, now)
        assert life_scoring.score(db, MODEL, now) == 0
    said = rows(db, "select * from analytics.remaining_life order by device_id")
    assert len(said) == first >= len(fleet) // 2
    assert all(
        0 <= one["low"] <= one["median"] <= one["high"] <= one["most"] == 125 * CYCLE_HOURS for one in said
    )
    assert all(17 < one["hours_a_day"] < 19 for one in said)

    device = said[0]["device_id"]
    late_since = now - timedelta(days=2)
    db.execute(
        """update ingest.reading_hour set mean = mean + 8
           where device_id = %s and metric = 'vibration' and bucket > %s""",
        (device, late_since),
    )
    db.execute("insert into analytics.stale_prediction values (%s, %s)", (device, late_since))
    with db.transaction():
        assert late.revise(db, MODEL) == 1
        assert late.revise(db, MODEL) == 0
    revised = rows(
        db, "select device_id, median, revised_at from analytics.remaining_life where revised_at is not null"
    )
    assert [one["device_id"] for one in revised] == [device]
    assert revised[0]["median"] != said[0]["median"]

    db.execute("update analytics.model_version set bytes = %s", (b'{"format": 0, "class": "x"}\n',))
    assert life_scoring.score(db, MODEL, END) == 0  # another version of the file: nothing is said
    assert scalar(db, "select count(*) from analytics.remaining_life where ts > %s", (now,)) == 0


def test_too_few_failures_are_named_and_nothing_is_kept(db: Conn, fleet: list[int]) -> None:
    with db.transaction():
        found = life_train.learn(db, MODEL, moment(START + 20 * DAY), QUICK)
    assert [one.version_id for one in found] == [None, None]
    assert "15 or more" in found[0].verdict
    assert scalar(db, "select count(*) from analytics.model_version") == 0
    with pytest.raises(Invalid, match="population is empty"):
        life_train.learn(db, "nothing", END)


def test_hours_are_read_as_they_were_stored(db: Conn, fleet: list[int]) -> None:
    read = stored.hours(db, MODEL, moment(START), moment(START + 3 * DAY))
    assert read is not None
    assert read.known[0] == START + HOUR
    assert read.values.shape == (len(fleet), 72, 2)
    assert read.run[:, 1:].sum() == len(fleet) * 53  # 18 of 24, the first hour has no counter before it
    assert stored.hours(db, MODEL, moment(START - 3 * DAY), moment(START)) is None


def test_hours_cut_to_a_time_are_those_that_were_read_then(db: Conn, fleet: list[int]) -> None:
    """A week is read once for some devices; what was known in its middle is what would have been read then."""
    some = [fleet[3], fleet[1]]
    db.execute(  # the counter was not told for some hours, and what it gained in them is told after the cut only
        "delete from ingest.reading_hour where metric = 'run_hours' and bucket >= %s and bucket < %s",
        (moment(START + 3 * DAY - 4 * HOUR), moment(START + 3 * DAY + 2 * HOUR)),
    )
    db.execute(
        "delete from ingest.reading_hour where device_id = %s and bucket < %s", (some[0], moment(START + DAY))
    )
    week = stored.hours(db, MODEL, moment(START), moment(START + 7 * DAY), some)
    assert week is not None
    for since, until in ((START, START + 3 * DAY), (START + DAY, START + 5 * DAY)):
        then, cut = stored.hours(db, MODEL, moment(since), moment(until), some), week.between(since, until)
        assert then is not None
        for name in ("known", "values", "state", "run"):
            assert np.array_equal(getattr(cut, name), getattr(then, name), equal_nan=True), name
    before = week.run[:, week.known <= START + 3 * DAY]
    assert not np.array_equal(week.between(START, START + 3 * DAY).run, before), "the counter told later"


def test_what_the_counter_gained_over_silent_hours_was_run_in_them() -> None:
    nan = np.nan
    counter = np.array([[5.0, nan, nan, 8.0, nan, nan, 9.5, 9.5], [5.0, nan, nan, 900.0, nan, nan, 1.0, 2.0]])
    state = np.where(np.isfinite(counter), 3.0, nan)
    found = operating(counter, state, np.isfinite(counter))
    assert found[0].tolist() == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.0]
    assert found[1].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]  # it was exchanged, twice
    silent = np.array([[5.0, *[nan] * 20, 25.0]])
    assert operating(silent, silent * 0 + 3, np.isfinite(silent)).sum() == 2  # nobody knows when
