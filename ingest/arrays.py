"""NumPy columns as PostgreSQL arrays in the binary format: a statement takes thousands of rows as a few parameters.

psycopg writes a Python list element by element; here a column is laid out at once. Times are µs since the Unix epoch;
`NEVER` becomes '-infinity', which statements turn into null, as they do with NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

PG_EPOCH = 946_684_800_000_000  # 2000-01-01 in µs since the Unix epoch
NEVER = int(np.iinfo(np.int64).min)
_HEAD = np.dtype(">i4")


class Packed(bytes):
    """An array parameter, ready to be sent."""


class Ints(Packed):
    """int[]"""


class Bigints(Packed):
    """bigint[]"""


class Floats(Packed):
    """float8[]"""


class Times(Packed):
    """timestamptz[]"""


def ints(values: npt.ArrayLike) -> Ints:
    """A column as int[]."""
    return Ints(_pack(np.asarray(values), 23, ">i4"))


def bigints(values: npt.ArrayLike) -> Bigints:
    """A column as bigint[]."""
    return Bigints(_pack(np.asarray(values), 20, ">i8"))


def floats(values: npt.ArrayLike) -> Floats:
    """A column as float8[]."""
    return Floats(_pack(np.asarray(values), 701, ">f8"))


def times(values: npt.ArrayLike) -> Times:
    """A column of µs since the Unix epoch as timestamptz[]."""
    us = np.asarray(values, np.int64)
    return Times(_pack(np.where(us == NEVER, NEVER, us - PG_EPOCH), 1184, ">i8"))


def _pack(values: npt.NDArray[Any], oid: int, kind: str) -> bytes:
    if not len(values):
        return np.array([0, 0, oid], _HEAD).tobytes()
    packed = np.empty(len(values), np.dtype([("size", ">i4"), ("value", kind)]))
    packed["size"], packed["value"] = packed.dtype["value"].itemsize, values
    return np.array([1, 0, oid, len(values), 1], _HEAD).tobytes() + packed.tobytes()


class _Dumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        return bytes(obj)


for _kind, _oid in ((Ints, 1007), (Bigints, 1016), (Floats, 1022), (Times, 1185)):
    psycopg.adapters.register_dumper(_kind, type(f"{_kind.__name__}Dumper", (_Dumper,), {"oid": _oid}))
