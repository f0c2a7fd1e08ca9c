"""Rows that come late: what was said since then is worked out again, what was decided stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analytics.definitions import DAY, HOUR
from analytics.prediction import features, late, scoring, store, train
from analytics.prediction import stored as stored_pasts
from analytics.prediction.failure import ComponentModel, Settings
from analytics.prediction.history import History, Log
from analytics.store import microseconds, moment
from kit.database import Conn, rows, scalar
from tests.prediction import stored
from tests.prediction.machines import START, fleet
from tests.prediction.stored import MODEL

QUICK = Settings(iterations=20)


@pytest.fixture
def world(db: Conn) -> tuple[History, Log]:
    history, failures = fleet(devices=6)
    history = stored.write(db, history, failures)
    with db.transaction():
        train.train(db, MODEL, moment(START + 75 * DAY), settings=QUICK)
    return history, failures


def test_late_rows_change_what_was_said_and_lose_no_order(
    db: Conn, db_as: Callable[[str], Conn], world: tuple[History, Log]
) -> None:
    history, failures = world
    at, device = int(failures.ts[2]), int(history.devices[0])
    own = db_as("meantime_analytics")
    late.notice(own)  # as the job does before each scoring
    for hours in range(-24, -8, 3):
        with own.transaction():
            scoring.score(own, MODEL, moment(at + hours * HOUR))
    said = "select ts, probability, revised_at from analytics.prediction where device_id = %s order by ts"
    before = rows(db, said, (device,))
    raised = rows(db, "select id, device_id, kind, ts from analytics.detection order by id")
    assert [row["kind"] for row in raised if row["device_id"] == device] == ["raise"]

    late.notice(own)  # all that is there has been seen
    assert scalar(db, "select count(*) from analytics.stale_prediction") == 0
    batch = scalar(
        db,
        """insert into ingest.batch (door, messages, rows, readings, duplicates, first_ts, last_ts)
           values ('test', 1, 1, 0, 0, %(ts)s, %(ts)s) returning id""",
        {"ts": moment(at - 48 * HOUR)},
    )
    db.execute(
        "insert into ingest.fault_event (batch_id, device_id, ts, code, active) values (%s, %s, %s, 'E2', true)",
        (batch, device, moment(at - 48 * HOUR)),
    )
    db.execute(  # with the rows that came late the hours before look healthy after all
        """update ingest.reading_hour set mean = mean - 5 where device_id = %s and metric = 'vibration'
           and bucket >= %s and bucket < %s""",
        (device, moment(at - 48 * HOUR), moment(at)),
    )
    late.notice(own)
    with own.transaction():
        assert late.revise(own, MODEL) == 1
    after = rows(db, said, (device,))
    assert [row["ts"] for row in after] == [row["ts"] for row in before]
    changed = [row["revised_at"] is not None for row in after]
    assert changed == [
        new["probability"] != old["probability"] for new, old in zip(after, before, strict=True)
    ]
    assert any(changed)
    assert max(row["probability"] for row in after) < max(row["probability"] for row in before)
    assert rows(db, "select id, device_id, kind, ts from analytics.detection order by id") == raised
    others = scalar(
        db,
        "select count(*) from analytics.prediction where device_id <> %s and revised_at is not null",
        (device,),
    )
    assert others == 0


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_many_devices_late_for_different_times_are_revised_as_each_alone(
    db: Conn, world: tuple[History, Log], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    history, _ = world
    now, ids = int(history.known[-1]), history.devices.tolist()
    with db.transaction():
        for hours in range(-30, 1, 3):
            scoring.score(db, MODEL, moment(now + hours * HOUR))
    said = """select device_id, ts, probability, revised_at is not null as revised from analytics.prediction
              order by device_id, ts"""
    before = rows(db, said)
    db.execute(  # all hours since then look otherwise, but only some are late, each since a time of its own
        "update ingest.reading_hour set mean = mean + 4 where metric = 'vibration' and bucket > %s",
        (moment(now - 60 * HOUR),),
    )
    since = {ids[0]: now - 20 * HOUR, ids[2]: now - 7 * HOUR, ids[3]: now - 29 * HOUR, ids[4]: now}
    for device, ts in since.items():
        db.execute("insert into analytics.stale_prediction values (%s, %s)", (device, moment(ts)))
    monkeypatch.setattr(late, "AT_ONCE", at_once)
    with db.transaction():
        assert late.revise(db, MODEL) == len(since)
    after = rows(db, said)
    version = store.in_force(db, scoring.KIND, MODEL)["bearing"].id
    whole = stored_pasts.history(db, MODEL, moment(now - 60 * DAY), moment(now))
    assert whole is not None
    table = features.build(whole, now - 30 * HOUR)
    p = scoring.probabilities(store.load(db, version, ComponentModel), table)
    anew = dict(
        zip(zip(whole.devices[table.device].tolist(), table.ts.tolist(), strict=True), p, strict=True)
    )
    changed = 0
    for old, new in zip(before, after, strict=True):
        ts = microseconds(new["ts"])
        late_here = ts > since.get(new["device_id"], now)
        wanted = anew[new["device_id"], ts] if late_here else old["probability"]
        assert new["probability"] == pytest.approx(wanted, abs=1e-9)
        assert new["revised"] == (late_here and abs(wanted - old["probability"]) > 1e-9)
        changed += new["revised"]
    assert changed >= 6


def test_rows_in_time_make_nothing_stale(db: Conn, world: tuple[History, Log]) -> None:
    history, _ = world
    now = int(history.known[-1])
    late.notice(db)
    with db.transaction():
        scoring.score(db, MODEL, moment(now))
    db.execute(
        """insert into ingest.batch (door, messages, rows, readings, duplicates, first_ts, last_ts)
           values ('test', 1, 1, 0, 0, %(ts)s, %(ts)s)""",
        {"ts": moment(now + HOUR)},
    )
    late.notice(db)
    assert scalar(db, "select count(*) from analytics.stale_prediction") == 0
