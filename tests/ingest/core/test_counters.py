"""Run-hours: what each reading of a counter means."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.counters import DAY, HOUR, Counter, Folded, Replacement, classify, fold, split

AT = Counter(1000 * HOUR, 620.0, 5620.0)


@pytest.mark.parametrize(
    ("hours_later", "raw", "kind", "added"),
    [
        (5, 623.5, "normal", 3.5),
        (5, 620.0, "normal", 0.0),
        (5, 625.0, "normal", 5.0),
        (1300, 1900.0, "normal", 1280.0),
        (5, 640.0, "faster", 0.0),
        (5, 3.0, "unexplained", 0.0),
        (5, 300.0, "backwards", 0.0),
        (0, 620.0, "late", 0.0),
        (-5, 615.0, "late", 0.0),
    ],
)
def test_a_reading_is_classified(hours_later: int, raw: float, kind: str, added: float) -> None:
    assert classify(AT, AT.ts + hours_later * HOUR, raw) == (kind, added)


def test_a_counter_that_wraps_goes_on() -> None:
    before = Counter(0, 995.0, 1995.0)
    assert classify(before, 10 * HOUR, 3.0, rolls_at=1000) == ("rollover", 8.0)
    assert classify(before, 5 * HOUR, 3.0, rolls_at=1000)[0] == "unexplained"
    assert fold(before, [(10 * HOUR, 3.0)], 1000).counter == Counter(10 * HOUR, 3.0, 2003.0)


def test_a_counter_replaced_at_620_with_one_showing_3_continues_the_total() -> None:
    exchange = Replacement(AT.ts + 2 * HOUR, 621.0, 3.0)
    done = fold(AT, [(AT.ts + 6 * HOUR, 6.5)], replaced=[exchange])
    assert done.counter == Counter(AT.ts + 6 * HOUR, 6.5, 5620.0 + 1.0 + 3.5)
    assert done.odd == []


def test_a_counter_replaced_by_a_higher_one_continues_too() -> None:
    exchange = Replacement(AT.ts + HOUR, 620.0, 9000.0)
    assert classify(AT, AT.ts + 2 * HOUR, 9001.0, replaced=[exchange]) == ("replacement", 1.0)


def test_an_undeclared_restart_is_reported_and_goes_on_from_there() -> None:
    done = fold(AT, [(AT.ts + 5 * HOUR, 3.0), (AT.ts + 6 * HOUR, 4.0)])
    assert done.counter == Counter(AT.ts + 6 * HOUR, 4.0, 5621.0)
    assert [kind for kind, *_ in done.odd] == ["unexplained"]


def test_what_runs_faster_than_time_is_refused_and_the_truth_goes_on() -> None:
    done = fold(AT, [(AT.ts + HOUR, 700.0), (AT.ts + 2 * HOUR, 622.0)])
    assert done.counter == Counter(AT.ts + 2 * HOUR, 622.0, 5622.0)
    assert [kind for kind, *_ in done.odd] == ["faster"]


def test_a_counter_of_whole_hours_may_tick() -> None:
    assert classify(Counter(0, 10.0, 10.0), HOUR // 6, 11.0) == ("normal", 1.0)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[int, float]], float]:
    """Readings of a sound counter that wraps at 1000, and the hours it really ran after the first one."""
    at, shown, ran = 20_000 * DAY // 24, draw(st.floats(0, 999)), 0.0
    readings = [(at, shown)]
    for _ in range(draw(st.integers(1, 25))):
        step = draw(st.integers(HOUR // 60, 60 * HOUR))
        hours = step / HOUR * draw(st.floats(0, 1))
        at, ran = at + step, ran + hours
        shown = (shown + hours) % 1000
        readings.append((at, shown))
    return readings, ran


@given(histories())
def test_a_sound_counter_gives_the_hours_it_ran(history: tuple[list[tuple[int, float]], float]) -> None:
    readings, ran = history
    done = fold(None, readings, 1000)
    assert done.counter is not None
    assert done.counter.life == pytest.approx(readings[0][1] + ran)
    assert sum(day.hours for day in done.days.values()) == pytest.approx(ran)
    assert done.odd == []


@given(histories(), st.randoms())
def test_readings_left_out_or_late_do_not_change_the_total(
    history: tuple[list[tuple[int, float]], float], chance: random.Random
) -> None:
    readings, _ = history
    first, *rest, last = readings
    kept = [first, *(r for r in rest if chance.random() < 0.5), last]
    # A gap longer than 1000 h could hide a whole turn of the counter; the readings above never leave one that long.
    sparse = fold(None, kept, 1000)
    if last[0] - first[0] < 900 * HOUR:
        full = fold(None, readings, 1000)
        assert sparse.counter is not None
        assert full.counter is not None
        assert sparse.counter.life == pytest.approx(full.counter.life)
    shuffled = readings[:]
    chance.shuffle(shuffled)
    late = fold(sparse.counter, shuffled, 1000)
    assert late.counter == sparse.counter
    assert late.days == {}


@given(histories(), st.integers(0, 25))
def test_folding_in_two_parts_is_folding_at_once(
    history: tuple[list[tuple[int, float]], float], at: int
) -> None:
    readings, _ = history
    whole, first = fold(None, readings, 1000), fold(None, readings[:at], 1000)
    second = fold(first.counter, readings[at:], 1000)
    assert second.counter == whole.counter
    assert _hours(first, second) == pytest.approx(_hours(whole))


def _hours(*parts: Folded) -> dict[int, float]:
    total: dict[int, float] = {}
    for part in parts:
        for number, day in part.days.items():
            total[number] = total.get(number, 0.0) + day.hours
    return total


@given(st.integers(0, 100 * DAY), st.integers(1, 40 * DAY), st.floats(0, 1000))
def test_hours_spread_over_days_add_up(since: int, span: int, hours: float) -> None:
    shares = split(since, since + span, hours)
    assert sum(share for _, share in shares) == pytest.approx(hours)
    assert all(share >= 0 for _, share in shares)
    assert {day for day, _ in shares} <= set(range(since // DAY, (since + span) // DAY + 1))
