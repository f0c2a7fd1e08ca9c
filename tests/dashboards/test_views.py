"""The figures of the reports schema, against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from scipy import stats

from dashboards import access
from fsm_core.work_orders import actions as orders
from kit.database import Conn, connect, one, rows, scalar
from kit.errors import Invalid
from tests.dashboards.life import END, START, lived, new_order, repaired
from tests.fsm_core.factory import MANAGER, SYSTEM, T0


def mtbf(conn: Conn, by: str, key: str | None = None) -> dict[str, Any]:
    found = one(
        conn,
        'select * from reports.mtbf_between(%s, %s) where "by" = %s and (%s::text is null or key = %s)',
        (START, END, by, key, key),
    )
    assert found is not None
    return found


def test_mtbf_pools_the_hours_of_devices_that_never_failed(db: Conn) -> None:
    _, order_id = lived(db)
    row = mtbf(db, "model")
    assert (row["devices"], row["hours"], row["failures"], row["mtbf"]) == (2, 400, 1, 400)
    assert row["order_ids"] == [order_id]
    assert mtbf(db, "failure_mode", "bearing_wear")["mtbf"] == 400
    assert mtbf(db, "component", "bearing")["failures"] == 1


def test_the_interval_is_the_chi_square_one(db: Conn) -> None:
    lived(db)
    row = mtbf(db, "model")
    assert row["low"] == pytest.approx(800 / stats.chi2.ppf(0.95, 4))
    assert row["high"] == pytest.approx(800 / stats.chi2.ppf(0.05, 2))


def test_the_quantile_is_that_of_scipy(db: Conn) -> None:
    for failures in (1, 2, 3, 10, 49, 50, 400):
        for p in (0.05, 0.95):
            found = scalar(db, "select reports.chi_square(%s, %s)", (failures, p))
            assert found == pytest.approx(stats.chi2.ppf(p, 2 * failures), rel=1e-3)


def test_a_mode_without_failures_has_hours_and_a_lower_bound_only(db: Conn) -> None:
    lived(db)
    row = mtbf(db, "failure_mode", "seal_leak")
    assert (row["hours"], row["failures"], row["mtbf"], row["high"], row["order_ids"]) == (
        400,
        0,
        None,
        None,
        [],
    )
    assert row["low"] > 0


def test_planned_work_false_alarms_and_cancelled_orders_are_no_failures(db: Conn) -> None:
    here, order_id = lived(db)
    repaired(db, here, type="maintenance", hours=24)
    repaired(db, here, type="condition", cause="no_fault_found", hours=48)
    dropped = orders.open_order(db, new_order(here, "repair", "seal_leak"), SYSTEM, T0)
    orders.move_order(db, dropped.id, "cancel", MANAGER, T0, reason="mistake")
    assert [row["order_id"] for row in rows(db, "select order_id from reports.failure")] == [order_id]
    assert scalar(db, "select count(*) from reports.mttr") == 1


def test_a_prevented_failure_counts_and_is_told_apart(db: Conn) -> None:
    here, _ = lived(db)
    repaired(db, here, type="condition", hours=24)
    row = mtbf(db, "model")
    assert (row["failures"], row["breakdowns"], row["mtbf"]) == (2, 1, 200)


def test_a_failure_outside_the_period_does_not_count(db: Conn) -> None:
    lived(db)
    found = one(
        db,
        "select failures from reports.mtbf_between(%s, %s) where \"by\" = 'model'",
        (T0 + timedelta(days=1), END),
    )
    assert found == {"failures": 0}


def test_mttr_tells_hands_on_time_from_time_to_restore(db: Conn) -> None:
    lived(db)
    row = one(db, "select * from reports.mttr")
    assert row is not None
    assert (row["repair_hours"], row["restore_hours"], row["response_hours"]) == (2, 3, 1)
    assert (row["visits"], row["first_fix"]) == (1, True)


def test_the_funnel_has_the_times_of_each_state(db: Conn) -> None:
    _, order_id = lived(db)
    row = one(db, "select * from reports.order_funnel where order_id = %s", (order_id,))
    assert row is not None
    steps = [
        "opened_at",
        "accepted_at",
        "assigned_at",
        "confirmed_at",
        "started_at",
        "done_at",
        "reviewed_at",
        "settled_at",
    ]
    times = [row[step] for step in steps]
    assert times == sorted(times)
    assert row["automatic"]
    assert row["state"] == "settled"


def test_promises_are_kept_broken_or_undecided(db: Conn) -> None:
    _, order_id = lived(db)
    met = dict(db.execute("select kind, met from reports.sla where order_id = %s", (order_id,)).fetchall())
    assert met == {"accept": True, "arrive": True, "complete": True}
    late = db.execute(
        "select met from reports.sla where order_id <> %s and due_at < kit.now()", (order_id,)
    ).fetchall()
    assert late
    assert set(late) == {(False,)}


def test_costs_add_up_to_the_settlement(db: Conn) -> None:
    _, order_id = lived(db)
    row = one(db, "select * from reports.order_cost where order_id = %s", (order_id,))
    assert row is not None
    assert row["labour_cost"] + row["travel_cost"] + row["parts_cost"] == row["cost"] > 0
    assert row["margin"] == row["net"] - row["cost"]


def test_stock_is_worth_the_inventory_account(db: Conn) -> None:
    lived(db)
    account = scalar(db, "select sum(amount) from fsm.journal_line where account = 'inventory'")
    assert scalar(db, "select sum(value) from reports.stock where kind <> 'defective'") == account


def test_a_device_in_repair_is_at_fault_and_well_again_after(db: Conn) -> None:
    here, _ = lived(db)
    query = "select status, open_orders from reports.device where device_id = %s"
    assert one(db, query, (here.world.device,)) == {"status": "ok", "open_orders": 1}
    orders.open_order(db, new_order(here, "repair", "seal_leak"), SYSTEM, T0)
    assert one(db, query, (here.world.device,)) == {"status": "fault", "open_orders": 2}


def test_alarms_are_judged_by_what_the_engineers_found(db: Conn) -> None:
    here, _ = lived(db)
    repaired(db, here, type="condition", cause="no_fault_found", hours=24)
    db.execute("delete from fsm.episode_signal where order_id = %s", (repaired(db, here, hours=48),))
    row = one(db, "select * from reports.detection_quality where rule = 'shift'")
    assert row is not None
    assert {name: row[name] for name in ("raises", "orders", "confirmed", "false_alarms", "undecided", "missed")} == {
        "raises": 3, "orders": 2, "confirmed": 1, "false_alarms": 1, "undecided": 0, "missed": 1,
    }  # fmt: skip
    assert (row["precision"], row["recall"]) == (0.5, 0.5)


def test_grafanas_login_reads_the_reports_and_nothing_else(
    db: Conn, dsn: str, db_as: Callable[[str], Conn]
) -> None:
    lived(db)
    conn = db_as("meantime_grafana")
    for (view,) in db.execute("select viewname from pg_views where schemaname = 'reports'").fetchall():
        conn.execute(f"select * from reports.{view}")  # type: ignore[call-overload]
    for forbidden in (
        "select * from fsm.user_account",
        "select * from ingest.credential",
        "delete from fsm.part",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(forbidden)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="12 characters"):
        access.set_password(db, "short")
    with db.transaction(force_rollback=True):  # roles belong to the server, which other tests share
        access.set_password(db, "a-long-password")
        assert scalar(db, "select rolcanlogin from pg_roles where rolname = 'meantime_grafana'")
    with connect(dsn, role="meantime_grafana") as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("create table reports.mine ()")
