"""Rules are changed while batches come: from one batch to the next, and what was found keeps what it was found with."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from analytics import explain, tuning, worker
from analytics.definitions import DAY
from kit import follow
from kit.database import Conn, connect, scalar
from kit.errors import Invalid
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import START, VIBRATION, Fault

STRICT = {"shift": {"limit": 2.5, "sum_limit": 3.0, "refractory": 0.0}, "spike": {"off": True}}


def test_a_change_is_refused_when_it_is_wrong_or_nobodys(db: Conn) -> None:
    with pytest.raises(Invalid, match="shift has no setting 'limt'"):
        tuning.change(db, {"shift": {"limt": 3}}, "anna")
    with pytest.raises(Invalid, match="who changes the rules"):
        tuning.change(db, STRICT, " ")
    assert tuning.history(db) == []


def test_the_same_rules_again_are_no_change_and_none_are_the_defaults(db: Conn) -> None:
    first = tuning.change(db, STRICT, "anna")
    assert tuning.change(db, STRICT, "ben") == first
    assert tuning.change(db, {}, "ben").rules == {}
    assert [change.changed_by for change in tuning.history(db)] == ["ben", "anna"]


def test_a_change_under_load_holds_from_a_batch_on_and_every_detection_is_explained_with_its_own(
    db: Conn, dsn: str
) -> None:
    devices = stored.prepare(db, 4)
    faults = tuple(Fault(device, VIBRATION, 5 + 2 * at, 3, 2.5) for at, device in enumerate(devices[:3]))
    block = machines.rows(devices, machines.times(13), faults=faults)
    stop = threading.Event()
    followers = worker.followers(Settings())

    def work() -> None:
        with connect(dsn, application="test", autocommit=True) as own:
            while not stop.is_set():
                follow.catch_up(own, followers)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        half_days = block.ts // (DAY // 2)
        for one in np.unique(half_days):
            batch = stored.write(db, block.take(np.flatnonzero(half_days == one)))
            if one == (START + 7 * DAY) // (DAY // 2):
                tuning.change(db, STRICT, "anna")
        wait_for(db, batch)
    finally:
        stop.set()
        thread.join()
    assert tuning.in_use(db)
    used = db.execute("select distinct tuning_id from analytics.detection").fetchall()
    assert (tuning.history(db)[0].id,) in used
    found = db.execute("select id, tuning_id, through_batch from analytics.detection order by id").fetchall()
    begin = [batch for _, tuning_id, batch in found if tuning_id is not None]
    assert all(batch < min(begin) for _, tuning_id, batch in found if tuning_id is None)
    for detection, _, _ in found:
        explanation = explain.explain(db, detection)
        assert explanation.ok, explanation.text_en
    # With the tuning forgotten, what it found no longer follows from the rows.
    db.execute("delete from analytics.tuning_use where tuning_id is not null")
    assert not all(explain.explain(db, detection).ok for detection, _, _ in found)


def wait_for(conn: Conn, batch: int) -> None:
    end = time.monotonic() + 60
    while (scalar(conn, "select id from kit.follower where name = 'analytics.batch.0'") or 0) < batch:
        assert time.monotonic() < end, "the worker has not got there within a minute"
        time.sleep(0.005)
