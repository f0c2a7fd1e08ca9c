"""Run-hours in the database: late data, replacements, what is reported."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ingest import run_hours, worker
from ingest.store import Store
from kit.database import Conn, rows, scalar
from kit.errors import Invalid, NotFound
from tests.ingest.core.conftest import HOUR, NOW, dump, take, telemetry

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=3)


def life(conn: Conn) -> float:
    return float(scalar(conn, "select life from ingest.run_hours where device_id = 1"))


def days(conn: Conn) -> list[float]:
    return [float(row["hours"]) for row in rows(conn, "select hours from ingest.run_hours_day order by day")]


def test_a_counter_replaced_at_620_with_one_showing_3_continues_the_total(writer: Conn, store: Store) -> None:
    take(
        writer,
        store,
        [telemetry(at=MIDNIGHT, run_hours=618), telemetry(at=MIDNIGHT + 2 * HOUR, run_hours=620)],
    )
    after = telemetry(at=MIDNIGHT + 6 * HOUR, run_hours=3)
    assert take(writer, store, [after]).refused == {"hours_unexplained": 1}
    assert life(writer) == 620
    run_hours.declare(writer, "P-1", MIDNIGHT + 3 * HOUR, 621, 1)
    assert life(writer) == 623
    assert days(writer) == pytest.approx([5])
    assert dump(writer, "quarantine")["quarantine"] == []
    take(writer, store, [telemetry(at=MIDNIGHT + 10 * HOUR, run_hours=7)])
    assert life(writer) == 627


def test_a_replacement_declared_beforehand_is_no_surprise(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry(at=MIDNIGHT, run_hours=620)])
    run_hours.declare(writer, "P-1", MIDNIGHT + HOUR, 621, 0)
    assert take(writer, store, [telemetry(at=MIDNIGHT + 5 * HOUR, run_hours=4)]).refused == {}
    assert life(writer) == 625


def test_a_wrong_declaration_is_refused(writer: Conn) -> None:
    with pytest.raises(NotFound):
        run_hours.declare(writer, "nobody", NOW, 1, 0)
    with pytest.raises(Invalid):
        run_hours.declare(writer, "P-1", NOW, -1, 0)


def test_what_runs_faster_than_time_is_reported_and_not_counted(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry(at=MIDNIGHT, run_hours=100)])
    assert take(writer, store, [telemetry(at=MIDNIGHT + HOUR, run_hours=500)]).refused == {
        "hours_faster_than_time": 1
    }
    assert life(writer) == 100
    (reported,) = rows(writer, "select item, value, detail from ingest.quarantine")
    assert (reported["item"], reported["value"]) == ("run_hours", "500")
    assert "faster than time" in reported["detail"]


def test_a_late_old_reading_changes_nothing(writer: Conn, store: Store) -> None:
    for hour in (0, 2, 4):
        take(writer, store, [telemetry(at=MIDNIGHT + hour * HOUR, run_hours=100 + hour)])
    before = dump(writer, "run_hours", "run_hours_day")
    take(writer, store, [telemetry(at=MIDNIGHT + 3 * HOUR, run_hours=103)])
    assert scalar(writer, "select count(*) from ingest.run_hours_dirty") == 0
    assert dump(writer, "run_hours", "run_hours_day") == before


def test_hours_of_late_data_go_to_the_days_they_ran_on(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry(at=MIDNIGHT, run_hours=100)])
    take(writer, store, [telemetry(at=MIDNIGHT + 48 * HOUR, run_hours=124)])
    assert days(writer) == pytest.approx([12, 12, 0])
    take(writer, store, [telemetry(at=MIDNIGHT + 24 * HOUR, run_hours=124)])
    assert worker.recount(writer)
    assert days(writer) == pytest.approx([24, 0, 0])
    assert life(writer) == 124
    assert not worker.recount(writer)


def test_data_older_than_the_first_reading_counts_once_it_is_here(writer: Conn, store: Store) -> None:
    take(writer, store, [telemetry(at=MIDNIGHT + 10 * HOUR, run_hours=5)])
    assert life(writer) == 5
    take(writer, store, [telemetry(at=MIDNIGHT, run_hours=995)])
    worker.recount(writer)
    assert life(writer) == 1005
    assert days(writer) == pytest.approx([10])


def test_a_recount_needs_no_raw_rows_older_than_the_day_before(writer: Conn, store: Store) -> None:
    for hour in range(0, 72, 6):
        take(writer, store, [telemetry(at=MIDNIGHT + hour * HOUR, run_hours=100 + hour)])
    before = dump(writer, "run_hours", "run_hours_day")
    writer.execute("delete from ingest.telemetry where ts < %s", (MIDNIGHT + 47 * HOUR,))
    run_hours.recount(writer, 1, MIDNIGHT + 49 * HOUR)
    assert dump(writer, "run_hours", "run_hours_day") == before
