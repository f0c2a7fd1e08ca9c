"""A backtest is a job that survives its worker: taken again after a kill, cancelled, bounded, and its result kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from analytics import backtest, worker
from analytics.definitions import DAY
from analytics.prediction.decision import Costs
from analytics.store import moment
from analytics.whatif import result, store
from analytics.whatif import worker as jobs
from kit import clock, follow
from kit.database import Conn, connect, rows, scalar
from kit.errors import Conflict, Invalid, NotFound
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import START, VIBRATION, Fault
from tests.analytics.stored import MODEL

QUIET = {"shift": {"off": True}, "spike": {"off": True}}
FROM, TO = moment(START), moment(START + 12 * DAY)


@pytest.fixture
def fleet(db: Conn) -> Conn:
    """Three pumps in two batches a day; the bearing of the first fails on the tenth day and is repaired."""
    devices = stored.prepare(db, 3)
    block = machines.rows(devices, machines.times(12), faults=(Fault(devices[0], VIBRATION, 8, 2, 6.0),))
    for half in range(24):
        part = (block.ts >= START + half * DAY // 2) & (block.ts < START + (half + 1) * DAY // 2)
        stored.write(db, block.take(part.nonzero()[0]))
    follow.catch_up(db, worker.followers(Settings()))
    db.execute(
        "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'replayed')",
        (devices[0], moment(START + 12 * DAY)),
    )
    clock.set_rate(db, 0, sim=moment(START + 60 * DAY))
    return db


def ask(conn: Conn, rules: dict[str, Any] | None = None, **costs: Costs) -> int:
    return store.request(conn, FROM, TO, rules or QUIET, costs, "anna")


def test_a_backtest_is_run_in_the_background_and_its_result_is_that_of_the_same_code(fleet: Conn) -> None:
    price = Costs(failure=100.0, visit=10.0, needless=20.0)
    number = store.request(fleet, FROM, TO, QUIET, {MODEL: price}, "anna", "without shift")
    assert jobs.work(fleet) == 1
    told, found = store.get(fleet, number), store.result(fleet, number)
    assert (told.state, told.progress, told.attempts, told.rules) == ("done", 1.0, 1, QUIET)
    report = backtest.run(fleet, FROM, TO, QUIET, costs=price)
    assert found == result.of(fleet, report)
    assert found["counts"] == {"appear": 0, "vanish": 1, "stay": 0}
    (order,) = found["orders"]
    assert (order["status"], order["device_uid"], order["failure_mode"]) == ("vanish", "P-0", "bearing_wear")
    assert order["live"]["verdict"] == "right"
    assert order["live"]["evidence"]["drivers"][0]["metric"] == "vibration"
    (failure,) = found["failures"]
    assert (failure["live"], failure["changed"]) == (True, False)
    assert (found["live"]["recall"], found["changed"]["recall"], found["cost_difference"]) == (1.0, 0.0, 90.0)
    assert found["models"][0]["costs"] == {"failure": 100.0, "visit": 10.0, "needless": 20.0}
    assert store.listing(fleet)[0]["counts"] == found["counts"]


@pytest.mark.slow
def test_a_backtest_killed_at_any_statement_is_taken_again_and_ends_the_same(
    fleet: Conn, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(fleet)
    assert jobs.work(fleet) == 1
    whole = store.result(fleet, 1)
    execute, left = psycopg.Cursor.execute, [0]

    def dying(self: psycopg.Cursor[Any], *args: Any, **kwargs: Any) -> psycopg.Cursor[Any]:
        left[0] -= 1
        if left[0] == 0:
            raise psycopg.OperationalError("killed here")
        return execute(self, *args, **kwargs)

    killed = 0
    for statements in (1, 3, 5, 8, 40, 10_000):
        number = ask(fleet)
        left[0] = 0
        with connect(dsn, application="test", autocommit=True) as own:
            monkeypatch.setattr(psycopg.Cursor, "execute", dying)
            left[0] = statements
            try:
                jobs.work(own)
            except psycopg.OperationalError:
                killed += 1
            monkeypatch.undo()
        # The session is gone and its locks with it: whoever looks next takes it from there.
        with connect(dsn, application="test", autocommit=True) as own:
            wait_until_free(fleet)
            jobs.work(own)
        assert store.result(fleet, number) == whole
        assert store.get(fleet, number).attempts <= 2
    assert killed >= 5


def wait_until_free(conn: Conn) -> None:
    """A closed session's locks go a moment after the connection."""
    for _ in range(10_000):
        held = "select exists (select from pg_locks where locktype = 'advisory' and objsubid = 2)"
        if not scalar(conn, held):
            return
    raise AssertionError("the locks of a closed session are still held")


@pytest.mark.slow
def test_a_killed_process_lets_go_in_the_middle_of_a_statement_and_a_cancelled_one_ends_there(
    fleet: Conn, dsn: str
) -> None:
    number = ask(fleet)
    with connect(dsn) as blocker:
        blocker.execute(
            "lock table ingest.batch in access exclusive mode"
        )  # reading takes as long as we like
        killed = jobs.start_process(dsn)
        until(lambda: store.get(fleet, number).state == "running")
        killed.kill()
        killed.wait()
        until(lambda: store.waiting(fleet))  # the server has noticed, though its statement is not over
        second = jobs.start_process(dsn)
        until(lambda: store.get(fleet, number).attempts == 2)
        store.cancel(fleet, number, "anna")
        assert second.wait(60) == 0
    assert (store.get(fleet, number).state, store.result(fleet, number)) == ("cancelled", None)
    again = ask(fleet)
    assert jobs.start_process(dsn).wait(120) == 0
    assert jobs.work(fleet) == 0
    assert store.get(fleet, again).state == "done"


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not come about within {seconds} s"
        time.sleep(0.02)


def test_one_that_another_session_works_on_is_left_alone_and_slots_bound_how_many(
    fleet: Conn, dsn: str
) -> None:
    ask(fleet)
    with connect(dsn, autocommit=True) as one, connect(dsn, autocommit=True) as other:
        assert store.take_slot(one, 1) == 0
        with one.transaction():
            taken = store.take(one)
        assert taken is not None
        assert not store.waiting(fleet)
        assert jobs.work(other) == 0, "the only slot is held"
        assert jobs.work(other, slots=2) == 0, "there is a second slot, but nothing that nobody works on"
        ask(fleet)
        assert store.waiting(fleet)
        assert jobs.work(other, slots=2) == 1
    assert [one["state"] for one in store.listing(fleet)] == ["done", "running"]
    wait_until_free(fleet)
    assert store.waiting(fleet), "whose session is gone is taken again"


def test_one_that_keeps_dying_fails_after_some_attempts(fleet: Conn, dsn: str) -> None:
    number = ask(fleet)
    for _ in range(store.MOST_ATTEMPTS):
        with connect(dsn, autocommit=True) as one, one.transaction():
            assert store.take(one) is not None
        wait_until_free(fleet)
    assert jobs.work(fleet) == 0
    told = store.get(fleet, number)
    assert (told.state, told.error) == ("failed", "It was interrupted 5 times.")


def test_cancelling_ends_one_that_waits_and_one_that_runs(
    fleet: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ask(fleet), ask(fleet)
    store.cancel(fleet, first, "anna")
    monkeypatch.setattr(jobs, "TELL_SECONDS", 0.0)
    report = store.report_progress

    def cancelled_on_the_way(conn: Conn, backtest_id: int, share: float) -> bool:
        if share > 0.5 and store.get(conn, backtest_id).state == "running":
            store.cancel(conn, backtest_id, "ben")
        return report(conn, backtest_id, share)

    monkeypatch.setattr(store, "report_progress", cancelled_on_the_way)
    assert jobs.work(fleet) == 1
    found = [(one["state"], one["cancelled_by"], one["progress"]) for one in store.listing(fleet)]
    assert found[1] == ("cancelled", "anna", 0.0)
    assert found[0][:2] == ("cancelled", "ben")
    assert 0.0 < found[0][2] < 1.0
    assert store.result(fleet, second) is None
    with pytest.raises(Conflict, match=f"Backtest {first} is cancelled already"):
        store.cancel(fleet, first, "anna")


def test_what_makes_no_sense_is_refused_before_it_is_queued(fleet: Conn) -> None:
    with pytest.raises(Invalid, match=r"shift\.limit must be a number from 1 to 100, not 500"):
        ask(fleet, {"shift": {"limit": 500}})
    with pytest.raises(Invalid, match="must begin before it ends"):
        store.request(fleet, TO, FROM, {}, {}, "anna")
    with pytest.raises(Invalid, match="must lie in the past"):
        store.request(fleet, clock.now(fleet), clock.now(fleet) + timedelta(days=1), {}, {}, "anna")
    with pytest.raises(Invalid, match="no device type 'pimp'"):
        store.request(fleet, FROM, TO, {}, {"pimp": Costs()}, "anna")
    with pytest.raises(NotFound, match="no backtest 7"):
        store.get(fleet, 7)
    for _ in range(store.MOST_WAITING):
        ask(fleet)
    with pytest.raises(Conflict, match="20 backtests are waiting"):
        ask(fleet)
    assert len(rows(fleet, "select 1 from analytics.backtest")) == store.MOST_WAITING


def test_the_analytics_worker_starts_a_process_where_one_waits_and_not_a_second_while_it_runs(
    fleet: Conn,
) -> None:
    started: list[Any] = []

    class Process:
        code: int | None = None

        def poll(self) -> int | None:
            return self.code

    def start(dsn: str) -> Any:
        started.append(Process())
        return started[-1]

    starter = jobs.Starter("", start)
    starter.look(fleet)
    assert not started, "nothing waits"
    ask(fleet)
    starter.look(fleet)
    starter.look(fleet)
    assert len(started) == 1
    started[0].code = -9
    starter.look(fleet)
    assert len(started) == 2, "it was killed and what it worked on still waits"
