"""Fault codes event by event: chatter, pairs of raise and clear, counts in a window; worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.block import Block, Event, Reset
from analytics.definitions import HOUR, Code
from analytics.engine import Engine
from analytics.rules import Rules
from tests.analytics.machines import PUMP, START

# E101 is severity 2 and W201 severity 3, of bearing wear and seal leak; E102 joins E101
TYPE = type(PUMP)(
    PUMP.model, PUMP.metrics, PUMP.modes, PUMP.symptoms, (*PUMP.codes, Code("E102", 1, "bearing_wear")), ()
)
Sent = list[tuple[float, str, bool]]


def found(
    sent: Sent, *, rows: tuple[float, ...] = (), resets: tuple[Reset, ...] = ()
) -> list[tuple[object, ...]]:
    """(hour, kind, mode, hour it began, severity) of what a device's events and the rows between them bring, one batch
    each."""
    engine, said = Engine(TYPE, Rules()), []
    moments = sorted(
        [(hour, code, active) for hour, code, active in sent] + [(hour, "", True) for hour in rows]
    )
    waiting = list(resets)
    for at, (hour, code, active) in enumerate(moments):
        ts = START + round(hour * HOUR)
        one = np.array([at]), np.array([1]), np.array([ts]), np.array([at]), np.array([at])
        block = engine.nothing() if code else Block(*one, np.full((1, 5), np.nan), np.array([3.0]))
        done = engine.step(block, [Event(at, 1, ts, code, active, at)] if code else [], waiting)
        waiting = [reset for reset in waiting if reset not in done.applied]
        said += [finding for _, finding in done.findings]
    hours = [((f.ts - START) / HOUR, f.kind, f.mode, (f.since - START) / HOUR, f.severity) for f in said]
    return [(pytest.approx(a), *rest[:2], pytest.approx(rest[2]), rest[3]) for a, *rest in hours]


def test_a_severe_code_raises_at_once_and_clears_when_it_has_been_gone_for_two_hours() -> None:
    assert found([(1, "E101", True), (4, "E101", False)], rows=(5.9, 6.0)) == [
        (1, "raise", "bearing_wear", 1, 2),
        (6, "clear", "bearing_wear", 4, 2),
    ]


def test_a_code_that_returns_before_its_alarm_has_cleared_keeps_it_open() -> None:
    on_and_off: Sent = [(1, "E101", True), (2, "E101", False), (3.9, "E101", True), (4, "E101", False)]
    assert [one[:2] for one in found(on_and_off, rows=(5.9, 6.1))] == [(1, "raise"), (6.1, "clear")]


def test_an_alarm_clears_when_all_its_codes_have_gone() -> None:
    sent: Sent = [(1, "E101", True), (1.5, "E102", True), (2, "E101", False), (9, "E102", False)]
    assert [one[:2] for one in found(sent, rows=(8, 11))] == [(1, "raise"), (11, "clear")]


@pytest.mark.parametrize(
    ("occurrences", "raised"),
    [
        ((0, 10, 20), True),  # three within a day
        ((0, 12, 23.9), True),
        ((0, 12, 24.2), False),  # the first is out of the window
        ((0, 10), False),
        ((0, 0.4, 0.8, 1.2, 10), False),  # chatter: four come again within half an hour of the last change
        ((0, 0.7, 1.4), True),  # gone for longer than that: three occurrences
    ],
)
def test_a_mild_code_raises_at_its_third_occurrence_within_a_day_and_chatter_is_one(
    occurrences: tuple[float, ...], raised: bool
) -> None:
    sent = [change for at in occurrences for change in ((at + 1, "W201", True), (at + 1.1, "W201", False))]
    expected = [(occurrences[-1] + 1, "raise", "seal_leak", occurrences[0] + 1, 3)] if raised else []
    assert found(sent) == expected


def test_a_code_told_again_while_it_stands_is_the_same_occurrence() -> None:
    assert found([(at, "W201", True) for at in (1, 5, 9, 13, 17)]) == []


def test_what_is_cleared_without_a_raise_unknown_or_older_than_the_newest_changes_nothing() -> None:
    assert found([(1, "E101", False), (2, "E999", True)], rows=(5,)) == []
    engine = Engine(TYPE, Rules())
    for at, (hour, active) in enumerate(((4, True), (5, False), (3, True))):  # the last one comes late
        found_late = engine.step(
            engine.nothing(), [Event(at, 1, START + hour * HOUR, "E101", active, at)]
        ).findings
    assert found_late == []
    gone = engine.step(engine.nothing(), [Event(9, 1, START + 8 * HOUR, "W010", True, 9)]).findings
    assert [finding.kind for _, finding in gone] == ["clear"]  # the late "active" did not keep it open


def test_a_repair_closes_the_alarm_and_a_code_that_comes_again_is_a_new_one() -> None:
    sent: Sent = [(1, "E101", True), (8, "E101", True)]
    repaired = Reset(1, 1, START + 6 * HOUR, "bearing")
    assert found(sent, rows=(7,), resets=(repaired,)) == [
        (1, "raise", "bearing_wear", 1, 2),
        (6, "clear", "bearing_wear", 6, 2),
        (8, "raise", "bearing_wear", 8, 2),
    ]
