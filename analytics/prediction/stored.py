"""A fleet's past as stored: hourly rollups, fault events, repairs and failures. SQL; never commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from analytics.definitions import HOUR, Floats, Ints
from analytics.prediction.history import History, Log
from analytics.store import microseconds
from kit.database import Conn

STEP_HOURS = 3


def history(
    conn: Conn, model: str, since: datetime, until: datetime, device: int | None = None
) -> History | None:
    """The devices of a type (or one of them) in steps of 3 h (means of the hourly rollups), through the last step
    that ended by `until`; None where there is no telemetry. A step is known when it has ended."""
    first, last = (microseconds(ts) // (STEP_HOURS * HOUR) for ts in (since, until))
    metrics = _names(
        conn, "select name from ingest.metric where model = %s and role = 'reading' order by 1", model
    )
    codes = _names(conn, "select code from ingest.fault_code where model = %s order by 1", model)
    there = population(conn, model, device)
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


def population(conn: Conn, model: str, device: int | None = None) -> tuple[Ints, tuple[str, ...]] | None:
    """The devices of a type (or one of them) and its components; None where there are no devices."""
    found = conn.execute(
        "select id from ingest.device where model = %s and (%s::int is null or id = %s) order by id",
        (model, device, device),
    ).fetchall()
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
           where d.model = %(model)s and d.id = any(%(devices)s) and r.metric = any(%(metrics)s) and r.n > 0
             and r.bucket >= to_timestamp(%(first)s::float8) and r.bucket < to_timestamp(%(last)s::float8)
           group by 1, 2, 3""",
        {
            "model": model,
            "devices": devices.tolist(),
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
    there, known = set(devices.tolist()), set(kinds)
    some = [row for row in found if row[0] in there and row[2] in known]
    return Log.of(
        np.searchsorted(devices, np.array([device for device, _, _ in some], np.int64)),
        np.array([microseconds(ts) for _, ts, _ in some], np.int64),
        np.array([kinds.index(kind) for _, _, kind in some], np.int64),
    )
