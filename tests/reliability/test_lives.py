"""From events to lives, groups and analyses; no database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.reliability import analysis, groups, lifetimes, lives
from analytics.reliability.lives import Life
from analytics.reliability.record import Catalog, Event, Record, Unit
from analytics.reliability.terms import Count
from kit.errors import NotFound

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1000)
CATALOG = Catalog(
    {("pump", "wear"): "bearing", ("pump", "crack"): "bearing", ("pump", "leak"): "seal"},
    {("pump", "E1"): "wear", ("pump", "E9"): None},
)


def unit(number: int = 1, *, age: float = 0.0, hours: float = 1000.0, **more: Any) -> Unit:
    values: dict[str, Any] = {
        "model": "pump",
        "site": "1",
        "customer": "1",
        "watched": (START, END),
        "new": age == 0,
    } | more
    return Unit(
        number, f"P-{number}", values["model"], values["site"], values["customer"], age, age + hours,
        values["watched"], values["new"],
    )  # fmt: skip


def event(at: float, *, device: int = 1, age: float | None = None, **more: Any) -> Event:
    """`at` hours after START, by which the device has run as long (plus `age` at START)."""
    values: dict[str, Any] = {
        "kind": "breakdown", "component": "bearing", "mode": "wear", "cause": "wear", "codes": frozenset(),
        "renews": True, "repair_hours": 2.0, "lasted": 2.0, "order_id": int(at * 10) + device, "visible": True,
    } | more  # fmt: skip
    begins, ends = START + timedelta(hours=at), START + timedelta(hours=at + values["lasted"])
    base = age or 0.0
    return Event(
        device, values["kind"], values["component"], values["mode"], values["cause"], values["codes"], begins, ends,
        base + at, base + at + values["lasted"], values["renews"], values["repair_hours"], (begins, ends),
        values["order_id"], f"WO-{values['order_id']}", values["visible"],
    )  # fmt: skip


def record(units: list[Unit], events: list[Event], since: datetime = START) -> Record:
    return Record(since, END, units, events, CATALOG)


def told(
    of: Record, key: str = "pump/bearing", by: Any = "component", count: Count = "all", **more: Any
) -> list[tuple[float, float, str]]:
    item = lives.item(of, by, key)
    return [(life.entry, life.end, life.how) for life in lives.lives(of, item, count, **more)]


def test_a_failure_ends_a_life_and_its_repair_begins_one() -> None:
    assert told(record([unit()], [event(400)])) == [(0, 400, "failed"), (0, 598, "running")]


def test_a_device_that_never_failed_is_a_life_that_still_runs() -> None:
    assert told(record([unit()], [])) == [(0, 1000, "running")]


def test_a_planned_replacement_suspends_the_life() -> None:
    planned = event(400, kind="replaced", mode=None, cause=None, lasted=0)
    assert told(record([unit()], [planned])) == [(0, 400, "suspended"), (0, 600, "running")]


def test_what_was_prevented_is_a_failure_or_suspended_as_one_asks() -> None:
    of = record([unit()], [event(400, kind="prevented")])
    assert told(of)[0] == (0, 400, "failed")
    assert told(of, count="breakdowns")[0] == (0, 400, "suspended")


def test_needless_and_planned_work_touches_no_life() -> None:
    events = [event(300, kind="needless"), event(500, kind="planned", component=None)]
    assert told(record([unit()], events)) == [(0, 1000, "running")]


def test_another_mode_of_the_component_suspends_the_modes_life_and_another_component_does_not() -> None:
    of = record([unit()], [event(300, mode="crack"), event(600, component="seal", mode="leak")])
    assert told(of, "pump/wear", "failure_mode") == [(0, 300, "suspended"), (0, 698, "running")]
    assert told(of, "pump/bearing")[0] == (0, 300, "failed")


def test_a_fault_code_fails_when_it_announced_the_failure() -> None:
    of = record([unit()], [event(300, codes=frozenset({"E1"})), event(700)])
    assert [how for _, _, how in told(of, "pump/E1", "fault_code")] == ["failed", "suspended", "running"]


def test_a_component_older_than_the_record_enters_late_or_is_left_out() -> None:
    of = record([unit(age=5000)], [event(400, age=5000)])
    assert told(of) == [(5000, 5400, "failed"), (0, 598, "running")]
    assert told(of, origin="observed") == [(0, 598, "running")]


def test_what_happened_before_the_period_says_how_old_a_component_is() -> None:
    since = START + timedelta(hours=500)
    watched = unit(age=500, hours=500, watched=(since, END), new=False)
    of = Record(since, END, [watched], [event(400)], CATALOG)
    assert told(of) == [(98, 598, "running")]
    assert told(of, origin="observed") == [(98, 598, "running")], "its beginning is on record"


def test_a_repair_that_renewed_nothing_lets_the_old_life_go_on() -> None:
    assert told(record([unit()], [event(400, renews=False)])) == [(0, 400, "failed"), (402, 1000, "running")]


def test_a_fault_that_began_before_the_last_renewal_is_no_life_of_its_own() -> None:
    overlapping = [event(400, lasted=50), event(420, lasted=40, mode="crack")]
    assert told(record([unit()], overlapping)) == [(0, 400, "failed"), (0, 550, "running")]


def test_a_part_that_fails_at_once_has_lived_a_counters_step() -> None:
    first, again = event(400), event(402)
    assert told(record([unit()], [first, again]))[1] == (0, lives.RESOLUTION, "failed")


def test_an_item_that_no_model_has_is_refused() -> None:
    with pytest.raises(NotFound, match="model/name"):
        lives.item(record([unit()], []), "component", "pump/wing")


@given(
    st.lists(st.tuples(st.floats(0, 999), st.floats(0, 50), st.sampled_from(["breakdown", "prevented", "replaced"]),
                       st.booleans()), max_size=8),
    st.floats(0, 1e5),
)  # fmt: skip
def test_lives_never_overlap_and_never_exceed_what_was_watched(
    happened: list[tuple[float, float, str, bool]], age: float
) -> None:
    events = [event(at, age=age, lasted=min(lasted, 1000 - at), kind=kind, renews=renews or kind == "replaced")
              for at, lasted, kind, renews in happened]  # fmt: skip
    found = told(record([unit(age=age)], events))
    assert all(0 <= entry < end for entry, end, _ in found)
    total = sum(end - entry for entry, end, _ in found)
    assert total <= 1000 + lives.RESOLUTION * (len(events) + 1) + 1e-6
    assert sum(how == "running" for _, _, how in found) <= 1


def figures(of: Record, by: Any, count: Count = "all") -> dict[str, groups.Figures]:
    return {row.key: row for row in groups.figures(of, groups.pools(of, by), 0.9, count)}


def test_mtbf_pools_the_hours_of_all_and_counts_what_was_asked_for() -> None:
    of = record([unit(1), unit(2), unit(3, hours=400)], [event(400), event(500, device=2, kind="prevented")])
    row = figures(of, "model")["pump"]
    assert (row.devices, row.hours, row.failures, row.breakdowns) == (3, 2400, 2, 1)
    assert row.mtbf is not None
    assert row.mtbf.value == 1200
    only = figures(of, "model", "breakdowns")["pump"]
    assert only.mtbf is not None
    assert only.mtbf.value == 2400
    assert set(figures(of, "component")) == {"pump/bearing", "pump/seal"}
    assert figures(of, "component")["pump/seal"].failures == 0


def test_a_group_without_hours_has_no_mtbf_and_one_without_failures_a_lower_bound_only() -> None:
    row = figures(record([unit(hours=0, watched=None)], []), "model")["pump"]
    assert (row.mtbf, row.mttr, row.inherent, row.operational) == (None, None, None, None)
    healthy = figures(record([unit()], []), "model")["pump"].mtbf
    assert healthy is not None
    assert (healthy.value, healthy.upper) == (None, None)
    assert healthy.lower == pytest.approx(434.29, abs=0.01)


def test_availability_inherent_by_repair_alone_operational_with_all_waiting() -> None:
    row = figures(record([unit()], [event(400, lasted=50.0, repair_hours=2.0)]), "device")["P-1"]
    assert row.inherent == pytest.approx(1000 / 1002)
    assert row.operational == pytest.approx(0.95)
    assert row.down_hours == 50


def test_two_stops_at_once_are_one() -> None:
    both = [event(400, lasted=50.0), event(420, lasted=50.0, component="seal", mode="leak")]
    row = figures(record([unit()], both), "model")["pump"]
    assert row.operational == pytest.approx(1 - 70 / 1000)


def test_planned_work_makes_a_machine_unavailable_but_no_component_unreliable() -> None:
    planned = event(400, kind="planned", component=None, mode=None, lasted=10.0, renews=False)
    of = record([unit()], [planned])
    assert figures(of, "model")["pump"].operational == pytest.approx(0.99)
    assert figures(of, "model")["pump"].failures == 0
    assert figures(of, "component")["pump/bearing"].operational == 1


def test_a_hidden_order_counts_as_a_failure_but_shows_nothing_of_itself() -> None:
    row = figures(record([unit()], [event(400, visible=False), event(700)]), "model")["pump"]
    assert (row.failures, len(row.order_ids), row.operational) == (2, 1, None)
    assert row.mttr is not None
    assert row.mttr.repairs == 1


def test_months_share_hours_failures_and_stops() -> None:
    january, february = START, datetime(2026, 2, 1, tzinfo=UTC)
    of = record([unit()], [event(740, lasted=8.0)])  # begins in January, ends in February
    rows = groups.figures(of, groups.pools(of, "period", [(january, 744.0), (february, 256.0)]), 0.9, "all")
    assert [(row.key, row.hours, row.failures) for row in rows] == [("2026-01", 744, 1), ("2026-02", 256, 0)]
    assert rows[0].operational == pytest.approx(1 - 4 / 744)
    assert rows[1].operational == pytest.approx(1 - 4 / 256)


@given(st.lists(st.tuples(st.floats(-50, 150), st.floats(-50, 150)), max_size=8))
def test_covered_hours_are_those_of_the_union(pairs: list[tuple[float, float]]) -> None:
    spans = [(START + timedelta(hours=min(pair)), START + timedelta(hours=max(pair))) for pair in pairs]
    found = groups.covered(spans, START, START + timedelta(hours=100))
    steps = sum(any(min(pair) <= hour + 0.5 <= max(pair) for pair in pairs) for hour in range(100))
    assert 0 <= found <= 100 + 1e-9
    assert abs(found - steps) <= len(pairs) * 2 + 1e-6


def some_lives(ends: list[float], failed: list[bool], entries: list[float] | None = None) -> list[Life]:
    begins = entries or [0.0] * len(ends)
    return [
        Life(n, f"P-{n}", "bearing", begin, end, "failed" if dead else "running", None)
        for n, (end, dead, begin) in enumerate(zip(ends, failed, begins, strict=True))
    ]


def test_survival_counts_late_comers_from_their_age_on() -> None:
    points = lifetimes.kaplan_meier([100, 200, 300], [True, True, False], 0.9, [0, 150, 150])
    assert [(point.time, point.at_risk, point.survival) for point in points] == [(100, 1, 0.0), (200, 2, 0.0)]
    points = lifetimes.kaplan_meier([100, 200, 300], [True, True, False], 0.9, [0, 50, 150])
    assert [(point.at_risk, point.survival) for point in points] == [(2, 0.5), (2, 0.25)]


def test_plotting_positions_are_the_middles_of_the_steps() -> None:
    points = lifetimes.kaplan_meier([1.0, 2.0, 3.0, 4.0], [True] * 4)
    assert lifetimes.plotting_positions(points) == [(1, 0.125), (2, 0.375), (3, 0.625), (4, 0.875)]


@pytest.mark.parametrize(
    ("ends", "failed", "code"),
    [
        ([], [], "empty"),
        ([100.0, 200.0], [False, False], "all_censored"),
        ([100.0, 200.0], [True, False], "one_failure"),
        ([100.0, 100.0], [True, True], "same_time"),
    ],
)
def test_what_cannot_be_fitted_is_answered_with_a_reason_and_no_nan(
    ends: list[float], failed: list[bool], code: str
) -> None:
    found = analysis.of_lives(some_lives(ends, failed), 0.9, (10, 100))
    assert found.fit is None
    assert found.reason is not None
    assert found.reason.code == code
    assert (found.b10, found.constant_p, found.replacement) == (None, None, None)
    json.dumps(
        [found.survival and [vars(p) for p in found.survival], found.positions, found.straight],
        allow_nan=False,
    )


def test_wear_is_told_from_chance() -> None:
    worn = analysis.of_lives(some_lives([900.0, 950, 1000, 1040, 1100, 1150], [True] * 6), 0.9, (100, 2000))
    assert worn.fit is not None
    assert worn.constant_p is not None
    assert worn.constant_p < 0.01
    assert worn.straight is not None
    assert worn.straight > 0.9
    assert worn.replacement is not None
    assert worn.replacement.age is not None


def test_recurrence_runs_on_the_pooled_hours_of_the_group() -> None:
    units = [unit(1), unit(2, hours=500)]
    days = [(START, 0.0), (END, 1500.0)]
    found = analysis.recur(units, [event(200), event(600), event(100, device=2)], days, 0.9)
    assert list(found.times) == pytest.approx([150, 300, 900])
    assert found.crow is not None
    assert (found.crow.failures, found.crow.total) == (3, 1500)
    assert [(point.time, point.at_risk) for point in found.mean] == [(100, 2), (200, 2), (600, 1)]
    assert found.mean[-1].mean == pytest.approx(0.5 + 0.5 + 1)


def test_recurrence_of_one_machine_has_no_interval_and_says_so() -> None:
    found = analysis.recur([unit()], [event(200), event(600)], [(START, 0.0), (END, 1000.0)], 0.9)
    assert [point.mean for point in found.mean] == [1, 2]
    assert {(point.error, point.lower, point.upper) for point in found.mean} == {(None, None, None)}
    assert found.note is not None
    assert found.note.code == "one_device"


def test_machines_that_failed_equally_often_lend_no_interval_until_one_fails_more() -> None:
    units, days = [unit(1), unit(2)], [(START, 0.0), (END, 2000.0)]
    alike = analysis.recur(units, [event(200), event(600, device=2)], days, 0.9)
    assert [point.error is None for point in alike.mean] == [False, True]
    assert alike.note is not None
    assert alike.note.code == "no_spread"
    unlike = analysis.recur(units, [event(200), event(600, device=2), event(700)], days, 0.9)
    last = unlike.mean[-1]
    assert last.lower is not None
    assert last.upper is not None
    assert last.lower < last.mean < last.upper
    assert unlike.note is None


def test_recurrence_of_nothing_is_a_reason() -> None:
    assert (analysis.recur([], [], [], 0.9).reason or None) is not None
    healthy = analysis.recur([unit()], [], [(START, 0.0), (END, 1000.0)], 0.9)
    assert healthy.reason is not None
    assert (healthy.reason.code, list(healthy.mean), healthy.note) == ("few_events", [], None)
