"""Replay of Microsoft's predictive-maintenance sample: telemetry, fault codes and replacements of 100 machines.

A telemetry row stamped t is complete, and so known to anybody, at t + 3 h: that is the time it is published with.
Replacements are told to analytics (`analytics.reset`) before any later telemetry is published. The set is of 2015,
so the product's clock is set to stand at the end of the part that is played: nothing then lies in its future.
"""

from __future__ import annotations

import asyncio
import csv
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fsm_core.catalog.actions import load_solutions
from ingest import device_types, registry, storage
from kit import clock
from kit.database import Conn, connect, rows, scalar
from kit.errors import NotFound
from kit.settings import Settings
from simulators.replay import score
from simulators.replay.sender import (
    Delivery,
    Message,
    Progress,
    Where,
    connected,
    difference,
    heard,
    refused,
    stored,
)

TYPES = Path(__file__).with_name("azure_types.toml")
FILES = ("telemetry_3h.parquet", "errors.csv", "failures.csv", "maint.csv", "machines.csv")
METRICS = ("volt", "rotate", "pressure", "vibration")
KNOWN_AFTER = timedelta(hours=3)
CODE_LASTS = timedelta(minutes=1)  # the set says when a code came, not when it went


Registered = Callable[[dict[str, int], datetime], None]
Known = Callable[[datetime, list[tuple[str, str]]], None]


@dataclass(frozen=True)
class Report:
    """What the replay did and what came of it.

    Attributes:
        delivery: of messages, see there.
        machines, replacements: provisioned (or found), told to analytics.
        detections, orders: raised for these machines; automatic orders opened.
        by: "orders" when there are any, else "detections": what `components` was scored from.
        components: component -> how its failures were met, see `score.Component`.
    """

    delivery: Delivery
    machines: int
    replacements: int
    detections: int
    orders: int
    by: str
    components: dict[str, score.Component]


@dataclass(frozen=True)
class Step:
    """Everything that became known at `at`, in the order to be told."""

    at: datetime
    replacements: list[tuple[str, str]]
    messages: list[Message]


def replay(
    dsn: str,
    settings: Settings,
    folder: Path,
    *,
    where: Where | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    machines: int | None = None,
    progress: Progress | None = None,
    settle: Callable[[], None] | None = None,
    registered: Registered | None = None,
    known: Known | None = None,
) -> Report:
    """Play the set, or a part of it, through the end point.

    Args:
        where: the end point; by default that of the settings.
        start, end: play what became known in [start, end); by default all.
        machines: only the first so many.
        settle: called at the end, before anything is counted: returns when analytics and orders have caught up.
        registered: called once with the machines (uid -> device id) and the first moment.
        known: called with each moment and its replacements (uid, component) once all of it is acknowledged, before the
            next one is sent: detection and orders move in step with the recording.

    Raises:
        NotFound: a file of the set is missing in `folder`.
        Unavailable: no end point there.
    """
    data = Data(folder, start, end, machines)
    where = where or Where(settings.endpoint.host, settings.endpoint.port, settings.ingest.topic_prefix)
    with connect(dsn, application="replay", autocommit=True) as conn:
        with conn.transaction():
            tokens = _prepare(conn, data)
        ids = [device_id for _, device_id in _ids(conn, list(tokens))]
        heard(conn)
        if registered is not None:
            registered(dict(_ids(conn, list(tokens))), data.start)
        before, had = refused(conn), stored(conn, ids)
        delivery, told = asyncio.run(_play(conn, data, where, tokens, progress, known))
        if settle is not None:
            settle()
        delivery.stored = stored(conn, ids) - had
        delivery.refused = difference(before, refused(conn))
        return _report(conn, data, delivery, told)


def _ids(conn: Conn, uids: list[str]) -> list[tuple[str, int]]:
    return conn.execute(
        "select uid, id from ingest.device where uid = any(%s) order by uid", (uids,)
    ).fetchall()


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
        self.models = {int(row["machineID"]): row["model"] for row in self._csv("machines.csv")}
        table = pq.read_table(
            folder / FILES[0], columns=["machineID", "datetime", *(f"{m}_mean_3" for m in METRICS)]
        )
        first, last = pc.min_max(table["datetime"]).as_py().values()
        self.start = start or _aware(first)
        self.end = end or _aware(last) + KNOWN_AFTER + timedelta(hours=1)
        low, high = (at.replace(tzinfo=None) - KNOWN_AFTER for at in (self.start, self.end))
        keep = pc.and_(pc.greater_equal(table["datetime"], low), pc.less(table["datetime"], high))
        keep = pc.and_(keep, pc.is_in(table["machineID"], pa.array(sorted(self.machines), pa.int16())))
        self._table = table.filter(keep).sort_by([("datetime", "ascending"), ("machineID", "ascending")])

    def _csv(self, name: str) -> Iterator[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)

    def events(self, name: str, column: str) -> list[tuple[datetime, int, str]]:
        """(time, machine, what) of an event file within the period, oldest first."""
        found = [
            (_aware(datetime.fromisoformat(row["datetime"])), int(row["machineID"]), row[column])
            for row in self._csv(name)
        ]
        return sorted(one for one in found if self.start <= one[0] < self.end and one[1] in self.machines)

    def steps(self) -> Iterator[Step]:
        """What became known, moment by moment: replacements first, then codes, then telemetry."""
        facts: list[tuple[datetime, int, int, Any]] = []
        facts += [(at, 0, machine, comp) for at, machine, comp in self.events("maint.csv", "comp")]
        facts += [(at, 1, machine, code) for at, machine, code in self.events("errors.csv", "errorID")]
        facts += [
            (_aware(row.pop("datetime")) + KNOWN_AFTER, 2, row.pop("machineID"), tuple(row.values()))
            for row in self._table.to_pylist()
        ]
        facts.sort(key=lambda fact: fact[:3])
        for at, group in groupby(facts, key=lambda fact: fact[0]):
            together = list(group)
            yield Step(
                at,
                [(uid(machine), what) for _, kind, machine, what in together if kind == 0],
                [_message(at, kind, machine, what) for _, kind, machine, what in together if kind > 0],
            )

    def __len__(self) -> int:
        return len(self._table) + len(self.events("errors.csv", "errorID"))


def uid(machine: int) -> str:
    """The uid of a machine of the set."""
    return f"AZ-{machine:03}"


def _aware(naive: datetime) -> datetime:
    """The set gives no zone; it is taken as UTC."""
    return naive.replace(tzinfo=UTC)


def _message(at: datetime, kind: int, machine: int, what: Any) -> Message:
    if kind == 1:
        went = at + CODE_LASTS
        body = [
            {"ts": at.isoformat(), "code": what, "active": True},
            {"ts": went.isoformat(), "code": what, "active": False},
        ]
        return Message(uid(machine), "fault", msgspec.json.encode(body), 2)
    values = {metric: round(value, 4) for metric, value in zip(METRICS, what, strict=True) if value == value}
    return Message(
        uid(machine), "telemetry", msgspec.json.encode({"ts": at.isoformat(), "values": values}), 1
    )


def _prepare(conn: Conn, data: Data) -> dict[str, str]:
    """Device types, machines, partitions, clock. Returns uid -> token."""
    types = tomllib.loads(TYPES.read_text(encoding="utf-8"))
    for model in sorted(set(data.models.values())):
        named = {key: types["model"][key] for key in ("name_en", "name_zh")}
        names = {key: f"{name} {model}" for key, name in named.items()}
        one = types | {"model": types["model"] | names | {"code": f"azure-{model}"}}
        device_types.load(conn, one)
        load_solutions(conn, one)
    clock.set_rate(conn, 0.0, sim=data.end)
    storage.ensure_range(conn, data.start, data.end)
    tokens = {}
    for machine in sorted(data.machines):
        if scalar(conn, "select 1 from ingest.device where uid = %s", (uid(machine),)):
            credentials = registry.rotate(conn, uid(machine))
        else:
            model = f"azure-{data.models[machine]}"
            credentials = registry.provision(conn, uid(machine), model, data.start)
        tokens[credentials.uid] = credentials.token
    return tokens


async def _play(
    conn: Conn,
    data: Data,
    where: Where,
    tokens: dict[str, str],
    progress: Progress | None,
    known: Known | None,
) -> tuple[Delivery, int]:
    total, told = len(data), 0
    async with connected(where, tokens) as sender:
        for step in data.steps():
            # Committed before later telemetry is sent, so that analytics knows of it in time.
            for machine, component in step.replacements:
                told += conn.execute(
                    """insert into analytics.reset (device_id, component, ts, reason)
                       select id, %s, %s, 'replayed' from ingest.device where uid = %s
                       on conflict do nothing""",
                    (component, step.at, machine),
                ).rowcount
            if known is not None:  # the clock goes with the recording: what is sent is not of its future
                clock.set_rate(conn, 0.0, sim=step.at)
            await sender.send(step.messages)
            if known is not None:
                await sender.acknowledged()
                await asyncio.to_thread(known, step.at, step.replacements)
            if progress is not None:
                progress(step.at.date().isoformat(), sender.delivery.sent, total)
    return sender.delivery, told


def _report(conn: Conn, data: Data, delivery: Delivery, told: int) -> Report:
    uids = {uid(machine) for machine in data.machines}
    detections = rows(
        conn,
        """select d.uid, m.component, x.ts as at from analytics.detection x
           join ingest.device d on d.id = x.device_id
           join ingest.failure_mode m on m.model = d.model and m.code = x.failure_mode
           where x.kind = 'raise' and d.uid = any(%s) and x.ts >= %s and x.ts < %s""",
        (list(uids), data.start, data.end),
    )
    orders = rows(
        conn,
        """select d.uid, w.component, w.opened_at as at from fsm.work_order w
           join ingest.device d on d.id = w.device_id
           where w.source = 'automatic' and d.uid = any(%s) and w.opened_at >= %s and w.opened_at < %s""",
        (list(uids), data.start, data.end),
    )
    warnings = [score.Warning(row["uid"], row["component"], row["at"]) for row in orders or detections]
    failures = [(uid(machine), comp, at) for at, machine, comp in data.events("failures.csv", "failure")]
    components = score.by_component(warnings, failures, data.end)
    by = "orders" if orders else "detections"
    return Report(delivery, len(uids), told, len(detections), len(orders), by, components)
