"""The second half of a write, vectorised: groups become sorted, checked blocks and binary COPY. Pure but for NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.arrays import PG_EPOCH
from ingest.catalogue import Layout
from ingest.intake import Group
from ingest.sound import Outlier, sound
from ingest.uniform import Part

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_KEY = np.dtype([("device", ">i8"), ("ts", ">i8"), ("seq", ">i8")])


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one shape, sorted by (device, ts, seq).

    Attributes:
        device, ts, seq, received: [n]; times in µs since the Unix epoch.
        values: [n, metric of the shape], NaN where the row says nothing.
        distinct: no two rows have the same device and time; False: perhaps.
    """

    layout: Layout
    device: Ints
    ts: Ints
    seq: Ints
    received: Ints
    values: Floats
    distinct: bool = False

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, at: npt.NDArray[Any] | slice) -> Block:
        """Some of the rows, by index, mask or slice."""
        columns = (self.device[at], self.ts[at], self.seq[at], self.received[at], self.values[at])
        return Block(self.layout, *columns, self.distinct)

    @cached_property
    def keys(self) -> npt.NDArray[np.bytes_]:
        """The identity of each row as 24 bytes, in ascending order as the rows are: none of its numbers is negative."""
        found = np.empty(len(self), _KEY)
        found["device"], found["ts"], found["seq"] = self.device, self.ts, self.seq
        return found.view("S24")


def settle(group: Group) -> tuple[Block, list[Outlier]]:
    """A group's rows that are sound, and those with impossible values."""
    parts, outliers = list(group.sound), list[Outlier]()
    if group.parts or group.ts:
        part, outliers = sound(group.layout, _columns(group))
        parts.append(part)
    device, ts, seq, received, values = joined(parts)
    order, distinct = _order(device, ts, seq)
    block = Block(group.layout, device, ts, seq, received, values, distinct)
    return block.take(order), outliers


def _order(device: Ints, ts: Ints, seq: Ints) -> tuple[npt.NDArray[np.intp], bool]:
    """Where the rows are in the order of (device, ts, seq); True when device and time alone tell them apart."""
    if not len(ts):
        return np.zeros(0, np.intp), True
    # Sorting one number is several times faster than sorting three, if device and time fit into it and never tie.
    first, since = ts - ts.min(), device - device.min()
    bits = int(first.max()).bit_length()
    if bits + int(since.max()).bit_length() < 63:
        both = since << bits | first
        order = np.argsort(both)
        both = both[order]
        if (both[1:] > both[:-1]).all():
            return order, True
    return np.lexsort((seq, ts, device)), False


def _columns(group: Group) -> Part:
    """Parts and single rows together."""
    parts = list(group.parts)
    if group.ts:
        device, ts, seq, received = (
            np.array(column, np.int64) for column in (group.device, group.ts, group.seq, group.received)
        )
        values = np.array(group.values, np.float64).reshape(-1, len(group.layout.names))
        parts.append(Part(device, ts, seq, received, values))
    return joined(parts)


def joined(parts: Sequence[Part]) -> Part:
    """Parts of the same columns as one."""
    if len(parts) == 1:
        return parts[0]
    return Part(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@cache
def _layout(width: int) -> tuple[np.dtype[Any], npt.NDArray[np.uint8]]:
    """The binary COPY row with `width` values, and the bytes of one row with its constants filled in."""
    dtype = np.dtype(
        [("fields", ">i2"),
         ("n0", ">i4"), ("batch", ">i8"), ("n1", ">i4"), ("ts", ">i8"), ("n2", ">i4"), ("device", ">i4"),
         ("n3", ">i4"), ("seq", ">i8"), ("n4", ">i4"), ("shape", ">i4"),
         ("size", ">i4"), ("dims", ">i4"), ("nulls", ">i4"), ("type", ">i4"), ("length", ">i4"), ("lower", ">i4"),
         ("values", [("n", ">i4"), ("value", ">f8")], (width,)),
         ("n5", ">i4"), ("received", ">i8")]
    )  # fmt: skip
    row = np.zeros(1, dtype)
    row["fields"], row["n0"], row["n1"], row["n2"], row["n3"], row["n4"], row["n5"] = 7, 8, 8, 4, 8, 4, 8
    row["size"], row["dims"], row["type"], row["length"], row["lower"] = 20 + 12 * width, 1, 701, width, 1
    row["values"]["n"] = 8
    return dtype, row.view(np.uint8)


def row_bytes(block: Block) -> int:
    """The size of a row in binary COPY."""
    return _layout(block.values.shape[1])[0].itemsize


def binary(block: Block, batch_id: int) -> bytes:
    """The rows as PostgreSQL's binary COPY has them, in the order of `storage.COLUMNS`."""
    dtype, constants = _layout(block.values.shape[1])
    raw = np.empty((len(block), dtype.itemsize), np.uint8)
    raw[:] = constants  # as bytes: NumPy would copy field by field
    rows = raw.view(dtype)[:, 0]
    rows["batch"], rows["shape"] = batch_id, block.layout.shape_id
    rows["ts"], rows["received"] = block.ts - PG_EPOCH, block.received - PG_EPOCH
    rows["device"], rows["seq"] = block.device, block.seq
    rows["values"]["value"] = block.values
    return raw.tobytes()


def readings(blocks: Sequence[Block]) -> int:
    """How many values the rows hold."""
    return sum(int(np.count_nonzero(~np.isnan(block.values))) for block in blocks)
