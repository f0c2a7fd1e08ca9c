"""What goes into a write as typed rows, and what a write did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from ingest.rows import Block


@dataclass(frozen=True)
class Written:
    """What one write did; it counts once the caller has committed.

    Attributes:
        messages: arrivals taken in, whatever became of them.
        rows, readings: telemetry rows that were new, and the values in them.
        duplicates: rows and events that were stored before.
        refused: how often each reason of `ingest.reasons` was given.
        seen: all telemetry rows, new or not, for `committed`.
        commands: (topic, payload) that the door shall publish, such as the request for a rebirth.
    """

    batch_id: int
    messages: int
    rows: int
    readings: int
    faults: int
    states: int
    duplicates: int
    refused: dict[str, int]
    first_ts: datetime | None
    last_ts: datetime | None
    seen: list[Block] = field(repr=False)
    commands: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class Columns:
    """Rows of one model and one list of metrics, already typed, for `Store.write_rows`.

    Attributes:
        model: code of the model of all the devices.
        metrics: names, [k].
        device: ids, [n].
        ts: µs since the Unix epoch, [n].
        values: [n, k].
        seq: [n], or None: checksums are made.
        received: µs, [n], or None: as `ts`.
    """

    model: str
    metrics: tuple[str, ...]
    device: npt.NDArray[np.int64]
    ts: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    seq: npt.NDArray[np.int64] | None = None
    received: npt.NDArray[np.int64] | None = None


def at(us: int) -> datetime:
    """A time in µs since the Unix epoch, aware."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)
