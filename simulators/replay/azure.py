"""Replay of Microsoft's predictive-maintenance sample: telemetry, fault codes and replacements of 100 machines.

Replacements are told to analytics (`analytics.reset`) before any later telemetry is published, and
so are failures (`analytics.failure`), when they have happened. The set is of 2015, so the product's clock is set to
stand at the end of the part that is played: nothing then lies in its future.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from analytics.prediction import settings as prediction
from fsm_core.catalog.actions import load_solutions
from ingest import device_types, registry, storage
from ingest.message import Arrival
from ingest.store import Store
from kit import clock
from kit.database import Conn, connect, rows, scalar
from kit.errors import Invalid
from kit.settings import Settings
from simulators.replay import score
from simulators.replay.azure_data import MODEL, Data, message, uid
from simulators.replay.sender import (
    Delivery,
    Progress,
    Where,
    connected,
    difference,
    heard,
    refused,
    stored,
)

YEAR = timedelta(days=365.25)
TYPES = Path(__file__).with_name("azure_types.toml")


Registered = Callable[[dict[str, int], datetime], None]
Known = Callable[[datetime], None]
Replaced = Callable[[datetime, list[tuple[str, str]]], None]


@dataclass(frozen=True)
class Report:
    """What the replay did and what came of it.

    Attributes:
        delivery: of messages, see there.
        machines, replacements: provisioned (or found), told to analytics.
        detections, orders: raised for these machines; automatic orders opened.
        horizon: a warning is right when its failure came within so long after it.
        by: "orders" when there are any, else "detections": what `components` was scored from.
        by_rule: rule -> orders that it opened.
        components: component -> how its failures were met, see `score.Component`; false_a_year: per machine and year.
    """

    delivery: Delivery
    machines: int
    replacements: int
    detections: int
    orders: int
    horizon: timedelta
    by: str
    by_rule: dict[str, int]
    components: dict[str, score.Component]
    false_a_year: float

    @property
    def failures(self) -> int:
        """That were recorded."""
        return sum(one.failures for one in self.components.values())

    @property
    def warned(self) -> int:
        """Those with a warning within the horizon before."""
        return sum(one.warned for one in self.components.values())


def replay(
    dsn: str,
    settings: Settings,
    folder: Path,
    *,
    where: Where | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    machines: int | None = None,
    horizon: timedelta = score.HORIZON,
    progress: Progress | None = None,
    settle: Callable[[], None] | None = None,
    registered: Registered | None = None,
    replaced: Replaced | None = None,
    known: Known | None = None,
) -> Report:
    """Play the set, or a part of it, through the end point.

    Args:
        where: the end point; by default that of the settings.
        start, end: play what became known in [start, end); by default all.
        machines: only the first so many.
        horizon: a warning is right when its failure comes within so long after it.
        settle: called at the end, before anything is counted: returns when analytics and orders have caught up.
        registered: called once with the machines (uid -> device id) and the first moment.
        replaced: called with each moment that has replacements, and those (uid, component), before anything of it is
            told or sent.
        known: called with each moment once all of it is acknowledged, before the next one is sent: detection and
            orders move in step with the recording.

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
        delivery, told = asyncio.run(_play(conn, data, where, tokens, progress, replaced, known))
        if settle is not None:
            settle()
        delivery.stored = stored(conn, ids) - had
        delivery.refused = difference(before, refused(conn))
        return _report(conn, data, delivery, told, horizon)


def _ids(conn: Conn, uids: list[str]) -> list[tuple[str, int]]:
    return conn.execute(
        "select uid, id from ingest.device where uid = any(%s) order by uid", (uids,)
    ).fetchall()


def _prepare(conn: Conn, data: Data) -> dict[str, str]:
    """Device type, machines, partitions, clock. Returns uid -> token."""
    types = tomllib.loads(TYPES.read_text(encoding="utf-8"))
    device_types.load(conn, types)
    prediction.load(conn, types)
    load_solutions(conn, types)
    clock.set_rate(conn, 0.0, sim=data.end)
    storage.ensure_range(conn, data.start, data.end)
    tokens = {}
    for machine in sorted(data.machines):
        if scalar(conn, "select 1 from ingest.device where uid = %s", (uid(machine),)):
            credentials = registry.rotate(conn, uid(machine))
        else:
            credentials = registry.provision(conn, uid(machine), MODEL, data.start)
        tokens[credentials.uid] = credentials.token
    return tokens


def load_past(
    conn: Conn, settings: Settings, folder: Path, start: datetime, end: datetime, machines: int | None = None
) -> int:
    """Store what became known in [start, end) at once, as typed rows and not as messages: a past to learn from.
    Returns the number of telemetry rows. It is not published again: a later `replay` begins at `end`.

    Raises:
        NotFound: a file of the set is missing in `folder`.
        Invalid: nothing lies in that time.
    """
    data = Data(folder, start, end, machines)
    if not len(data):
        raise Invalid(f"{folder} has nothing between {start:%Y-%m-%d} and {end:%Y-%m-%d} to learn from.")
    with conn.transaction():
        ids = dict(_ids(conn, list(_prepare(conn, data))))
    store = Store(settings.ingest, door="seed")
    for columns in data.columns(ids):
        with conn.transaction():
            store.write_rows(conn, columns)
    prefix = settings.ingest.topic_prefix
    codes = [message(at, 1, machine, code) for at, machine, code in data.events("errors.csv", "errorID")]
    with conn.transaction():
        store.write(
            conn, [Arrival(f"{prefix}/{m.uid}/{m.suffix}", m.payload, m.uid, None, end) for m in codes]
        )
        for at, machine, component in data.events("maint.csv", "comp"):
            _tell_replacement(conn, at, uid(machine), component)
        for at, machine, component in data.events("failures.csv", "failure"):
            _tell_failure(conn, at, uid(machine), component)
    return len(data.rows)


def _tell_replacement(conn: Conn, at: datetime, machine: str, component: str) -> int:
    return conn.execute(
        """insert into analytics.reset (device_id, component, ts, reason)
           select id, %s, %s, 'replayed' from ingest.device where uid = %s on conflict do nothing""",
        (component, at, machine),
    ).rowcount


def _tell_failure(conn: Conn, at: datetime, machine: str, component: str) -> None:
    conn.execute(
        """insert into analytics.failure (device_id, component, ts, known_at, reference)
           select id, %s, %s, %s, 'replayed' from ingest.device where uid = %s on conflict do nothing""",
        (component, at, at, machine),
    )


async def _play(
    conn: Conn,
    data: Data,
    where: Where,
    tokens: dict[str, str],
    progress: Progress | None,
    replaced: Replaced | None,
    known: Known | None,
) -> tuple[Delivery, int]:
    total, told = len(data), 0
    async with connected(where, tokens) as sender:
        for step in data.steps():
            if known is not None:  # the clock goes with the recording: what is sent is not of its future
                clock.set_rate(conn, 0.0, sim=step.at)
            if replaced is not None and step.replacements:
                await asyncio.to_thread(replaced, step.at, step.replacements)
            # Committed before later telemetry is sent, so that analytics knows of it in time.
            for machine, component in step.replacements:
                told += _tell_replacement(conn, step.at, machine, component)
            for machine, component in step.failures:
                _tell_failure(conn, step.at, machine, component)
            await sender.send(step.messages)
            if known is not None:
                await sender.acknowledged()
                await asyncio.to_thread(known, step.at)
            if progress is not None:
                progress(step.at.date().isoformat(), sender.delivery.sent, total)
    return sender.delivery, told


def _report(conn: Conn, data: Data, delivery: Delivery, told: int, horizon: timedelta) -> Report:
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
    components = score.by_component(warnings, failures, data.end, horizon)
    by = "orders" if orders else "detections"
    rules = rows(
        conn,
        """select x.rule, count(*) as orders from fsm.episode_signal s join fsm.work_order w on w.id = s.order_id
           join analytics.detection x on x.id = s.detection_id join ingest.device d on d.id = w.device_id
           where s.outcome in ('opened', 'reopened') and d.uid = any(%s) and w.opened_at >= %s and w.opened_at < %s
           group by 1 order by 1""",
        (list(uids), data.start, data.end),
    )
    false = sum(one.false for one in components.values())
    return Report(
        delivery, len(uids), told, len(detections), len(orders), horizon, by,
        {row["rule"]: row["orders"] for row in rules}, components, false / (len(uids) * (data.end - data.start) / YEAR),
    )  # fmt: skip
