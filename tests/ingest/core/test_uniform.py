"""Decoding many messages at once gives what decoding one by one gives, or nothing at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import payload
from ingest.message import Row
from ingest.uniform import NO_SEQ, Decoder

NAMES = ("flow", "vibration")
RECEIVED = 1_700_000_000_000_000
TS = 1_700_000_000_000
decode = Decoder(NAMES)

NUMBER = st.floats(-1e9, 1e9) | st.integers(-1000, 1000)
GOOD = st.fixed_dictionaries(
    {"values": st.fixed_dictionaries(dict.fromkeys(NAMES, NUMBER))},
    optional={
        "ts": st.integers(0, 2 * TS) | st.floats(0, 2 * TS) | st.just("2026-11-24T07:30:00.123456Z"),
        "seq": st.integers(0, 2**63 - 1),
    },
)


def together(payloads: list[bytes]) -> list[tuple[int | None, int | None, tuple[float, ...]]] | None:
    part = decode(payloads, list(range(len(payloads))), [RECEIVED] * len(payloads))
    if part is None:
        return None
    rows = zip(part.ts.tolist(), part.seq.tolist(), map(tuple, part.values.tolist()), strict=True)
    return [(ts, None if seq == NO_SEQ else seq, values) for ts, seq, values in rows]


@given(st.lists(GOOD, min_size=1, max_size=6))
def test_plain_messages_come_out_as_they_do_one_by_one(bodies: list[dict[str, Any]]) -> None:
    alone = []
    for body in bodies:
        (row,) = payload.telemetry(json.dumps(body).encode())
        assert isinstance(row, Row)
        ts = RECEIVED if row.ts is None else row.ts
        alone.append((ts, row.seq, tuple(row.values[name] for name in NAMES)))
    assert together([json.dumps(body).encode() for body in bodies]) == alone


PLAIN = b'{"ts": 1700000000000, "values": {"flow": 1, "vibration": 2}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"7",
        b"[]",
        PLAIN[:-1],
        PLAIN + b"," + PLAIN,
        b'{"ts": null, "values": {"flow": 1, "vibration": 2}}',
        b'{"values": {"flow": 1}}',
        b'{"values": {"flow": 1, "vibration": 2, "more": 3}}',
        b'{"values": {"flow": 1, "flow": 3, "vibration": 2}}',
        b'{"values": {"flow": true, "vibration": 2}}',
        b'{"values": {"flow": NaN, "vibration": 2}}',
        b'{"values": {"flow": 1e999, "vibration": 2}}',
        b'{"units": {}, "values": {"flow": 1, "vibration": 2}}',
        b'{"ts": "2026-11-24T07:30:00", "values": {"flow": 1, "vibration": 2}}',
        b'{"ts": 1e300, "values": {"flow": 1, "vibration": 2}}',
        b'{"ts": 1000000000000000000000, "values": {"flow": 1, "vibration": 2}}',
        b'{"seq": -1, "values": {"flow": 1, "vibration": 2}}',
        b'{"seq": 9223372036854775808, "values": {"flow": 1, "vibration": 2}}',
        b'{"values": {"flow": 1, "vibration": 2, "\xff": 1}}',
        b" " * (payload.MAX_BYTES + 1) + PLAIN,
    ],
)
def test_one_that_is_not_plain_spoils_the_lot(body: bytes) -> None:
    assert together([PLAIN, PLAIN]) is not None
    assert together([PLAIN, body, PLAIN]) is None
    assert together([body]) is None


def test_payloads_cannot_reach_into_each_other() -> None:
    """Halves that would make a whole with what stands between, and one that brings two to make up for another."""
    half, rest = b'{"values": {"flow": 1, "x": [1', b'2], "vibration": 2}}'
    assert together([half, rest]) is None
    assert together([PLAIN + b",1," + PLAIN, PLAIN[:20], PLAIN[20:]]) is None
    assert together([PLAIN + b",1," + PLAIN, b"", PLAIN]) is None
    assert together([PLAIN + b",1", b"1," + PLAIN]) is None
