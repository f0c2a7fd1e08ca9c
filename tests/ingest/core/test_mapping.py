"""Other JSON, read by a mapping; units."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import mapping, units
from ingest.store import Store
from kit.database import Conn
from kit.errors import Invalid
from kit.settings import Ingest
from tests.ingest.core.conftest import NOW, arrival, take

FILE = """
[[mapping]]
topic = "plant/{line}/{unit}/data"
uid = "{line}-{unit}"
items = "batch[*]"
ts = "meta.time"
ts_unit = "s"
seq = "n"
[[mapping.value]]
metric = "vibration"
path = "sensors[0].rms"
unit = "in/s"
[[mapping.value]]
metric = "temperature"
path = "$.t"
unit = "°F"
"""


def test_a_mapped_message_is_stored_in_the_units_of_the_model(writer: Conn, tmp_path: Path) -> None:
    path = tmp_path / "mappings.toml"
    path.write_text(FILE, encoding="utf-8")
    store = Store(Ingest(mappings=path), door="collector")
    time = NOW.timestamp()
    batch = [{"meta": {"time": time - n}, "n": n, "sensors": [{"rms": 0.5}], "t": 50 + n} for n in range(3)]
    batch[2]["meta"] = {"time": "noon"}
    written = take(writer, store, [arrival("plant/P/1/data", {"batch": batch})])
    assert (written.rows, written.refused) == (2, {"bad_time": 1})
    read = writer.execute("select metric, value from ingest.reading order by ts desc, metric").fetchall()
    assert [name for name, _ in read] == ["temperature", "vibration"] * 2
    assert [value for _, value in read] == pytest.approx([10, 12.7, 10 + 5 / 9, 12.7])


def test_a_mapped_message_without_its_fields_is_refused(writer: Conn) -> None:
    store = Store(Ingest(), door="collector", formats=mapping.parse(tomllib.loads(FILE)))
    for body in ({}, {"batch": []}, {"batch": [{"x": 1}]}, 7):
        assert take(writer, store, [arrival("plant/P/1/data", body)]).refused == {"bad_fields": 1}
    wrong = {"batch": [{"sensors": [{"rms": "high"}], "t": 50}]}
    assert take(writer, store, [arrival("plant/P/1/data", wrong)]).refused == {"not_a_number": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"topic": 3}, "topic"),
        ({"topic": "a/x{uid}"}, "whole level"),
        ({"topic": "a/{uid}/{uid}"}, "redefinition"),
        ({"uid": "{other}"}, "other"),
        ({"ts_unit": "year"}, "ts_unit"),
        ({"items": "batch"}, r"\[\*\]"),
        ({"value": []}, "no \\[\\[mapping.value"),
        ({"value": [{"metric": "a", "path": "x..y"}]}, "path"),
        ({"value": [{"metric": "a", "path": "x", "unit": "furlong"}]}, "furlong"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(change: dict[str, Any], says: str) -> None:
    entry = {"topic": "a/{uid}", "value": [{"metric": "a", "path": "x"}]} | change
    with pytest.raises(Invalid, match=says):
        mapping.parse({"mapping": [entry]})


steps = st.lists(st.sampled_from(["a", "b", "long name"]) | st.integers(0, 3), min_size=1, max_size=5)


@given(steps, st.integers())
def test_a_path_reaches_what_was_put_there(path: list[str | int], value: int) -> None:
    tree: Any = value
    for step in reversed(path):
        tree = {step: tree} if isinstance(step, str) else [None] * step + [tree]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    assert mapping.reach(json.loads(json.dumps(tree)), mapping.path_of("test", text)) == value


@given(st.sampled_from(sorted(units.UNITS)), st.sampled_from(sorted(units.UNITS)), st.floats(-1e6, 1e6))
def test_units_convert_there_and_back_within_a_dimension(source: str, target: str, value: float) -> None:
    if units.UNITS[source][0] != units.UNITS[target][0]:
        with pytest.raises(Invalid, match="cannot be converted"):
            units.conversion(source, target)
        return
    there, back = units.conversion(source, target), units.conversion(target, source)
    assert (value * there[0] + there[1]) * back[0] + back[1] == pytest.approx(value, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [(1, "bar", "psi", 14.5037738), (212, "°F", "°C", 100), (0, "°C", "K", 273.15), (90, "min", "h", 1.5),
     (1, "in/s", "mm/s", 25.4), (3000, "rpm", "Hz", 50), (36, "m³/h", "L/s", 10)],
)  # fmt: skip
def test_known_conversions_are_right(value: float, source: str, target: str, expected: float) -> None:
    factor, offset = units.conversion(source, target)
    assert value * factor + offset == pytest.approx(expected)
