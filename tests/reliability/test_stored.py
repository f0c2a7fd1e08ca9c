"""The stored record: ages at moments, and the same figures in SQL and in Python."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from analytics.reliability import lives
from api.queries import reliability, reliability_ranking, reliability_record
from api.queries.reliability_record import Ask
from kit import clock
from kit.database import Conn, rows, scalar
from tests.conftest import utc
from tests.fsm_core import factory
from tests.reliability import history

FIRST = date(2026, 3, 1)
NOW = utc("2026-03-31 00:00")
MARCH_10 = utc("2026-03-10 00:00")


@pytest.fixture
def world(db: Conn) -> factory.World:
    """One pump that ran 24 h a day in March and had run 5,000 before; one new in March that ran 12 h a day."""
    made = factory.world(db)
    clock.set_rate(db, 0, sim=NOW)
    history.ran(db, made.device, FIRST, 30, life=5000)
    history.ran(db, factory.device(db, made.site, uid="new"), FIRST, 30, per_day=12)
    return made


def life_at(conn: Conn, device: int, at: datetime | str) -> float:
    return float(scalar(conn, "select reports.life_at(%s, %s)", (device, at)))


@pytest.mark.parametrize(
    ("at", "hours"),
    [("-infinity", 5000), ("2026-03-01 00:00+00", 5000), ("2026-03-01 06:00+00", 5006), ("2026-03-11 12:00+00", 5252),
     ("2026-03-31 00:00+00", 5720), ("infinity", 5720)],
)  # fmt: skip
def test_the_age_of_a_device_at_a_moment(db: Conn, world: factory.World, at: str, hours: float) -> None:
    assert life_at(db, world.device, at) == pytest.approx(hours)


def test_a_day_without_a_counted_reading_and_an_exchanged_counter_change_no_age(
    db: Conn, world: factory.World
) -> None:
    db.execute(
        """update ingest.run_hours_day set counted = 0, first_ts = null, ts = null, raw = null, life = null
           where device_id = %s and day = '2026-03-11'""",
        (world.device,),
    )
    db.execute(  # a counter set back to 3: what it shows is not what the machine has run
        "update ingest.run_hours_day set raw = 3 where device_id = %s and day > '2026-03-11'", (world.device,)
    )
    assert life_at(db, world.device, "2026-03-11 12:00+00") == pytest.approx(5252)
    assert life_at(db, world.device, "2026-03-12 12:00+00") == pytest.approx(5276)


def test_the_age_at_an_event_is_that_of_its_moment_on_whatever_day(db: Conn, world: factory.World) -> None:
    # first heard of at 06:00; one day without a counted reading, one without any, one counted until 18:00
    for change in (
        """update ingest.run_hours_day set hours = 18, counted = 18, first_ts = day + interval '6 hours'
           where device_id = %s and day = '2026-03-01'""",
        """update ingest.run_hours_day set counted = 0, first_ts = null, ts = null, raw = null, life = null
           where device_id = %s and day = '2026-03-11'""",
        "delete from ingest.run_hours_day where device_id = %s and day = '2026-03-13'",
        """update ingest.run_hours_day set counted = 20, ts = day + interval '18 hours', life = life - 4
           where device_id = %s and day = '2026-03-15'""",
    ):
        db.execute(change, (world.device,))
    days = (1, 2, 11, 13, 15, 20)
    for day in days:
        at = utc(f"2026-03-{day:02} 05:00")
        history.order(db, world.device, at, at + timedelta(hours=15))
    found = reliability_record.record(db, None, Ask()).events
    assert [event.at.day for event in found] == list(days)
    for event in found:
        assert event.age == pytest.approx(life_at(db, world.device, event.at), abs=1e-9)
        assert event.age_after == pytest.approx(life_at(db, world.device, event.ended), abs=1e-9)


@pytest.mark.parametrize(
    "moment",
    ["2026-02-10 05:00", "2026-03-01 03:00", "2026-03-01 09:30", "2026-03-11 05:00", "2026-03-12 05:00",
     "2026-03-13 05:00", "2026-03-14 05:00", "2026-03-15 20:00", "2026-03-16 01:00", "2026-03-30 23:00"],
)  # fmt: skip
def test_a_period_takes_the_devices_at_the_age_they_had_at_its_ends(
    db: Conn, world: factory.World, moment: str
) -> None:
    new = scalar(db, "select id from ingest.device where uid = 'new'")
    for change in (  # first heard of at 06:00; two days it stood still, and two without a counted reading
        """update ingest.run_hours_day set hours = 18, counted = 18, first_ts = day + interval '6 hours'
           where device_id = %s and day = '2026-03-01'""",
        "delete from ingest.run_hours_day where device_id = %s and day in ('2026-03-11', '2026-03-12')",
        "update ingest.run_hours_day set life = life - 48 where device_id = %s and day > '2026-03-12'",
        """update ingest.run_hours_day set counted = 0, first_ts = null, ts = null, raw = null, life = null
           where device_id = %s and day in ('2026-03-13', '2026-03-14')""",
        """update ingest.run_hours_day set counted = 20, ts = day + interval '18 hours', life = life - 4
           where device_id = %s and day = '2026-03-15'""",
    ):
        db.execute(change, (world.device,))
    db.execute(  # its first days have no counted reading
        """update ingest.run_hours_day set counted = 0, first_ts = null, ts = null, raw = null, life = null
           where device_id = %s and day < '2026-03-04'""",
        (new,),
    )
    at = utc(moment)
    after = reliability_record.record(db, None, Ask(since=at)).units
    before = reliability_record.record(db, None, Ask(since=utc("2026-01-01 00:00"), until=at)).units
    assert [unit.age_from for unit in after] == pytest.approx(
        [life_at(db, u.id, at) for u in after], abs=1e-9
    )
    assert [unit.age_to for unit in before] == pytest.approx(
        [life_at(db, u.id, at) for u in before], abs=1e-9
    )


def test_a_device_that_never_reported_has_no_age(db: Conn, world: factory.World) -> None:
    silent = factory.device(db, world.site, uid="silent")
    assert scalar(db, "select reports.life_at(%s, 'infinity')", (silent,)) is None
    found = reliability.table(db, None, Ask(by="device", device="silent"))
    (row,) = found.items
    assert (row.figures.hours, row.figures.mtbf, row.figures.operational) == (0, None, None)


def test_lives_from_the_database_are_in_operating_hours(db: Conn, world: factory.World) -> None:
    failed = history.order(db, world.device, MARCH_10)
    of = reliability_record.record(db, None, Ask())
    found = lives.lives(of, lives.item(of, "component", "pump-p100/bearing"), "all")
    assert [(round(life.entry), round(life.end), life.how, life.order_id) for life in found] == [
        (5000, 5216, "failed", failed), (0, 502, "running", None), (0, 360, "running", None),
    ]  # fmt: skip
    assert [unit.new for unit in of.units] == [False, True]


def test_a_part_exchanged_by_planned_work_is_suspended(db: Conn, world: factory.World) -> None:
    planned = history.order(
        db, world.device, MARCH_10, type="maintenance", cause=None, component=None, mode=None
    )
    history.replaced(db, world.device, planned, "bearing", MARCH_10)
    history.replaced(db, world.device, planned, "*", MARCH_10)
    of = reliability_record.record(db, None, Ask())
    found = lives.lives(of, lives.item(of, "component", "pump-p100/bearing"), "all")
    assert [life.how for life in found if life.device == world.device] == ["suspended", "running"]


def test_needless_and_unfinished_orders_are_in_no_figure(db: Conn, world: factory.World) -> None:
    history.order(db, world.device, MARCH_10, type="condition", cause="no_fault_found", remedy="inspect")
    history.order(
        db, world.device, MARCH_10, state="in_progress", mode="seal_leak", component="mechanical_seal"
    )
    history.order(
        db, world.device, MARCH_10, state="cancelled", mode="seal_leak", component="mechanical_seal"
    )
    assert reliability.table(db, None, Ask(by="model")).failures == 0


def _panels(conn: Conn, since: datetime, until: datetime) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (row["by"], f"{row['model']}/{row['key']}" if row["by"] in ("component", "failure_mode") else row["key"]): row
        for row in rows(conn, "select * from reports.mtbf_between(%s, %s)", (since, until))
    }  # fmt: skip


def test_grafana_and_the_console_tell_the_same(db: Conn, world: factory.World) -> None:
    history.order(db, world.device, MARCH_10)
    history.order(db, world.device, MARCH_10 + timedelta(days=5), type="condition", mode="seal_leak",
                  component="mechanical_seal")  # fmt: skip
    history.order(db, world.device, MARCH_10 + timedelta(days=9), cause="no_fault_found")
    since, until = utc("2026-03-05 06:00"), utc("2026-03-25 18:00")
    panels, compared = _panels(db, since, until), 0
    for by in ("model", "component", "failure_mode", "site"):
        for row in reliability.table(db, None, Ask(by=by, since=since, until=until)).items:
            panel, of = panels[by, row.figures.key], row.figures
            assert of.mtbf is not None
            assert (of.devices, of.failures, of.breakdowns) == (
                panel["devices"],
                panel["failures"],
                panel["breakdowns"],
            )
            assert list(of.order_ids) == panel["order_ids"]
            told = (of.hours, of.mtbf.value, of.mtbf.lower, of.mtbf.upper)
            for mine, theirs in zip(
                told, (panel[name] for name in ("hours", "mtbf", "low", "high")), strict=True
            ):
                assert (mine is None) == (theirs is None), by
                assert mine is None or mine == pytest.approx(theirs, rel=1e-6), by
            compared += 1
    assert compared == 2 + 2 * len({key for kind, key in panels if kind == "component"})
    repair = reliability.table(db, None, Ask(by="model", since=since, until=until)).items[0].figures
    assert repair.mttr is not None
    assert repair.mttr.mean == pytest.approx(scalar(db, "select avg(repair_hours) from reports.mttr"))
    assert repair.down_hours == pytest.approx(scalar(db, "select avg(down_hours) from reports.mttr"))


def test_a_breakdown_stands_since_the_fault_and_a_prevented_failure_since_the_work(
    db: Conn, world: factory.World
) -> None:
    done = MARCH_10 + timedelta(hours=20)
    history.order(db, world.device, MARCH_10, done, worked=3)
    history.order(
        db, world.device, MARCH_10 + timedelta(days=3), done + timedelta(days=3), type="condition", worked=3
    )
    stops = rows(db, "select kind, down_hours from reports.stop order by order_id")
    assert stops == [{"kind": "breakdown", "down_hours": 20}, {"kind": "prevented", "down_hours": 3}]
    row = reliability.table(db, None, Ask(by="device")).items[0].figures
    assert row.operational == pytest.approx(1 - 23 / 720)
    assert row.down_hours == pytest.approx(11.5)


def test_months_add_up_to_the_whole(db: Conn, world: factory.World) -> None:
    history.ran(db, factory.device(db, world.site, uid="longer"), date(2026, 1, 15), 70, per_day=10)
    history.order(db, world.device, MARCH_10)
    found = reliability.table(db, None, Ask(by="period"))
    assert [row.figures.key for row in found.items] == ["2026-01", "2026-02", "2026-03"]
    assert sum(row.figures.hours for row in found.items) == pytest.approx(found.hours)
    assert [row.figures.hours for row in found.items[:2]] == [170, 280]
    assert [row.figures.failures for row in found.items] == [0, 0, 1]


def test_a_failure_belongs_to_the_codes_that_announced_it(db: Conn, world: factory.World) -> None:
    for minutes, code in ((-30, "E101"), (-25, "E101"), (-2000, "E102"), (-10, "W010")):
        db.execute(
            """insert into ingest.fault_code (model, code, severity, failure_mode, text_en, text_zh)
               values ('pump-p100', %s, %s, %s, 'text', '文字') on conflict do nothing""",
            (code, 4 if code == "W010" else 2, None if code == "W010" else "bearing_wear"),
        )
        db.execute(
            "insert into ingest.fault_event (batch_id, device_id, ts, code, active) values (1, %s, %s, %s, true)",
            (world.device, MARCH_10 + timedelta(minutes=minutes), code),
        )
    history.order(db, world.device, MARCH_10)
    found = {
        row.figures.key: row.figures.failures
        for row in reliability.table(db, None, Ask(by="fault_code")).items
    }
    assert found["pump-p100/E101"] == 1
    assert found["pump-p100/E102"] == 0, "raised more than a day before"
    assert "pump-p100/W010" not in found, "it only informs"
    bars = reliability_ranking.ranking(db, None, Ask(), "fault_code")
    assert {bar.key: bar.weight for bar in bars} == {"pump-p100/E101": 1, "pump-p100/E102": 1}, (
        "chatter counts once"
    )


def test_an_empty_database_is_answered(db: Conn) -> None:
    for by in reliability.KINDS:
        found = reliability.table(db, None, Ask(by=by))
        assert (found.devices, found.failures, found.hours) == (0, 0, 0)
    assert reliability.growth(db, None, Ask()).reason is not None
    assert reliability_ranking.ranking(db, None, Ask(), "component") == []


def test_the_period_cuts_lives_on_both_sides(db: Conn, world: factory.World) -> None:
    history.order(db, world.device, utc("2026-03-05 00:00"))
    ask = Ask(since=MARCH_10, until=utc("2026-03-20 00:00"))
    of = reliability_record.record(db, None, ask)
    found = lives.lives(of, lives.item(of, "component", "pump-p100/bearing"), "all")
    assert [(round(life.entry), round(life.end), life.how) for life in found] == [
        (118, 358, "running"), (108, 228, "running"),
    ]  # fmt: skip
