"""Other JSON, read by a mapping; units."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import dead_letters, mapping, units
from ingest.message import Item, Refused, Row, Spoilt
from ingest.reasons import REASONS
from ingest.store import Store
from kit.database import Conn, scalar
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
path = "t"
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
        ({"items": 4}, r"\[\*\]"),
        ({"uid": 4}, "uid must be a text"),
        ({"uid": "{uid"}, "uid must be a text"),
        ({"topic": "a/+/{uid}"}, "whole level"),
        ({"ts": 4}, "path"),
        ({"value": [{"metric": "a", "path": "x[99999]"}]}, "path"),
        ({"value": [{"metric": "a", "path": "x", "units": "h"}]}, "units"),
        ({"value": [{"metric": "a", "path": "x"}, {"metric": "a", "path": "y"}]}, "twice"),
        ({"value": ["a"]}, "no table"),
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


def test_a_mapping_file_holds_mappings_and_nothing_else() -> None:
    wrong: list[dict[str, Any]] = [{"mapping": {"topic": "a/{uid}"}}, {"mappings": []}]
    for data in wrong:
        with pytest.raises(Invalid, match="mapping file"):
            mapping.parse(data)


DEEP = """
[[mapping]]
topic = "gw/{uid}"
items = "lots[*].samples[*]"
ts = "at"
ts_unit = "ns"
seq = "$.head.n"
[[mapping.value]]
metric = "flow"
path = "q"
[[mapping.value]]
metric = "temperature"
path = "$.head.ambient"
unit = "degF"
"""
DEEP_BODY = {"head": {"n": 7, "ambient": "68", "rest": "x" * 500},
             "lots": [{"samples": [{"at": 1764072000123456789, "q": "1.5"}, {"at": "noon", "q": 2}]},
                      {"samples": []}, {"x": 1}, {"samples": [{"at": "1764072001000000000", "q": True}]}]}  # fmt: skip


def test_arrays_within_arrays_numbers_as_text_and_what_stands_beside_the_items() -> None:
    (entry,) = mapping.parse(tomllib.loads(DEEP))
    first, spoilt, last = entry.rows(json.dumps(DEEP_BODY).encode())
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(spoilt, Spoilt)
    assert (first.ts, first.seq, first.values) == (
        1764072000123456, 7, {"flow": 1.5, "temperature": 68.0}
    )  # fmt: skip
    assert (last.ts, last.values["flow"], last.units) == (1764072001000000, 1.0, {"temperature": "degF"})
    assert spoilt.reason == "bad_time"
    assert "Item 2 of 3" in spoilt.detail


def test_an_item_alone_is_a_message_of_the_same_mapping() -> None:
    (entry,) = mapping.parse(tomllib.loads(DEEP))
    first, spoilt, _ = entry.rows(json.dumps(DEEP_BODY).encode())
    assert isinstance(first, Row)
    assert first.alone is not None
    assert isinstance(spoilt, Spoilt)
    assert entry.rows(first.alone()) == [first]
    assert (
        len(first.alone()) < 200
    )  # what the mapping does not read is left out: a thousand bad items stay small
    with pytest.raises(Refused, match="number of ns"):
        raise_spoilt(entry.rows(spoilt.payload))


def raise_spoilt(items: list[Item]) -> None:
    (only,) = items
    assert isinstance(only, Spoilt)
    raise Refused(only.reason, only.detail)


def test_a_spoilt_item_is_replayed_once_its_mapping_is_mended(writer: Conn) -> None:
    wrong = Store(Ingest(), door="collector", formats=mapping.parse(tomllib.loads(FILE)))
    batch = [{"meta": {"time": "2026"}, "n": 1, "sensors": [{"rms": 0.5}], "t": 50},
             {"meta": {"time": NOW.isoformat()}, "n": 2, "sensors": [{"rms": 0.5}], "t": 50}]  # fmt: skip
    assert take(writer, wrong, [arrival("plant/P/1/data", {"batch": batch})]).refused == {
        "clock_not_set": 1, "bad_time": 1
    }  # fmt: skip
    mended = Store(
        Ingest(), door="replay", formats=mapping.parse(tomllib.loads(FILE.replace('"s"', '"iso"')))
    )
    assert len(dead_letters.replay(writer, "bad_time", mended).stored) == 1
    assert writer.execute("select count(*) from ingest.telemetry").fetchall() == [(1,)]


@pytest.mark.parametrize("items", ["batch[*]", "[*]"])
def test_an_item_refused_for_its_time_is_kept_alone_and_can_be_replayed(writer: Conn, items: str) -> None:
    formats = mapping.parse(tomllib.loads(FILE.replace("batch[*]", items)))
    store = Store(Ingest(), door="collector", formats=formats)
    batch = [{"meta": {"time": n}, "n": n, "sensors": [{"rms": 0.5}], "t": 50} for n in range(40)]
    body: Any = batch if items == "[*]" else {"batch": batch}
    assert take(writer, store, [arrival("plant/P/1/data", body)]).refused == {"clock_not_set": 40}
    assert scalar(writer, "select max(size) from ingest.dead_letter") < 200
    assert set(dead_letters.replay(writer, "clock_not_set", store).refused.values()) == {"clock_not_set"}


@pytest.mark.parametrize("time", [float("nan"), float("inf"), 1e300, True, "", "12 h", [], "9" * 400, "٣"])
def test_a_time_that_is_none_is_refused(time: Any) -> None:
    (entry,) = mapping.parse(tomllib.loads(DEEP.replace('"lots[*].samples[*]"', '"[*]"')))
    (only,) = entry.rows(json.dumps([{"at": time, "q": 1}]).encode())
    assert isinstance(only, Spoilt)
    assert only.reason == "bad_time"


KEYS = st.sampled_from(["lots", "samples", "at", "q", "head", "n"])
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@given(anything)
def test_any_json_gives_items_or_a_listed_reason(body: Any) -> None:
    (entry,) = mapping.parse(tomllib.loads(DEEP))
    try:
        items = entry.rows(json.dumps(body).encode())
    except Refused as error:
        items = [Spoilt(b"", error.reason, error.detail)]
    assert all(
        isinstance(item, Row) or (isinstance(item, Spoilt) and item.reason in REASONS) for item in items
    )


steps = st.lists(st.sampled_from(["a", "b", "long name"]) | st.integers(0, 3), min_size=1, max_size=5)


@given(steps, st.integers())
def test_a_path_reaches_what_was_put_there(path: list[str | int], value: int) -> None:
    tree: Any = value
    for step in reversed(path):
        tree = {step: tree} if isinstance(step, str) else [None] * step + [tree]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    assert mapping.reach(json.loads(json.dumps(tree)), mapping.path_of("test", text).steps) == value


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
     (1, "in/s", "mm/s", 25.4), (3000, "rpm", "Hz", 50), (36, "m³/h", "L/s", 10), (1, "kgf/cm2", "kPa", 98.0665),
     (1, "kW·h", "MJ", 3.6), (1, "hours", "min", 60), (36, "m^3 / h", "L/s", 10), (60, "l/min", "L/s", 1),
     (1, "℃", "K", 274.15), (1, "t/h", "kg/s", 1 / 3.6), (1, "\u03bcm", "mm", 1e-3)],
)  # fmt: skip
def test_known_conversions_are_right(value: float, source: str, target: str, expected: float) -> None:
    factor, offset = units.conversion(source, target)
    assert value * factor + offset == pytest.approx(expected)


def test_zero_and_a_hundred_degrees_come_out_exactly() -> None:
    factor, offset = units.conversion("degF", "°C")
    assert [32 * factor + offset, 212 * factor + offset] == [0.0, 100.0]


@pytest.mark.parametrize("unit", ["barg", "psia", "mpa", "mw", "", "x" * 10_000])
def test_a_unit_that_could_be_two_things_is_not_guessed(unit: str) -> None:
    assert units.canonical(unit) is None
