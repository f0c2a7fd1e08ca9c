"""Microsoft's predictive-maintenance sample on disk: what became known when.

A telemetry row stamped t is complete, and so known to anybody, at t + 3 h: then it is published, with the last second
of its three hours.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.store import Columns
from kit.errors import NotFound
from simulators.replay.sender import Message

FILES = ("telemetry_3h.parquet", "errors.csv", "failures.csv", "maint.csv", "machines.csv")
METRICS = ("volt", "rotate", "pressure", "vibration")
KNOWN_AFTER = timedelta(hours=3)
LAST_SECOND = timedelta(seconds=1)
MODEL = "azure"
CODE_LASTS = timedelta(minutes=1)  # the set says when a code came, not when it went


@dataclass(frozen=True)
class Step:
    """Everything that became known at `at`, in the order to be told."""

    at: datetime
    replacements: list[tuple[str, str]]
    failures: list[tuple[str, str]]
    messages: list[Message]


class Data:
    """The set on disk, cut to a period and a number of machines.

    Raises:
        NotFound: a file is missing.
    """

    def __init__(
        self, folder: Path, start: datetime | None, end: datetime | None, machines: int | None
    ) -> None:
        for name in FILES:
            if not (folder / name).is_file():
                raise NotFound(f"{folder} has no {name}; the set consists of {', '.join(FILES)}.")
        self.folder = folder
        listed = [row["machineID"] for row in self._csv("machines.csv")]
        self.machines = {int(number) for number in listed[: machines or len(listed)]}
        table = pq.read_table(
            folder / FILES[0], columns=["machineID", "datetime", *(f"{m}_mean_3" for m in METRICS)]
        )
        first, last = pc.min_max(table["datetime"]).as_py().values()
        self.start = start or aware(first)
        self.end = end or aware(last) + KNOWN_AFTER + timedelta(hours=1)
        low, high = (at.replace(tzinfo=None) - KNOWN_AFTER for at in (self.start, self.end))
        keep = pc.and_(pc.greater_equal(table["datetime"], low), pc.less(table["datetime"], high))
        keep = pc.and_(keep, pc.is_in(table["machineID"], pa.array(sorted(self.machines), pa.int16())))
        self.rows = table.filter(keep).sort_by([("datetime", "ascending"), ("machineID", "ascending")])

    def _csv(self, name: str) -> Iterator[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)

    def events(self, name: str, column: str) -> list[tuple[datetime, int, str]]:
        """(time, machine, what) of an event file within the period, oldest first."""
        found = [
            (aware(datetime.fromisoformat(row["datetime"])), int(row["machineID"]), row[column])
            for row in self._csv(name)
        ]
        return sorted(one for one in found if self.start <= one[0] < self.end and one[1] in self.machines)

    def steps(self) -> Iterator[Step]:
        """What became known, moment by moment: replacements and failures first, then codes, then telemetry."""
        facts: list[tuple[datetime, int, int, Any]] = []
        facts += [(at, 0, machine, comp) for at, machine, comp in self.events("maint.csv", "comp")]
        facts += [(at, -1, machine, comp) for at, machine, comp in self.events("failures.csv", "failure")]
        facts += [(at, 1, machine, code) for at, machine, code in self.events("errors.csv", "errorID")]
        facts += [
            (aware(row.pop("datetime")) + KNOWN_AFTER, 2, row.pop("machineID"), tuple(row.values()))
            for row in self.rows.to_pylist()
        ]
        facts.sort(key=lambda fact: fact[:3])
        for at, group in groupby(facts, key=lambda fact: fact[0]):
            together = list(group)
            yield Step(
                at,
                [(uid(machine), what) for _, kind, machine, what in together if kind == 0],
                [(uid(machine), what) for _, kind, machine, what in together if kind == -1],
                [message(at, kind, machine, what) for _, kind, machine, what in together if kind > 0],
            )

    def columns(self, ids: Mapping[str, int], size: int = 20_000) -> Iterator[Columns]:
        """The telemetry as typed rows, oldest first; ids: uid -> device id."""
        by_number = np.zeros(max(self.machines) + 1, np.int64)
        for machine in self.machines:
            by_number[machine] = ids[uid(machine)]
        for first in range(0, len(self.rows), size):
            part = self.rows.slice(first, size)
            known = part["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64)
            values = np.column_stack([part[f"{metric}_mean_3"].to_numpy() for metric in METRICS])
            yield Columns(
                MODEL, METRICS, by_number[part["machineID"].to_numpy()],
                known + (KNOWN_AFTER - LAST_SECOND) // timedelta(microseconds=1), values.round(4),
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows) + len(self.events("errors.csv", "errorID"))


def uid(machine: int) -> str:
    """The uid of a machine of the set."""
    return f"AZ-{machine:03}"


def aware(naive: datetime) -> datetime:
    """The set gives no zone; it is taken as UTC."""
    return naive.replace(tzinfo=UTC)


def message(at: datetime, kind: int, machine: int, what: Any) -> Message:
    """A fault code (kind 1) with its end, or a row of telemetry (kind 2)."""
    if kind == 1:
        went = at + CODE_LASTS
        body = [
            {"ts": at.isoformat(), "code": what, "active": True},
            {"ts": went.isoformat(), "code": what, "active": False},
        ]
        return Message(uid(machine), "fault", msgspec.json.encode(body), 2)
    values = {metric: round(value, 4) for metric, value in zip(METRICS, what, strict=True) if value == value}
    row = {"ts": (at - LAST_SECOND).isoformat(), "values": values}
    return Message(uid(machine), "telemetry", msgspec.json.encode(row), 1)
