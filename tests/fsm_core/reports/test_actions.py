"""Service reports on a real database: versions, signatures, and what cannot be changed any more."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from fsm_core.parts import actions as parts
from fsm_core.reports import actions, store
from kit.database import Conn
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from tests.fsm_core.factory import FINANCE, SYSTEM, T0, engineer
from tests.fsm_core.parts.house import House, house, order, stocked, visit

PATH = "M 10 10 L 60 30"
LATER = T0 + timedelta(hours=1)


@pytest.fixture
def here(db: Conn) -> House:
    made = house(db)
    stocked(db, made, van=5)
    return made


@pytest.fixture
def order_id(db: Conn, here: House) -> int:
    made = order(db, here.world)
    visit_id = visit(db, made, here.technician, minutes=0)
    db.execute("update fsm.visit set working_since = %s where id = %s", (T0, visit_id))
    parts.reserve_for(db, made, here.technician, SYSTEM, T0)
    parts.consume(db, visit_id, here.part, Decimal(1), SYSTEM, T0)
    db.execute(
        "update fsm.work_order set cause_code = 'wear', remedy_code = 'replaced', note = 'runs smooth' where id = %s",
        (made,),
    )
    return made


def test_a_report_says_what_was_done_in_both_languages(db: Conn, order_id: int) -> None:
    report = actions.draft(db, order_id, SYSTEM, LATER)
    assert (report.version, report.intact, report.signed_at) == (1, True, None)
    body = report.body
    assert body["order"]["type_zh"] == "维修"
    assert body["order"]["note"] == "runs smooth"
    assert body["order"]["cause_en"]
    assert body["order"]["cause_zh"]
    assert [(part["sku"], part["quantity"]) for part in body["parts"]] == [("BRG-6310", "1")]
    assert body["visits"][0]["worked_minutes"] == 60


def test_a_signed_report_is_signed_and_stays_as_it_is(db: Conn, order_id: int, here: House) -> None:
    actions.draft(db, order_id, SYSTEM, LATER)
    assert not store.is_signed(db, order_id)
    signed = actions.sign(db, order_id, " Wang ", PATH, engineer(here.technician), LATER)
    assert (signed.signed_by, signed.signature, signed.signed_at) == ("Wang", PATH, LATER)
    assert store.is_signed(db, order_id)
    with pytest.raises(Conflict, match="was signed by Wang"):
        actions.sign(db, order_id, "Li", PATH, SYSTEM, LATER)
    for change in ("update fsm.service_report set signed_by = 'Li'", "delete from fsm.service_report"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="make a new version"):
            db.execute(change)  # type: ignore[arg-type]


def test_drafting_again_without_a_change_gives_the_signed_version(db: Conn, order_id: int) -> None:
    actions.draft(db, order_id, SYSTEM, LATER)
    signed = actions.sign(db, order_id, "Wang", PATH, SYSTEM, LATER)
    assert actions.draft(db, order_id, SYSTEM, LATER + timedelta(hours=1)) == signed


def test_hours_grow_in_a_draft_until_it_is_signed(db: Conn, order_id: int) -> None:
    actions.draft(db, order_id, SYSTEM, LATER)
    second = actions.draft(db, order_id, SYSTEM, LATER + timedelta(minutes=30))
    assert (second.version, second.body["visits"][0]["worked_minutes"]) == (2, 90)


def test_a_later_edit_is_a_new_version_and_the_signed_one_is_kept(db: Conn, order_id: int) -> None:
    actions.draft(db, order_id, SYSTEM, LATER)
    signed = actions.sign(db, order_id, "Wang", PATH, SYSTEM, LATER)
    db.execute("update fsm.work_order set note = 'second thoughts' where id = %s", (order_id,))
    edited = actions.draft(db, order_id, SYSTEM, LATER)
    assert (edited.version, edited.signed_at) == (2, None)
    assert not store.is_signed(db, order_id)
    assert [report.version for report in store.versions(db, order_id)] == [2, 1]
    assert store.versions(db, order_id)[1] == signed


def test_a_report_that_is_out_of_date_is_not_signed(db: Conn, order_id: int) -> None:
    actions.draft(db, order_id, SYSTEM, LATER)
    db.execute("update fsm.work_order set note = 'second thoughts' where id = %s", (order_id,))
    with pytest.raises(Conflict, match="changed since"):
        actions.sign(db, order_id, "Wang", PATH, SYSTEM, LATER)


def test_nothing_is_signed_without_a_report_a_name_and_a_stroke(db: Conn, order_id: int) -> None:
    with pytest.raises(Conflict, match="write it first"):
        actions.sign(db, order_id, "Wang", PATH, SYSTEM, LATER)
    actions.draft(db, order_id, SYSTEM, LATER)
    with pytest.raises(Invalid, match="name"):
        actions.sign(db, order_id, " ", PATH, SYSTEM, LATER)
    with pytest.raises(Invalid, match="signature"):
        actions.sign(db, order_id, "Wang", "<svg>", SYSTEM, LATER)
    assert not store.is_signed(db, order_id)


def test_finance_writes_no_reports_and_unknown_orders_have_none(db: Conn, order_id: int) -> None:
    with pytest.raises(Forbidden):
        actions.draft(db, order_id, FINANCE, LATER)
    with pytest.raises(Forbidden):
        actions.sign(db, order_id, "Wang", PATH, FINANCE, LATER)
    with pytest.raises(NotFound):
        actions.draft(db, 999, SYSTEM, LATER)
