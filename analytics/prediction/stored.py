"""A fleet's past as stored: hourly rollups, fault events, repairs and failures. SQL; never commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString

import numpy as np

from analytics.definitions import HOUR, Floats, Ints
from analytics.prediction.history import History, Log
from analytics.prediction.lives import Hours, operating
from analytics.store import microseconds
from kit.database import Conn, scalar

STEP_HOURS = 3


@dataclass(frozen=True)
class Scope:
    """Which past of a device type is meant: everything but its readings, which are read for some devices at a time.

    Attributes:
        metrics, codes, components: names, as in `History`.
        devices: [device] ids, ascending.
        first, last: the steps [first, last), counted from the Unix epoch.
        until: nothing later is known.
    """

    metrics: tuple[str, ...]
    codes: tuple[str, ...]
    components: tuple[str, ...]
    devices: Ints
    first: int
    last: int
    model: str
    until: datetime

    @property
    def known(self) -> Ints:
        """[step] when each step is known: when it has ended, µs."""
        return (np.arange(self.first, self.last) + 1) * STEP_HOURS * HOUR

    def since(self, ts: int) -> Scope:
        """The same without the steps that began before `ts` (µs)."""
        return replace(self, first=max(self.first, -(-ts // (STEP_HOURS * HOUR))))


def scope(
    conn: Conn, model: str, since: datetime, until: datetime, device: int | Sequence[int] | None = None
) -> Scope | None:
    """What there is to read of a type's devices (or of some) in [since, until]; None where there are no devices,
    no readings that they could send, or no step has ended."""
    first, last = (microseconds(ts) // (STEP_HOURS * HOUR) for ts in (since, until))
    metrics = _names(
        conn, "select name from ingest.metric where model = %s and role = 'reading' order by 1", model
    )
    codes = _names(conn, "select code from ingest.fault_code where model = %s order by 1", model)
    there = population(conn, model, device)
    if there is None or last <= first or not metrics:
        return None
    devices, components = there
    return Scope(metrics, codes, components, devices, first, last, model, until)


def history(
    conn: Conn, model: str, since: datetime, until: datetime, device: int | Sequence[int] | None = None
) -> History | None:
    """The devices of a type (or some of them) in steps of 3 h (means of the hourly rollups), through the last step
    that ended by `until`; None where there is no telemetry. A step is known when it has ended."""
    there = scope(conn, model, since, until, device)
    return None if there is None else read(conn, there)


def read(conn: Conn, of: Scope) -> History | None:
    """The readings of a scope and all that goes with them; None where its devices have no telemetry."""
    values = means(conn, of.devices, of.metrics, of.first, of.last)
    if np.isnan(values).all():
        return None
    faults = conn.execute(_FAULTS, (of.devices.tolist(), of.until)).fetchall()
    return History(
        metrics=of.metrics,
        codes=of.codes,
        components=of.components,
        devices=of.devices,
        known=of.known,
        step_hours=STEP_HOURS,
        values=values,
        faults=_as_log(faults, of.devices, of.codes),
        repairs=repairs(conn, of.model, of.until, of.devices, of.components),
        trait_names=(),
        traits=np.empty((len(of.devices), 0)),
    )


def heard(conn: Conn, of: Scope) -> bool:
    """Whether there is telemetry of any of its devices."""
    step = STEP_HOURS * 3600
    return bool(
        scalar(
            conn,
            """select exists (
                   select from ingest.reading_hour
                   where device_id = any(%s) and metric = any(%s) and n > 0
                     and bucket >= to_timestamp(%s::float8) and bucket < to_timestamp(%s::float8))""",
            (of.devices.tolist(), list(of.metrics), of.first * step, of.last * step),
        )
    )


def hours(
    conn: Conn, model: str, since: datetime, until: datetime, device: int | Sequence[int] | None = None
) -> Hours | None:
    """The hours of a type's devices (or of some of them), through the last one that ended by `until`; None where there
    is no telemetry."""
    first, last = (microseconds(ts) // HOUR for ts in (since, until))
    there = population(conn, model, device)
    roles = dict(conn.execute("select name, role from ingest.metric where model = %s", (model,)).fetchall())
    metrics = sorted(name for name, role in roles.items() if role == "reading")
    if there is None or last <= first or not metrics:
        return None
    special = {role: name for name, role in roles.items() if role != "reading"}
    # Of all devices of the type, also where some are asked for, so that nobody's hours depend on who comes along.
    begun: datetime | None = conn.execute(_BEGUN, (since, until, model)).fetchone()[0]  # type: ignore[index]
    if begun is None:
        return None
    first = max(first, microseconds(begun) // HOUR)
    names = [*metrics, *(name for role, name in special.items() if role == "state")]
    table = means(conn, there[0], names, first, last, 1)
    counter = means(conn, there[0], [special["run_hours"]], first, last, 1, "last")[..., 0] if (
        "run_hours" in special) else np.full(table.shape[:2], np.nan)  # fmt: skip
    state = (
        table[..., names.index(special["state"])] if "state" in special else np.full(table.shape[:2], np.nan)
    )
    values = table[..., : len(metrics)]
    run = operating(counter, state, np.asarray(np.isfinite(values).any(axis=2)))
    return Hours((np.arange(first, last) + 1) * HOUR, values, state, run, counter)


_BEGUN = """select min(r.bucket) from ingest.device d join ingest.metric m on m.model = d.model
            cross join lateral (select h.bucket from ingest.reading_hour h
                                where h.device_id = d.id and h.metric = m.name and h.bucket >= %s and h.bucket < %s
                                order by h.bucket limit 1) r
            where d.model = %s"""


def population(
    conn: Conn, model: str, device: int | Sequence[int] | None = None
) -> tuple[Ints, tuple[str, ...]] | None:
    """The devices of a type (or some of them) and its components; None where there are no devices."""
    some = [device] if isinstance(device, int) else device
    found = conn.execute(
        "select id from ingest.device where model = %s and (%s::int[] is null or id = any(%s)) order by id",
        (model, *(2 * [None if some is None else list(some)])),
    ).fetchall()
    components = _names(
        conn, "select distinct component from ingest.failure_mode where model = %s order by 1", model
    )
    return (np.array([device for (device,) in found], np.int64), components) if found else None


def _names(conn: Conn, query: Any, model: str) -> tuple[str, ...]:
    return tuple(name for (name,) in conn.execute(query, (model,)))


_HOURS: LiteralString = """
    select r.device_id, r.metric, array_agg((extract(epoch from r.bucket)::bigint / 3600 - %(begin)s)::int),
           array_agg(r.{figure}), array_agg(r.n)
    from ingest.reading_hour r
    where r.device_id = any(%(devices)s) and r.metric = any(%(metrics)s) and r.n > 0
      and r.bucket >= to_timestamp(%(first)s::float8) and r.bucket < to_timestamp(%(last)s::float8)
    group by 1, 2"""
AT_ONCE = 32  # devices in a query: its arrays are held in memory


def means(
    conn: Conn, devices: Ints, metrics: Sequence[str], first: int, last: int, step_hours: int = STEP_HOURS,
    figure: LiteralString = "mean",
) -> Floats:  # fmt: skip
    """[device, step, metric] weighted means of a figure of the hourly rollups over steps of so many hours."""
    values = np.full((len(devices), last - first, len(metrics)), np.nan)
    row = {int(device): at for at, device in enumerate(devices)}
    column = {metric: at for at, metric in enumerate(metrics)}
    cursor = conn.cursor(binary=True)
    for some in range(0, len(devices), AT_ONCE):
        cursor.execute(
            _HOURS.replace("{figure}", figure),
            {
                "devices": devices[some : some + AT_ONCE].tolist(), "metrics": list(metrics),
                "begin": first * step_hours, "first": first * step_hours * 3600, "last": last * step_hours * 3600,
            },
        )  # fmt: skip
        for device, metric, hours, figures, counts in cursor:
            step, weight = np.asarray(hours) // step_hours, np.asarray(counts, np.float64)
            total = np.bincount(step, weight * np.asarray(figures, np.float64), last - first)
            weights = np.bincount(step, weight, last - first)
            there = weights > 0
            values[row[device], there, column[metric]] = total[there] / weights[there]
    return values


_FAULTS = """select device_id, ts, code from ingest.fault_event
             where device_id = any(%s) and ts <= %s and active"""
# The reason of a reset by an order ends with the remedy; one that was only inspected is as old as it was.
_REPAIRS = """select r.device_id, r.ts, r.component from analytics.reset r
              where r.device_id = any(%(devices)s) and r.ts <= %(until)s and r.component <> '*'
                and r.reason not like '%% inspect'
              union
              select r.device_id, r.ts, m.component from analytics.reset r
              join ingest.failure_mode m on m.model = %(model)s
              where r.device_id = any(%(devices)s) and r.ts <= %(until)s and r.component = '*'
                and r.reason not like '%% inspect'"""
# A failure, as far as anybody knew by then: somebody recorded it (an engineer's repair with a confirmed cause, a
# maintenance system), or the machine stopped itself (a code of severity 1 of that component was raised) and the
# component was then repaired. Of what lies between two repairs only the first counts: it is one failure told twice.
# A repair without either was planned.
_FAILURES = """with told as (
                   select f.device_id, f.ts, m.component, true as by_code
                   from ingest.fault_event f
                   join ingest.device d on d.id = f.device_id
                   join ingest.fault_code c on c.model = d.model and c.code = f.code and c.severity = 1
                   join ingest.failure_mode m on m.model = d.model and m.code = c.failure_mode
                   where d.model = %(model)s and f.ts <= %(until)s and f.active
                   union all
                   select f.device_id, f.ts, f.component, false
                   from analytics.failure f join ingest.device d on d.id = f.device_id
                   where d.model = %(model)s and f.known_at <= %(until)s)
               select t.device_id, min(t.ts), t.component from told t
               cross join lateral (
                   select min(r.ts) as repaired from analytics.reset r
                   where r.device_id = t.device_id and r.component in (t.component, '*') and r.ts >= t.ts
                     and r.ts <= %(until)s) r
               where r.repaired is not null or not t.by_code
               group by t.device_id, t.component, r.repaired"""


def repairs(conn: Conn, model: str, until: datetime, devices: Ints, components: Sequence[str]) -> Log:
    """Repairs and replacements; one of the whole machine counts for every component."""
    found = conn.execute(_REPAIRS, {"devices": devices.tolist(), "until": until, "model": model}).fetchall()
    return _as_log(found, devices, components)


def failures(conn: Conn, model: str, until: datetime, devices: Ints, components: Sequence[str]) -> Log:
    """Failures as the stored history told them by `until`: recorded, or stopped by a code of severity 1 and then
    repaired."""
    found = conn.execute(_FAILURES, {"model": model, "until": until}).fetchall()
    return _as_log(found, devices, components)


def _as_log(found: Sequence[tuple[int, datetime, str]], devices: Ints, kinds: Sequence[str]) -> Log:
    there, known = set(devices.tolist()), set(kinds)
    some = [row for row in found if row[0] in there and row[2] in known]
    return Log.of(
        np.searchsorted(devices, np.array([device for device, _, _ in some], np.int64)),
        np.array([microseconds(ts) for _, ts, _ in some], np.int64),
        np.array([kinds.index(kind) for _, _, kind in some], np.int64),
    )
