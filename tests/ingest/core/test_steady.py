"""Counting a whole batch at once gives what counting one by one gives, and leaves the rest to that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import steady
from ingest.arrays import NEVER
from ingest.counters import DAY, HOUR, Counter, Folded, fold
from ingest.steady import Counters, Days

AT = Counter(1000 * HOUR, 620.0, 5620.0)
STEPS = st.lists(st.tuples(st.integers(-5, 2500), st.floats(-0.02, 1.03)), min_size=1, max_size=8)
Readings = list[tuple[int, float]]


def batch(
    given: dict[int, Readings], known: dict[int, Counter], apart: tuple[int, ...] = ()
) -> tuple[Counters, Days, set[int]]:
    """Counted, and the devices that were left."""
    rows = sorted((device, ts, raw) for device, found in given.items() for ts, raw in found)
    device, ts, raw = (np.array(column) for column in zip(*rows, strict=True))
    before = steady.counters([(d, c.ts, c.raw, c.life) for d, c in sorted(known.items())])
    counters, days, rest = steady.count(device, ts, raw.astype(float), before, np.array(apart, np.int64))
    return counters, days, set(device[rest].tolist())


def rows(columns: Any, *names: str) -> list[tuple[float, ...]]:
    found = zip(*(getattr(columns, name).tolist() for name in names), strict=True)
    return sorted(tuple(-1.0 if value != value else value for value in row) for row in found)


@given(st.dictionaries(st.integers(1, 5), STEPS, min_size=1), st.sets(st.integers(1, 5)))
def test_what_is_counted_at_once_is_what_folding_counts(
    steps: dict[int, list[tuple[int, float]]], known: set[int]
) -> None:
    given_: dict[int, Readings] = {}
    for device, found in steps.items():
        at, shown = AT.ts, AT.raw
        for minutes, rate in found:
            at, shown = at + minutes * HOUR // 60, max(0.0, shown + minutes / 60 * rate)
            given_.setdefault(device, []).append((at, shown))
    counters, days, left = batch(given_, dict.fromkeys(known, AT))
    folded: dict[int, Folded] = {}
    for device, readings in given_.items():
        done = fold(AT if device in known else None, sorted(readings))
        if device not in left:
            assert (done.odd, done.late) == ([], [])
            folded[device] = done
    wanted, wanted_days = steady.of_folded(folded)
    assert rows(counters, "device", "ts", "raw") == rows(wanted, "device", "ts", "raw")
    assert sorted(counters.life.tolist()) == pytest.approx(sorted(wanted.life.tolist()))
    found_days = {row[:2]: row[2:] for row in rows(days, *Days.__dataclass_fields__)}
    for *key, hours, counted, first, ts, raw, life in rows(wanted_days, *Days.__dataclass_fields__):
        row = found_days.pop((key[0], key[1]))
        assert row[:2] == pytest.approx((hours, counted))
        assert row[2:5] == (first, ts, raw)
        assert row[5] == pytest.approx(life)
    assert all(row == (0.0, 0.0, NEVER, NEVER, -1.0, -1.0) for row in found_days.values())


def test_ordinary_growth_is_counted_at_once_and_nothing_else_is() -> None:
    later = AT.ts + HOUR
    readings: dict[int, Readings] = {
        1: [(later, 620.5), (later + HOUR, 621.5)],
        2: [(later, 625.0)],  # faster than time
        3: [(later, 619.0)],  # backwards
        4: [(AT.ts, 620.0)],  # late
        5: [(AT.ts + 3 * DAY, 621.0)],  # a gap of days
        6: [(later, 620.5)],  # set apart
        7: [(later, 17.0)],  # never heard of
    }
    counters, days, left = batch(readings, dict.fromkeys(range(1, 7), AT), apart=(6,))
    assert left == {2, 3, 4, 5, 6}
    assert rows(counters, "device", "raw", "life") == [(1, 621.5, 5621.5), (7, 17.0, 17.0)]
    assert rows(days, "device", "hours") == [(1, 1.5), (7, 0.0)]


def test_hours_over_midnight_belong_to_both_days() -> None:
    midnight = AT.ts // DAY * DAY + DAY
    counter = Counter(midnight - HOUR, 100.0, 100.0)
    _, days, left = batch({1: [(midnight + HOUR, 102.0), (midnight + 2 * HOUR, 103.0)]}, {1: counter})
    assert left == set()
    day = midnight // DAY
    assert rows(days, "day", "hours", "counted") == [(day - 1, 1.0, 0.0), (day, 2.0, 2.0)]
