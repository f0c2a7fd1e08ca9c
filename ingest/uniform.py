"""Many telemetry messages with the same metrics, decoded by one call into columns. Pure.

The payloads are joined into one JSON array with a random number between any two; as long as each number comes back in
its place, each payload was one complete value, whatever it tried. Typed structures refuse unknown and missing fields,
and counting the quotes finds doubled ones. Anything unusual in any message makes the whole call say None: then the
caller halves the batch, down to the message that needs a closer look.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from itertools import starmap
from operator import attrgetter
from struct import Struct
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.message import Refused
from ingest.payload import MAX_BYTES, micros

NO_SEQ = -1
_LARGEST_MS = 1 << 52
_MARK = secrets.randbits(62) | 1 << 61
_BETWEEN = f",{_MARK},".encode()
_QUOTE = ord('"')
_values, _ts, _seq = attrgetter("values"), attrgetter("ts"), attrgetter("seq")

Ints = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Rows as columns: device ids, times in µs, NO_SEQ where the device gave no number, values [n, k]."""

    device: Ints
    ts: Ints
    seq: Ints
    received: Ints
    values: npt.NDArray[np.float64]

    def take(self, at: npt.NDArray[Any]) -> Part:
        """Some of the rows."""
        return Part(*(column[at] for column in self))


class Decoder:
    """Decodes messages with exactly these metrics.

    Args:
        names: of the metrics, in the order of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        fields: Any = [(f"v{n}", float, msgspec.field(name=name)) for n, name in enumerate(names)]
        values = msgspec.defstruct("Values", fields, gc=False, forbid_unknown_fields=True)
        moment, number = datetime | int | float | None, int | None
        fields = [("values", values), ("ts", moment, None), ("seq", number, None)]
        self._message = msgspec.defstruct("Message", fields, gc=False, forbid_unknown_fields=True)
        self._decode = msgspec.json.Decoder(list[self._message | int]).decode  # type: ignore[name-defined]
        self._width = len(names)
        self._pack = Struct(f"={len(names)}d").pack

    def __call__(
        self, payloads: Sequence[bytes], device: Sequence[int], received: Sequence[int]
    ) -> Part | None:
        """The messages as columns, or None when one of them is not plain. Lists are parallel; times in µs."""
        joined = _array(payloads)
        if len(joined) > MAX_BYTES and max(map(len, payloads)) > MAX_BYTES:
            return None
        try:
            found: list[Any] = self._decode(joined)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        n, messages = len(payloads), found[::2]
        if (
            len(found) != 2 * n - 1
            or found[1::2].count(_MARK) != n - 1
            or set(map(type, messages)) != {self._message}
        ):
            return None
        times, numbers = list(map(_ts, messages)), list(map(_seq, messages))
        kinds = set(map(type, times))
        texts = sum(type(ts) is datetime for ts in times) if datetime in kinds else 0
        fields = n * (1 + self._width) + 2 * n - times.count(None) - numbers.count(None) + texts
        if np.count_nonzero(np.frombuffer(joined, np.uint8) == _QUOTE) != 2 * fields:
            return None
        ts, seq = _times(times, kinds, received), _numbers(numbers)
        if ts is None or seq is None:
            return None
        flat = b"".join(starmap(self._pack, map(msgspec.structs.astuple, map(_values, messages))))
        values = np.frombuffer(flat, np.float64).reshape(n, self._width)
        return Part(np.array(device, np.int64), ts, seq, np.array(received, np.int64), values)


def _array(payloads: Sequence[bytes]) -> bytes:
    """The payloads as one JSON array; they are copied only once."""
    pieces = list(payloads)
    pieces[0] = b"[" + pieces[0]
    pieces[-1] += b"]"
    return _BETWEEN.join(pieces)


def _times(given: list[Any], kinds: set[type], received: Sequence[int]) -> Ints | None:
    """In µs; None when one of them cannot be used."""
    try:
        if kinds == {int}:
            ms = np.array(given, np.int64)
            return ms * 1000 if ms.min() > -_LARGEST_MS and ms.max() < _LARGEST_MS else None
        us = [at if ts is None else micros(ts) for ts, at in zip(given, received, strict=True)]
        return np.array(us, np.int64)
    except (OverflowError, Refused):
        return None


def _numbers(given: list[Any]) -> Ints | None:
    """Sequence numbers; None when one of them cannot be used."""
    missing = given.count(None)
    if missing == len(given):
        return np.full(len(given), NO_SEQ)
    try:
        seq = np.array([0 if number is None else number for number in given] if missing else given, np.int64)
    except OverflowError:
        return None
    if seq.min() < 0:
        return None
    if missing:
        seq[[number is None for number in given]] = NO_SEQ
    return seq
