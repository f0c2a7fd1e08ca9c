"""Decoded rows to rows that may be stored: impossible values left out, the columns of their shape, a number each. Pure
but for NumPy, and needs no database: it is done while the rows before are being stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.catalogue import Layout
from ingest.uniform import NO_SEQ, Part

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_STIR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Outlier:
    """A row with values outside of what is physically possible, and those that remain."""

    device: int
    ts: int
    seq: int | None
    received: int
    wrong: dict[str, tuple[float, float, float]]  # name: value, low, high
    rest: dict[str, float]


def sound(layout: Layout, part: Part) -> tuple[Part, list[Outlier]]:
    """The rows all of whose values are possible, with the columns of the shape and their keys' numbers; the others."""
    outliers: list[Outlier] = []
    possible = (part.values >= layout.low) & (part.values <= layout.high)
    if not possible.all():
        good = np.asarray(possible.all(axis=1))
        outliers = [_outlier(layout, part, n, possible[n]) for n in np.flatnonzero(~good).tolist()]
        part = part.take(good)
    placed = _place(layout, part.values)
    return part._replace(seq=_numbered(part.seq, placed, layout.seed), values=placed), outliers


def _outlier(layout: Layout, part: Part, n: int, possible: npt.NDArray[np.bool_]) -> Outlier:
    device, ts, seq, received = (int(column[n]) for column in part[:4])
    bounds = zip(
        layout.names,
        part.values[n].tolist(),
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
    if layout.names == layout.metrics:
        return values
    if len(layout.names) == len(layout.metrics):
        return np.take(values, np.argsort(layout.place), axis=1)
    placed = np.full((len(values), len(layout.metrics)), np.nan)
    placed[:, layout.place] = values
    return placed


def _numbered(seq: Ints, values: Floats, seed: int) -> Ints:
    """Rows without a sequence number get the checksum of their metrics and values: however a message is written, the
    same readings of the same moment have the same key."""
    open_: npt.NDArray[Any] = seq == NO_SEQ
    if not open_.any():
        return seq
    state = np.full(len(seq), seed, np.uint64)
    for column in range(values.shape[1]):
        bits = (values[:, column] + 0.0).view(np.uint64)  # + 0.0: minus zero is zero
        state = (state ^ bits) * _STIR
        state ^= state >> np.uint64(29)
    state = (state ^ state >> np.uint64(32)) * _STIR
    return np.where(open_, (state >> np.uint64(1)).view(np.int64), seq)
