"""Codecs: bytes in, rows and reasons out."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import payload
from ingest.message import Codec, Item, Refused, Row, Spoilt, State, clean
from ingest.reasons import REASONS

names = st.text(st.characters(categories=("L", "N"), max_codepoint=0x9FFF), min_size=1, max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
messages = st.fixed_dictionaries(
    {"values": st.dictionaries(names, finite, min_size=1, max_size=6)},
    optional={"ts": st.integers(0, 4_000_000_000_000), "seq": st.integers(0, 2**63 - 1)},
)


def row(found: list[Any]) -> Row:
    assert len(found) == 1
    assert isinstance(found[0], Row)
    return found[0]


@given(messages)
def test_quick_and_careful_agree_on_good_messages(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    careful = row(payload.telemetry(data))
    quick = payload.quick(data)
    if quick is not None:
        ts = None if quick.ts is None else payload.micros(quick.ts)
        assert (ts, quick.seq, quick.values) == (careful.ts, careful.seq, careful.values)
    assert careful.values == {name: float(value) for name, value in body["values"].items()}
    assert careful.bad == []


@given(messages)
def test_plain_messages_take_the_quick_way(body: dict[str, Any]) -> None:
    assert payload.quick(json.dumps(body, ensure_ascii=False).encode()) is not None


keys = st.sampled_from(["ts", "values", "seq", "code", "active", "online", "reason", "units", "x"])
scalars = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers()
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200) | trees.map(lambda tree: json.dumps(tree).encode()))
def test_anything_gives_items_or_a_listed_reason(data: bytes) -> None:
    for codec in (payload.telemetry, payload.thingsboard, payload.faults, payload.states):
        items, refused = decoded(codec, data)
        assert bool(items) != (refused is not None)
        assert refused is None or REASONS[refused].scope == "message"
        for item in items:
            if isinstance(item, Row):
                assert all(math.isfinite(value) for value in item.values.values())
                assert all(REASONS[bad.reason].scope == "value" for bad in item.bad)
            elif isinstance(item, Spoilt):
                assert REASONS[item.reason].scope == "message"


def decoded(codec: Codec, data: bytes) -> tuple[list[Item], str | None]:
    try:
        return codec(data), None
    except Refused as error:
        return [], error.reason


@given(st.text() | st.text(st.characters(categories=["Cs"])))
def test_cleaned_text_can_be_stored(text: str) -> None:
    safe = clean(text, 20)
    assert "\0" not in safe
    assert len(safe) <= 20
    assert safe.encode("utf-8").decode("utf-8") == safe


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[]", "empty"),
        (b'{"values": {}}', "empty"),
        (b" " * (payload.MAX_BYTES + 1) + b"1", "oversized"),
        (b'{"values": {"a\xff": 1}}', "bad_utf8"),
        (b'{"values": {"a": 1}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"7", "bad_fields"),
        (b"null", "bad_fields"),
        (b'{"ts": 1}', "bad_fields"),
        (b'{"values": [1, 2]}', "bad_fields"),
        (b'{"values": {"a": 1}, "units": 3}', "bad_fields"),
        (b'{"ts": 1, "ts": 2, "values": {"a": 1}}', "duplicate_key"),
        (b'{"ts": "yesterday", "values": {"a": 1}}', "bad_time"),
        (b'{"ts": "2026-11-24T07:30:00", "values": {"a": 1}}', "bad_time"),
        (b'{"ts": true, "values": {"a": 1}}', "bad_time"),
        (b'{"ts": NaN, "values": {"a": 1}}', "bad_time"),
        (b'{"seq": -1, "values": {"a": 1}}', "bad_sequence"),
        (b'{"seq": 1.5, "values": {"a": 1}}', "bad_sequence"),
        (b'{"seq": 9223372036854775808, "values": {"a": 1}}', "bad_sequence"),
    ],
)
def test_a_bad_message_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert payload.quick(data) is None
    with pytest.raises(Refused) as refused:
        payload.telemetry(data)
    assert refused.value.reason == reason
    assert refused.value.detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("true", "not_a_number"),
        ('"12"', "not_a_number"),
        ("null", "not_a_number"),
        ("[1]", "not_a_number"),
        ("NaN", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e999", "not_finite"),
        ("9" * 400, "not_finite"),
    ],
)
def test_a_bad_value_leaves_the_rest_of_its_message(value: str, reason: str) -> None:
    data = f'{{"ts": 1700000000000, "values": {{"a": 1, "b": {value}, "c": 3}}}}'.encode()
    assert payload.quick(data) is None
    found = row(payload.telemetry(data))
    assert found.values == {"a": 1.0, "c": 3.0}
    assert [(bad.item, bad.reason) for bad in found.bad] == [("b", reason)]


def test_a_name_that_comes_twice_is_not_guessed() -> None:
    data = b'{"values": {"a": 1, "b": 2, "a": 3}}'
    assert payload.quick(data) is None
    found = row(payload.telemetry(data))
    assert found.values == {"b": 2.0}
    assert [bad.reason for bad in found.bad] == ["duplicate_value"]


@pytest.mark.parametrize("name", ["", "x" * 64, "a\\u0000b", "\\ud800"])
def test_a_name_nobody_can_store_is_refused(name: str) -> None:
    found = row(payload.telemetry(f'{{"values": {{"{name}": 1, "ok": 2}}}}'.encode()))
    assert found.values == {"ok": 2.0}
    assert [bad.reason for bad in found.bad] == ["bad_name"]


def test_a_bad_item_of_a_batch_leaves_its_neighbours() -> None:
    good, spoilt, last = payload.telemetry(
        b'[{"values": {"a": 1}}, {"ts": "?", "values": {"a": 2}}, {"values": {"a": 3}}]'
    )
    assert isinstance(good, Row)
    assert isinstance(last, Row)
    assert isinstance(spoilt, Spoilt)
    assert spoilt.reason == "bad_time"
    assert json.loads(spoilt.payload) == {"ts": "?", "values": {"a": 2}}


def test_times_come_as_milliseconds_or_iso_8601() -> None:
    at = datetime(2026, 11, 24, 7, 30, 0, 250_000, tzinfo=UTC)
    us = 1_795_505_400_250_000
    for ts in (
        us // 1000,
        us / 1000,
        at.isoformat(),
        "2026-11-24T07:30:00.250Z",
        "2026-11-24T15:30:00.25+08:00",
    ):
        assert payload.micros(ts) == us


def test_thingsboard_json_is_read_in_all_its_forms() -> None:
    assert row(payload.thingsboard(b'{"a": 1, "b": 2.5}')).values == {"a": 1.0, "b": 2.5}
    assert row(payload.thingsboard(b'{"ts": 1700000000000, "values": {"a": 1}}')).ts == 1_700_000_000_000_000
    assert len(payload.thingsboard(b'[{"a": 1}, {"ts": 1700000000000, "values": {"a": 1}}]')) == 2
    mixed = row(
        payload.thingsboard(b'{"a": " 1e1 ", "label": "pump", "open": true, "none": null, "o": {"a": 1}}')
    )
    assert mixed.values == {"a": 10.0, "open": 1.0}
    assert {bad.item for bad in mixed.bad} == {"label", "none", "o"}
    assert {bad.reason for bad in mixed.bad} == {"not_a_number"}


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "1,5", "1.5 mm", "٣", "1" * 64])
def test_a_text_that_is_no_plain_number_is_none(text: str) -> None:
    assert payload.number(text) == text


def test_states_and_faults_have_their_defaults() -> None:
    assert payload.states(b'{"online": true}') == [State(None, True, "reported")]
    (fault,) = payload.faults(b'{"code": "E1"}')
    assert fault.active is True  # type: ignore[union-attr]
    for codec, data in ((payload.states, b'{"online": 1}'), (payload.faults, b'{"code": ""}'),
                        (payload.faults, b'{"code": "E\\u0000"}'), (payload.faults, b'{"code": "E", "active": 0}'),
                        (payload.states, b'{"online": true, "reason": 4}')):  # fmt: skip
        with pytest.raises(Refused) as refused:
            codec(data)
        assert refused.value.reason == "bad_fields"


def test_a_huge_object_of_doubled_keys_is_read_in_linear_time() -> None:
    data = b'{"values": {' + b",".join(b'"a%d": 1, "a%d": 2' % (n, n) for n in range(15_000)) + b"}}"
    assert len(row(payload.telemetry(data)).bad) == 15_000
