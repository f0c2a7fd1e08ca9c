"""Rows are cut into frames in the order in which they count; a saved state survives a changed layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.block import Event, Reset, cuts, timely
from analytics.definitions import Definition, Metric
from analytics.fields import Field
from analytics.state import State
from kit.errors import Invalid

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=30)
NEWEST = st.lists(st.integers(0, 20), min_size=4, max_size=4)


@given(ROWS, NEWEST)
def test_a_row_counts_when_its_device_has_sent_nothing_newer(
    rows: list[tuple[int, int]], newest: list[int]
) -> None:
    slots, ts = np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], np.int64)
    kept = timely(slots, ts, np.array(newest)[slots] if rows else np.empty(0, np.int64))
    ahead, expected = list(newest), []
    for at, (slot, time) in enumerate(rows):
        if time >= ahead[slot]:
            expected.append(at)
        ahead[slot] = max(ahead[slot], time)
    assert sorted(kept.tolist()) == expected
    assert [int(slots[at]) for at in kept] == sorted(int(slots[at]) for at in kept)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_every_row_and_event_has_its_place_and_a_reset_comes_before_what_follows_it(
    rows: list[tuple[int, int]], times: list[int]
) -> None:
    rows = sorted(rows)
    slots, ts = np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], np.int64)
    events = {0: [Event(0, 0, time, "E", True, 0) for time in times]}
    resets = {0: [Reset(1, 0, 5, "*")], 1: [Reset(2, 1, 5, "*")]}
    positions, frames, placed = cuts(
        slots, np.zeros(len(rows), np.int64), ts, events if times else {}, resets
    )
    assert sorted(row for frame in frames for row in frame.rows.tolist()) == list(range(len(rows)))
    assert sum(isinstance(item, Event) for frame in frames for _, item in frame.before) == len(times)
    latest = {slot: max([time for its, time in rows if its == slot], default=-1) for slot in (0, 1)}
    latest[0] = max([latest[0], *times])
    assert {reset.id for reset in placed} == {
        number for number, slot in ((1, 0), (2, 1)) if latest[slot] >= 5
    }
    for frame in frames:
        assert [int(slots[row]) for row in frame.rows] == positions[: len(frame.rows)].tolist()


def definition(*names: str) -> Definition:
    return Definition("m", tuple(Metric(name, "1", 0, 1) for name in names), (), (), ())


def test_a_state_saved_under_another_device_type_is_laid_out_anew_by_name() -> None:
    fields = {"a": (Field("x", ("metric",)), Field("y")), "b": (Field("z", ("regime", "metric"), start=7.0),)}
    old, new = State(definition("p", "q", "r"), fields), State(definition("r", "s", "p"), fields)
    old.grow(1)
    new.grow(1)
    work = old.gather(np.array([0]))
    work["a"]["x"][0], work["a"]["y"][0], work["b"].pages("z", 0)[:] = (
        [1, 2, 3],
        9,
        np.arange(9).reshape(3, 3),
    )
    old.scatter(np.array([0]))
    (saved,) = old.dump(np.array([0]))
    new.load(0, saved, old.layout)
    found = new.gather(np.array([0]))
    assert found["a"]["x"][0].tolist() == [3, 0, 1]
    assert found["a"]["y"][0] == 9
    assert found["b"].pages("z", 0).tolist() == [[2, 7, 0], [5, 7, 3], [8, 7, 6]]


def test_a_state_of_the_wrong_length_is_refused() -> None:
    state = State(definition("p"), {"a": (Field("x", ("metric",)),)})
    state.grow(1)
    with pytest.raises(Invalid, match="2 numbers"):
        state.load(0, np.zeros(2).tobytes())
    with pytest.raises(Invalid, match="2 numbers"):
        state.load(0, np.zeros(2).tobytes(), [{"field": "a.x", "axes": [["p", "q", "r"]]}])
