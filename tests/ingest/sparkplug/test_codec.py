from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.message import Refused
from ingest.sparkplug import names
from ingest.sparkplug.codec import Metric, Payload, Type, decode, encode, wire

numbers = st.integers(0, 2**64 - 1)
text = st.text("aZ0 /_泵é\0")
RANGES = {
    Type.INT8: (-(2**7), 2**7 - 1), Type.INT16: (-(2**15), 2**15 - 1), Type.INT32: (-(2**31), 2**31 - 1),
    Type.INT64: (-(2**63), 2**63 - 1), Type.UINT8: (0, 2**8 - 1), Type.UINT16: (0, 2**16 - 1),
    Type.UINT32: (0, 2**32 - 1), Type.UINT64: (0, 2**64 - 1),
}  # fmt: skip


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    raw, datatype = draw(
        st.one_of(
            st.tuples(st.booleans(), st.just(Type.BOOLEAN)),
            st.tuples(st.floats(allow_nan=False), st.just(Type.DOUBLE)),
            st.tuples(st.floats(width=32, allow_nan=False), st.just(Type.FLOAT)),
            st.tuples(text, st.just(Type.STRING)),
            st.tuples(st.integers(0, 2**32 - 1), st.just(Type.UINT32)),
            st.tuples(numbers, st.sampled_from((Type.UINT64, Type.INT64, Type.DATETIME))),
        )
    )
    return Metric(
        draw(st.none() | text), draw(st.none() | numbers), draw(st.none() | numbers), datatype, raw,
        draw(st.none() | text.filter(bool)), draw(st.booleans()), draw(st.booleans()),
    )  # fmt: skip


@given(
    st.builds(Payload, st.none() | numbers, st.none() | st.integers(0, 255), st.lists(metrics()).map(tuple))
)
def test_a_payload_survives_the_wire(payload: Payload) -> None:
    assert decode(encode(payload)) == payload


@given(st.data(), st.sampled_from(sorted(RANGES)))
def test_every_integer_type_gives_its_value_whichever_width_the_wire_has(
    data: st.DataObject, kind: Type
) -> None:
    value = data.draw(st.integers(*RANGES[kind]))
    assert Metric("m", datatype=kind, raw=wire(value, kind)).value(None) == value
    if kind in (Type.INT8, Type.INT16, Type.INT32):  # some encoders sign-extend into the 32 bits of the field
        assert Metric("m", raw=value & 0xFFFFFFFF).value(kind) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_refused_in_words(data: bytes) -> None:
    try:
        found: object = decode(data)
    except Refused as error:
        found = error.reason
    assert isinstance(found, Payload) or found in ("malformed", "bad_sequence")


def test_the_bytes_are_those_of_the_specification() -> None:
    payload = Payload(1, 2, (Metric("a", 3, 4, Type.INT32, 5),))
    assert encode(payload) == bytes.fromhex("0801 120b 0a0161 1003 1804 2003 5005 1802".replace(" ", ""))


def test_a_sequence_beyond_255_is_refused() -> None:
    with pytest.raises(Refused, match="bad_sequence"):
        decode(encode(Payload(1, 256, ())))


def test_what_is_no_scalar_says_what_it_is() -> None:
    # field 17, dataset_value, an empty message
    found = decode(b"\x12\x06" + b"\x0a\x01a" + b"\x8a\x01\x00")
    assert found.metrics[0].value(None) == "<dataset>"


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/G/NBIRTH", "spBv1.0/G/DDATA/E", "spBv1.0/G/NDATA/E/D", "spBv1.0/STATE/host", "spBv1.0//NDATA/E",
     "spBv1.0/G/NCMD/E", "spBv1.0/G/NDATA/" + "e" * 101],
)  # fmt: skip
def test_other_topics_of_the_namespace_are_refused(topic: str) -> None:
    with pytest.raises(Refused, match="unknown_topic"):
        names.address(topic)


def test_names_become_ours() -> None:
    assert names.metric("Inlet/Temperature (2)") == "inlet_temperature_2"
    assert names.metric("Node Control/Rebirth") is None
    assert names.uid("{group}:{edge}:{device}", "g", "e", "d") == "g:e:d"
    assert names.uid("{group}:{edge}:{device}", "g", "e", "") == "g:e"
    assert names.uid("{device}", "g", "e", "") == "e"


def test_any_id_becomes_a_uid_that_a_device_may_have() -> None:
    template = "{group}:{edge}:{device}"
    assert names.uid(template, "Plant 1", "Edge/2", "Pump #3") == "Plant_1:Edge_2:Pump__3"
    assert names.uid(template, "a:b", "c", "") != names.uid(template, "a", "b", "c")
    one, other = (names.uid(template, group, "e", "d") for group in ("车间一", "车间二"))
    assert one != other
    for name in (one, other, names.uid("{device}", "g", "泵", ""), names.uid(template, "_g", "-", "d")):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", name), name
