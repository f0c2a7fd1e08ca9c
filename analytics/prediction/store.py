"""SQL of predictions: the fleet's history as stored, model versions, what they said. Never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from analytics.definitions import HOUR, Floats, Ints
from analytics.prediction import model_file
from analytics.prediction.history import History, Log
from analytics.store import microseconds, moment
from kit.database import Conn, columns, one, rows, scalar

STEP_HOURS = 3


@dataclass(frozen=True)
class Version:
    """A row of analytics.model_version without its bytes."""

    id: int
    kind: str
    model: str
    component: str
    format: int
    data_from: datetime
    data_to: datetime
    scores: dict[str, Any]
    cost: float
    trained_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    verdict: str


# History


def history(conn: Conn, model: str, since: datetime, until: datetime) -> History | None:
    """The devices of a type in steps of 3 h (means of the hourly rollups), through the last step that ended by
    `until`; None where there is no telemetry. A step is known when it has ended."""
    first, last = (microseconds(ts) // (STEP_HOURS * HOUR) for ts in (since, until))
    metrics = _names(
        conn, "select name from ingest.metric where model = %s and role = 'reading' order by 1", model
    )
    codes = _names(conn, "select code from ingest.fault_code where model = %s order by 1", model)
    there = population(conn, model)
    if there is None or last <= first or not metrics:
        return None
    devices, components = there
    values = _values(conn, model, devices, metrics, first, last)
    if np.isnan(values).all():
        return None
    return History(
        metrics=metrics,
        codes=codes,
        components=components,
        devices=devices,
        known=(np.arange(first, last) + 1) * STEP_HOURS * HOUR,
        step_hours=STEP_HOURS,
        values=values,
        faults=_log(conn, _FAULTS, model, until, devices, codes),
        repairs=repairs(conn, model, until, devices, components),
        trait_names=(),
        traits=np.empty((len(devices), 0)),
    )


def population(conn: Conn, model: str) -> tuple[Ints, tuple[str, ...]] | None:
    """The devices of a type and its components; None where there are no devices."""
    found = conn.execute("select id from ingest.device where model = %s order by id", (model,)).fetchall()
    components = _names(
        conn, "select distinct component from ingest.failure_mode where model = %s order by 1", model
    )
    return (np.array([device for (device,) in found], np.int64), components) if found else None


def _names(conn: Conn, query: Any, model: str) -> tuple[str, ...]:
    return tuple(name for (name,) in conn.execute(query, (model,)))


def _values(conn: Conn, model: str, devices: Ints, metrics: Sequence[str], first: int, last: int) -> Floats:
    found = conn.execute(
        """select r.device_id, r.metric, div(extract(epoch from r.bucket)::bigint, %(step)s)::bigint as step,
                  sum(r.mean * r.n) / sum(r.n)
           from ingest.reading_hour r join ingest.device d on d.id = r.device_id
           where d.model = %(model)s and r.metric = any(%(metrics)s) and r.n > 0
             and r.bucket >= to_timestamp(%(first)s::float8) and r.bucket < to_timestamp(%(last)s::float8)
           group by 1, 2, 3""",
        {
            "model": model,
            "metrics": list(metrics),
            "step": STEP_HOURS * 3600,
            "first": first * STEP_HOURS * 3600,
            "last": last * STEP_HOURS * 3600,
        },
    ).fetchall()
    values = np.full((len(devices), last - first, len(metrics)), np.nan)
    row = {int(device): at for at, device in enumerate(devices)}
    column = {metric: at for at, metric in enumerate(metrics)}
    for device, metric, step, mean in found:
        values[row[device], int(step) - first, column[metric]] = mean
    return values


_FAULTS = """select f.device_id, f.ts, f.code from ingest.fault_event f join ingest.device d on d.id = f.device_id
             where d.model = %s and f.ts <= %s and f.active"""
_REPAIRS = """select r.device_id, r.ts, r.component from analytics.reset r join ingest.device d on d.id = r.device_id
              where d.model = %s and r.ts <= %s and r.component <> '*'
              union
              select r.device_id, r.ts, m.component from analytics.reset r
              join ingest.device d on d.id = r.device_id join ingest.failure_mode m on m.model = d.model
              where d.model = %s and r.ts <= %s and r.component = '*'"""
# A failure, as upstream knows it: the machine stopped itself (a code of severity 1 of that component was raised) and
# the component was then repaired. Only the first such code before a repair counts; a repair without one was planned.
_FAILURES = """select f.device_id, min(f.ts), m.component
               from ingest.fault_event f
               join ingest.device d on d.id = f.device_id
               join ingest.fault_code c on c.model = d.model and c.code = f.code and c.severity = 1
               join ingest.failure_mode m on m.model = d.model and m.code = c.failure_mode
               cross join lateral (
                   select min(r.ts) as repaired from analytics.reset r
                   where r.device_id = f.device_id and r.component in (m.component, '*') and r.ts >= f.ts) r
               where d.model = %s and f.ts <= %s and f.active and r.repaired <= %s
               group by f.device_id, m.component, r.repaired"""


def repairs(conn: Conn, model: str, until: datetime, devices: Ints, components: Sequence[str]) -> Log:
    """Repairs and replacements; one of the whole machine counts for every component."""
    return _as_log(conn.execute(_REPAIRS, (model, until) * 2).fetchall(), devices, components)


def failures(conn: Conn, model: str, until: datetime, devices: Ints, components: Sequence[str]) -> Log:
    """Failures as the stored history tells them: stopped by a code of severity 1 and then repaired."""
    return _as_log(conn.execute(_FAILURES, (model, until, until)).fetchall(), devices, components)


def _log(conn: Conn, query: Any, model: str, until: datetime, devices: Ints, kinds: Sequence[str]) -> Log:
    return _as_log(conn.execute(query, (model, until)).fetchall(), devices, kinds)


def _as_log(found: Sequence[tuple[int, datetime, str]], devices: Ints, kinds: Sequence[str]) -> Log:
    known = set(kinds)
    some = [row for row in found if row[2] in known]
    return Log.of(
        np.searchsorted(devices, np.array([device for device, _, _ in some], np.int64)),
        np.array([microseconds(ts) for _, ts, _ in some], np.int64),
        np.array([kinds.index(kind) for _, _, kind in some], np.int64),
    )


# Versions


def save(
    conn: Conn, kind: str, model: str, component: str, fitted: object, window: tuple[datetime, datetime],
    scores: Mapping[str, Any], cost: float, verdict: str, *, promote: bool
) -> int:  # fmt: skip
    """Keep a version; a promoted one takes the place of the one in force."""
    if promote:
        conn.execute(
            """update analytics.model_version set retired_at = kit.now()
               where kind = %s and model = %s and component = %s and promoted_at is not null and retired_at is null""",
            (kind, model, component),
        )
    found: int = scalar(
        conn,
        """insert into analytics.model_version
               (kind, model, component, format, bytes, data_from, data_to, scores, cost, verdict, promoted_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, case when %s then kit.now() end) returning id""",
        (kind, model, component, model_file.FORMAT, model_file.dump(fitted), *window, Jsonb(scores), cost,
         verdict, promote),
    )  # fmt: skip
    return found


def in_force(conn: Conn, kind: str, model: str) -> dict[str, Version]:
    """The versions in force of a device type, by component."""
    found = rows(
        conn,
        f"""select {columns(Version)} from analytics.model_version
            where kind = %s and model = %s and promoted_at is not null and retired_at is null order by component""",
        (kind, model),
    )
    return {row["component"]: Version(**row) for row in found}


def versions(conn: Conn, kind: str, model: str, component: str) -> list[Version]:
    """All versions, the newest first."""
    found = rows(
        conn,
        f"""select {columns(Version)} from analytics.model_version
            where kind = %s and model = %s and component = %s order by id desc""",
        (kind, model, component),
    )
    return [Version(**row) for row in found]


def fitted(conn: Conn, version_id: int) -> bytes:
    """The bytes of a version, for `model_file.load`."""
    found: bytes = scalar(conn, "select bytes from analytics.model_version where id = %s", (version_id,))
    return bytes(found)


def last_trained(conn: Conn, kind: str, model: str) -> datetime | None:
    """When the newest version of a device type was learned."""
    found: datetime | None = scalar(
        conn,
        "select max(trained_at) from analytics.model_version where kind = %s and model = %s",
        (kind, model),
    )
    return found


# What they said


def save_predictions(conn: Conn, version_id: int, devices: Ints, ts: Ints, p: Floats) -> None:
    """Keep probabilities; the first said counts."""
    conn.execute(
        """insert into analytics.prediction (version_id, device_id, ts, probability)
           select %s, d, t, p from unnest(%s::int[], %s::timestamptz[], %s::float8[]) as u(d, t, p)
           on conflict do nothing""",
        (version_id, devices.tolist(), [moment(at) for at in ts.tolist()], p.tolist()),
    )


def predictions(conn: Conn, version_id: int, until: datetime) -> list[tuple[int, datetime, float]]:
    """(device, ts, probability) of a version up to a time, in order of time."""
    return conn.execute(
        """select device_id, ts, probability from analytics.prediction
           where version_id = %s and ts <= %s order by ts, device_id""",
        (version_id, until),
    ).fetchall()  # fmt: skip


def predictions_at(conn: Conn, version_id: int, ts: datetime) -> bool:
    """Whether a version has been asked at a step."""
    return bool(
        scalar(
            conn,
            "select exists (select from analytics.prediction where version_id = %s and ts >= %s)",
            (version_id, ts),
        )
    )


def drop_predictions(conn: Conn, older: timedelta) -> None:
    """Forget what was said so long ago."""
    conn.execute("delete from analytics.prediction where ts < kit.now() - %s", (older,))


# Detections


def modes(conn: Conn, model: str) -> dict[str, list[tuple[str, int]]]:
    """By component: its failure modes with their priority, the most urgent first."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows(
        conn,
        "select component, code, priority from ingest.failure_mode where model = %s order by priority, code",
        (model,),
    ):
        found.setdefault(row["component"], []).append((row["code"], row["priority"]))
    return found


def code_modes(conn: Conn, model: str) -> dict[str, str]:
    """The failure mode of each fault code that has one."""
    return dict(
        conn.execute(
            "select code, failure_mode from ingest.fault_code where model = %s and failure_mode is not null",
            (model,),
        ).fetchall()
    )


def open_predictions(conn: Conn, model: str) -> list[dict[str, Any]]:
    """Raises of rule `prediction` that are not cleared: id, device_id, failure_mode, component, severity, ts."""
    return rows(
        conn,
        """select d.id, d.device_id, d.failure_mode, m.component, d.severity, d.ts, d.score
           from analytics.detection d join ingest.device v on v.id = d.device_id
           join ingest.failure_mode m on m.model = v.model and m.code = d.failure_mode
           where v.model = %s and d.rule = 'prediction' and d.kind = 'raise'
             and not exists (select from analytics.detection c
                             where c.device_id = d.device_id and c.failure_mode = d.failure_mode
                               and c.kind = 'clear' and c.rule = 'prediction' and c.id > d.id)
           order by d.id""",
        (model,),
    )


def newest_batch(conn: Conn) -> int | None:
    """The last committed batch in the order (xid, id)."""
    row = one(conn, "select id from ingest.batch order by xid desc, id desc limit 1")
    return None if row is None else row["id"]
