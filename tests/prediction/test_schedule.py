"""When a device type is learned next, as people are told it and as the job does it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from analytics.definitions import DAY
from analytics.prediction import failure, jobs, schedule, store, train, waiting
from analytics.prediction.history import History, Log
from analytics.store import moment
from kit.database import Conn
from tests.prediction import stored
from tests.prediction.machines import START, fleet
from tests.prediction.stored import MODEL

END = moment(START + 75 * DAY)


@pytest.fixture
def world(db: Conn) -> tuple[History, Log]:
    history, failures = fleet()
    return stored.write(db, history, failures), failures


def test_enough_failures_leave_as_many_to_learn_from_as_are_needed() -> None:
    assert round((failure.FEWEST_FAILURES + 1) / train.LEARNED_SHARE) == schedule.ENOUGH


def test_with_enough_failures_the_first_learning_is_due_now_and_the_job_says_so_too(
    db: Conn, world: tuple[History, Log]
) -> None:
    found = schedule.outlook(db, MODEL, END)
    assert (found.state, found.at) == ("due", END)
    assert found.failures >= schedule.ENOUGH
    assert jobs.due(db, MODEL, END) == "never learned"


def test_too_few_failures_have_no_date_and_are_counted(db: Conn, world: tuple[History, Log]) -> None:
    early = moment(START + 20 * DAY)
    found = schedule.outlook(db, MODEL, early)
    assert (found.state, found.at) == ("too_few", None)
    assert 0 < found.failures < schedule.ENOUGH
    assert jobs.due(db, MODEL, early) is None


def test_while_a_past_is_brought_in_learning_is_held(db: Conn, world: tuple[History, Log]) -> None:
    waiting.hold(db, "import")
    assert schedule.outlook(db, MODEL, END).state == "held"
    waiting.release(db, "import")
    assert schedule.outlook(db, MODEL, END).state == "due"


def test_a_device_type_nobody_has_devices_of_has_too_few(db: Conn) -> None:
    assert schedule.outlook(db, "no-such-model", END) == schedule.Outlook("too_few", 0, None)


def test_what_gave_no_model_is_tried_again_a_day_later_and_what_did_a_month_later() -> None:
    tried = END - timedelta(hours=5)
    assert schedule.next_run(END, None, None, None) == END
    assert schedule.next_run(END, tried, tried, None) == END, "it was killed between failures and lives"
    assert schedule.next_run(END, tried, tried, tried - timedelta(days=30)) == END, "the same a month later"
    assert schedule.next_run(END, None, tried, tried) == tried + schedule.RETRY
    assert schedule.next_run(END, tried, tried, tried) == tried + schedule.LEARN_AGAIN


def test_what_was_tried_is_due_again_by_the_stored_dates(db: Conn, world: tuple[History, Log]) -> None:
    db.execute("update kit.clock set wall_anchor = clock_timestamp(), sim_anchor = %s, rate = 0", (END,))
    for kind in schedule.KINDS:
        store.note_learning(db, kind, MODEL, "bearing", False, "a test")
    assert schedule.outlook(db, MODEL, END).at == END + schedule.RETRY


def test_when_learning_is_due_is_told_without_waiting_for_scikit_learn() -> None:
    program = "import sys, analytics.prediction.schedule, api.app; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
