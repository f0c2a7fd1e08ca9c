"""Run-hours in the database: counting new readings, declaring a replacement, counting again after late data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from psycopg import Cursor

from ingest import arrays, facts, steady
from ingest.counters import DAY, ODD, Counter, Folded, Replacement, explain, fold
from ingest.intake import Quarantined, micros_of
from ingest.message import Bad
from ingest.steady import Counters, Days, Floats, Ints
from kit import clock
from kit.database import Conn, one, scalar
from kit.errors import Invalid, NotFound

Asked = Cursor[Any]


class Known(NamedTuple):
    """What is known of devices, whose rows stay locked: counters, and exchanges by device."""

    counters: Counters
    replaced: Mapping[int, Sequence[Replacement]]


class Counted(NamedTuple):
    """What new readings add, for `facts.record`; and the devices that were counted reading by reading."""

    counters: Counters
    days: Days
    folded: Mapping[int, Folded]


def ask(conn: Conn, devices: Ints) -> Asked:
    """Ask for the counters of some devices, locking them, and for their exchanges; `known` reads the answer."""
    return conn.execute(
        """with counter as materialized (
               select device_id, ts, raw, life from ingest.run_hours
               where device_id = any(%(devices)s) order by device_id for update)
           select 0, device_id, (extract(epoch from ts) * 1000000)::bigint as us, raw, life from counter
           union all
           select 1, device_id, (extract(epoch from ts) * 1000000)::bigint as us, old_raw, new_raw
           from ingest.counter_replacement where device_id = any(%(devices)s)
           order by 1, device_id, us""",
        {"devices": arrays.ints(devices)},
    )


def known(asked: Asked) -> Known:
    """The answer to `ask`; can be read once."""
    found = asked.fetchall()
    replaced: dict[int, list[Replacement]] = defaultdict(list)
    for _, device, us, old_raw, new_raw in (row for row in found if row[0]):
        replaced[device].append(Replacement(us, old_raw, new_raw))
    return Known(steady.counters([row[1:] for row in found if not row[0]]), replaced)


def count(known: Known, device: Ints, ts: Ints, raw: Floats, rolls_at: Mapping[int, float | None]) -> Counted:
    """Count new readings (times in µs) on top of what is known. Pure.

    Args:
        known: of at least these devices.
        rolls_at: by device, where its counter wraps.
    """
    order = np.lexsort((raw, ts, device))
    device, ts, raw = device[order], ts[order], raw[order]
    apart = np.array(sorted(known.replaced), np.int64)
    counters, days, rest = steady.count(device, ts, raw, known.counters, apart)
    if not rest.any():
        return Counted(counters, days, {})
    folded = _fold(device[rest], ts[rest], raw[rest], known, rolls_at)
    more, more_days = steady.of_folded(folded)
    return Counted(steady.joined(counters, more), steady.joined_days(days, more_days), folded)


def report(conn: Conn, counted: Counted) -> list[Quarantined]:
    """Ask for the recounts that late readings call for; returns what was not counted, for the quarantine."""
    _mark_late(conn, counted.folded)
    return _odd(conn, counted.folded)


def _fold(
    device: Ints,
    ts: Ints,
    raw: Floats,
    known: Known,
    rolls_at: Mapping[int, float | None],
) -> dict[int, Folded]:
    """The devices whose readings want a closer look, one by one."""
    of_device = zip(*(getattr(known.counters, f.name).tolist() for f in fields(Counters)), strict=True)
    counters = {each: Counter(at, shown, life) for each, at, shown, life in of_device}
    readings: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for each, at, shown in zip(device.tolist(), ts.tolist(), raw.tolist(), strict=True):
        readings[each].append((at, shown))
    return {
        each: fold(counters.get(each), found, rolls_at.get(each), known.replaced.get(each, ()))
        for each, found in readings.items()
    }


def declare(conn: Conn, uid: str, at: datetime, old_raw: float, new_raw: float) -> None:
    """A device's counter was exchanged or set at `at`: it showed `old_raw` before and `new_raw` after. Hours since
    then are counted again.

    Raises:
        NotFound: no such device.
        Invalid: a counter cannot show less than 0.
    """
    found = one(conn, "select id from ingest.device where uid = %s", (uid,))
    if found is None:
        raise NotFound(f"There is no device {uid!r}.")
    if old_raw < 0 or new_raw < 0:
        raise Invalid(f"A counter shows 0 or more hours, not {min(old_raw, new_raw):g}.")
    conn.execute(
        """insert into ingest.counter_replacement (device_id, ts, old_raw, new_raw) values (%s, %s, %s, %s)
           on conflict (device_id, ts) do update set old_raw = excluded.old_raw, new_raw = excluded.new_raw,
               declared_at = excluded.declared_at""",
        (found["id"], at, old_raw, new_raw),
    )
    recount(conn, found["id"], at)


def recount(conn: Conn, device_id: int, since: datetime) -> None:
    """Count a device's hours again from the stored readings, beginning with the last one counted before the day of
    `since`. Waits for writers of the device, who wait for the end of the transaction."""
    conn.execute("select 1 from ingest.run_hours where device_id = %s for update", (device_id,))
    day = micros_of(since) // DAY * DAY
    start = conn.execute(
        """select (extract(epoch from ts) * 1000000)::bigint, raw, life from ingest.run_hours_day
           where device_id = %s and day < ingest.at(%s)::date and ts is not null order by day desc limit 1""",
        (device_id, day),
    ).fetchone()
    counter = Counter(*start) if start else None
    _forget_after(conn, device_id, counter)
    rolls_at = _rolls_at(conn, device_id)
    replaced = _replacements(conn, [device_id]).get(device_id, ())
    done = fold(counter, _stored(conn, device_id, counter), rolls_at, replaced)
    facts.hours(conn, *steady.of_folded({device_id: done}))
    facts.quarantine(conn, _odd(conn, {device_id: done}))


def recount_dirty(conn: Conn, limit: int = 200) -> int:
    """Count again the devices that late data asks for; returns how many. In the caller's transaction."""
    marks = conn.execute(
        """with marked as (select distinct device_id from ingest.run_hours_dirty order by device_id limit %s),
                gone as (delete from ingest.run_hours_dirty d using marked
                         where d.device_id = marked.device_id returning d.*)
           select device_id, min(since) from gone group by device_id order by device_id""",
        (limit,),
    ).fetchall()
    for device_id, since in marks:
        recount(conn, device_id, since)
    return len(marks)


def _replacements(conn: Conn, devices: list[int]) -> dict[int, list[Replacement]]:
    found = conn.execute(
        """select device_id, (extract(epoch from ts) * 1000000)::bigint, old_raw, new_raw
           from ingest.counter_replacement where device_id = any(%b::int[]) order by ts""",
        (devices,),
    ).fetchall()
    by_device: dict[int, list[Replacement]] = defaultdict(list)
    for device, *exchange in found:
        by_device[device].append(Replacement(*exchange))
    return by_device


def _rolls_at(conn: Conn, device_id: int) -> float | None:
    found: float | None = scalar(
        conn,
        """select m.rolls_at from ingest.metric m join ingest.device d on d.model = m.model
           where d.id = %s and m.role = 'run_hours'""",
        (device_id,),
    )
    return found


def _stored(conn: Conn, device_id: int, after: Counter | None) -> list[tuple[int, float]]:
    return conn.execute(
        """select (extract(epoch from ts) * 1000000)::bigint, raw from (
               select t.ts, t."values"[array_position(s.metrics, m.name)] as raw
               from ingest.telemetry t join ingest.shape s on s.id = t.shape_id
               join ingest.device d on d.id = t.device_id
               join ingest.metric m on m.model = d.model and m.role = 'run_hours'
               where t.device_id = %s and t.ts > ingest.at(%s)) r
           where raw <> 'NaN' order by ts, raw""",
        (device_id, after.ts if after else 0),
    ).fetchall()


def _forget_after(conn: Conn, device_id: int, counter: Counter | None) -> None:
    """Take back the days after `counter`, what its own day got from later readings, and what was reported."""
    since = counter.ts if counter else 0
    conn.execute(
        "delete from ingest.run_hours_day where device_id = %s and day > ingest.at(%s)::date",
        (device_id, since),
    )
    conn.execute(
        "update ingest.run_hours_day set hours = counted where device_id = %s and day = ingest.at(%s)::date",
        (device_id, since),
    )
    conn.execute(
        "delete from ingest.quarantine where device_id = %s and ts > ingest.at(%s) and reason = any(%s)",
        (device_id, since, list(ODD.values())),
    )


def _mark_late(conn: Conn, folded: Mapping[int, Folded]) -> None:
    """Ask for a recount where a late reading contradicts what was counted, or lies outside of the readings counted
    on its day: then the hours belong to other days than was thought."""
    late = [(device, ts, agrees) for device, done in folded.items() for ts, agrees in done.late]
    if not late:
        return
    device, ts, agrees = (list(column) for column in zip(*late, strict=True))
    conn.execute(
        """insert into ingest.run_hours_dirty (device_id, since)
           select u.device, min(ingest.at(u.ts))
           from unnest(%s::int[], %s::bigint[], %s::bool[]) as u(device, ts, agrees)
           left join ingest.run_hours_day d on d.device_id = u.device and d.day = ingest.at(u.ts)::date
           where not (u.agrees and coalesce(ingest.at(u.ts) between d.first_ts and d.ts, false))
           group by u.device""",
        (device, ts, agrees),
    )


def _odd(conn: Conn, folded: Mapping[int, Folded]) -> list[Quarantined]:
    """What was not counted, for the quarantine."""
    received = micros_of(clock.now(conn)) if any(done.odd for done in folded.values()) else 0
    return [
        Quarantined(
            device, ts, Bad("run_hours", f"{raw:g}", ODD[kind], explain(kind, ts, raw, before)), received
        )
        for device, done in folded.items()
        for kind, ts, raw, before in done.odd
    ]
