"""The second half of a write, vectorised: groups become sorted, checked blocks and binary COPY. Pure but for NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ingest.catalogue import Layout
from ingest.intake import NO_SEQ, Group

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
PG_EPOCH = 946_684_800_000_000  # 2000-01-01 in µs since the Unix epoch
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_KEY = np.dtype([("device", ">i8"), ("ts", ">i8"), ("seq", ">i8")])


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one shape, sorted by (device, ts, seq).

    Attributes:
        device, ts, seq, received: [n]; times in µs since the Unix epoch.
        values: [n, metric of the shape], NaN where the row says nothing.
    """

    layout: Layout
    device: Ints
    ts: Ints
    seq: Ints
    received: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, at: npt.NDArray[Any]) -> Block:
        """Some of the rows, by index or mask."""
        return Block(
            self.layout, self.device[at], self.ts[at], self.seq[at], self.received[at], self.values[at]
        )

    def keys(self) -> list[bytes]:
        """The identity of each row as 24 bytes."""
        found = np.empty(len(self), _KEY)
        found["device"], found["ts"], found["seq"] = self.device, self.ts, self.seq
        return list(found.view("V24").tolist()) if len(self) else []


@dataclass(frozen=True)
class Outlier:
    """A row with values outside of what is physically possible, and those that remain."""

    device: int
    ts: int
    seq: int | None
    received: int
    wrong: dict[str, tuple[float, float, float]]  # name: value, low, high
    rest: dict[str, float]


def settle(group: Group) -> tuple[Block, list[Outlier]]:
    """A group's rows that are sound, and those with impossible values."""
    layout = group.layout
    values = np.array(group.values, np.float64).reshape(-1, len(layout.names))
    columns = [np.array(column, np.int64) for column in (group.device, group.ts, group.seq, group.received)]
    outliers: list[Outlier] = []
    possible = (values >= layout.low) & (values <= layout.high)
    if not possible.all():
        sound = possible.all(axis=1)
        outliers = [
            _outlier(layout, [int(c[n]) for c in columns], values[n], possible[n])
            for n in np.flatnonzero(~sound)
        ]
        values, columns = values[sound], [column[sound] for column in columns]
    placed = _place(layout, values)
    device, ts, seq, received = columns
    _number(seq, placed, layout.crc)
    block = Block(layout, device, ts, seq, received, placed)
    return block.take(np.lexsort((seq, ts, device))), outliers


def _outlier(layout: Layout, row: list[int], values: Floats, possible: npt.NDArray[np.bool_]) -> Outlier:
    device, ts, seq, received = row
    bounds = zip(
        layout.names,
        values.tolist(),
        layout.low.tolist(),
        layout.high.tolist(),
        possible.tolist(),
        strict=True,
    )
    wrong: dict[str, tuple[float, float, float]] = {}
    rest: dict[str, float] = {}
    for name, value, low, high, fine in bounds:
        if fine:
            rest[name] = value
        else:
            wrong[name] = (value, low, high)
    return Outlier(device, ts, None if seq == NO_SEQ else seq, received, wrong, rest)


def _place(layout: Layout, values: Floats) -> Floats:
    placed = np.full((len(values), len(layout.metrics)), np.nan)
    placed[:, layout.place] = values
    return placed


def _number(seq: Ints, values: Floats, crc: int) -> None:
    """Give rows without a sequence number the checksum of their metrics and values, in place: however a message is
    written, the same readings of the same moment have the same key."""
    open_ = np.flatnonzero(seq == NO_SEQ)
    if not len(open_):
        return
    data = values[open_].astype("<f8").tobytes()
    width = values.shape[1] * 8
    seq[open_] = [crc32(data[at : at + width], crc) for at in range(0, len(data), width)]


@cache
def _layout(width: int) -> tuple[np.dtype[Any], npt.NDArray[Any]]:
    """The binary COPY row with `width` values, and one row with its constants filled in."""
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
    return dtype, row


def binary(block: Block, batch_id: int) -> bytes:
    """The rows as PostgreSQL's binary COPY has them, in the order of `storage.COLUMNS`."""
    dtype, constants = _layout(block.values.shape[1])
    rows = np.empty(len(block), dtype)
    rows[:] = constants
    rows["batch"], rows["shape"] = batch_id, block.layout.shape_id
    rows["ts"], rows["received"] = block.ts - PG_EPOCH, block.received - PG_EPOCH
    rows["device"], rows["seq"] = block.device, block.seq
    rows["values"]["value"] = block.values
    return rows.tobytes()


def readings(blocks: list[Block]) -> int:
    """How many values the rows hold."""
    return sum(int(np.count_nonzero(~np.isnan(block.values))) for block in blocks)
