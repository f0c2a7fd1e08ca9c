"""Everything a write stores besides telemetry rows. First argument the connection; never commits. Times in µs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from ingest import arrays
from ingest.arrays import Packed
from ingest.intake import MAX_ITEM, Event, Letter, Quarantined
from ingest.message import clean
from ingest.rows import Block, readings
from ingest.steady import Counters, Days, Ints
from ingest.written import Written, at
from kit.database import Conn

HOUR = 3_600_000_000  # µs


def faults(conn: Conn, batch_id: int, events: Iterable[Event]) -> int:
    """Store fault events; returns how many were new."""
    ordered = sorted(set(events))
    if not ordered:
        return 0
    device, ts, code, active, received = zip(*ordered, strict=True)
    return conn.execute(
        """insert into ingest.fault_event (batch_id, device_id, ts, code, active, received_at)
           select %s, u.device, ingest.at(u.ts), u.code, u.active, ingest.at(u.received)
           from unnest(%s::int[], %s::bigint[], %s::text[], %s::bool[], %s::bigint[])
                as u(device, ts, code, active, received)
           on conflict do nothing""",
        (batch_id, list(device), list(ts), list(code), list(active), list(received)),
    ).rowcount


def states(conn: Conn, events: Iterable[Event]) -> int:
    """Store changes between online and offline; the newest by event time is the present (online wins a tie)."""
    ordered = sorted(set(events))
    if not ordered:
        return 0
    device, ts, reason, online, _ = zip(*ordered, strict=True)
    columns = (list(device), list(ts), list(online), list(reason))
    new = conn.execute(
        """insert into ingest.device_state (device_id, ts, online, reason)
           select u.device, ingest.at(u.ts), u.online, u.reason
           from unnest(%s::int[], %s::bigint[], %s::bool[], %s::text[]) as u(device, ts, online, reason)
           on conflict do nothing""",
        columns,
    ).rowcount
    conn.execute(
        """insert into ingest.device_status as s (device_id, online, online_at)
           select distinct on (u.device) u.device, u.online, ingest.at(u.ts)
           from unnest(%s::int[], %s::bigint[], %s::bool[]) as u(device, ts, online)
           order by u.device, u.ts desc, u.online desc
           on conflict (device_id) do update set online = excluded.online, online_at = excluded.online_at
           where s.online_at is null or (excluded.online_at, excluded.online) > (s.online_at, s.online)""",
        columns[:3],
    )
    return new


_STATUS = """
    insert into ingest.device_status as s (device_id, last_ts, received_at, messages)
    select * from unnest(%s, %s, %s, %s)
    on conflict (device_id) do update set last_ts = greatest(s.last_ts, excluded.last_ts),
        received_at = greatest(s.received_at, excluded.received_at), messages = s.messages + excluded.messages"""
_MARKS = "insert into ingest.rollup_dirty (device_id, first, last) select * from unnest(%s, %s, %s)"
_COUNTERS = """
    insert into ingest.run_hours as r (device_id, ts, raw, life) select * from unnest(%s, %s, %s, %s)
    on conflict (device_id) do update set ts = excluded.ts, raw = excluded.raw, life = excluded.life"""
_DAYS = """
    insert into ingest.run_hours_day as d (device_id, day, hours, counted, first_ts, ts, raw, life)
    select u.device, date '1970-01-01' + u.day, u.hours, u.counted, nullif(u.first, '-infinity'),
           nullif(u.ts, '-infinity'), nullif(u.raw, 'NaN'), nullif(u.life, 'NaN')
    from unnest(%s, %s, %s, %s, %s, %s, %s, %s) as u(device, day, hours, counted, first, ts, raw, life)
    on conflict (device_id, day) do update set hours = d.hours + excluded.hours,
        counted = case when excluded.ts is null then d.counted else d.hours + excluded.counted end,
        first_ts = coalesce(d.first_ts, excluded.first_ts), ts = coalesce(excluded.ts, d.ts),
        raw = coalesce(excluded.raw, d.raw), life = coalesce(excluded.life, d.life)"""
_BOTH_HOURS = f"with counter as ({_COUNTERS}) {_DAYS}"
_ALL = f"with status as ({_STATUS}), mark as ({_MARKS}), counter as ({_COUNTERS}) {_DAYS}"
_LESS = f"with status as ({_STATUS}) {_MARKS}"


class Told(NamedTuple):
    """What rows say of their devices, for `record`, and of themselves."""

    values: list[Packed]
    rows: int
    readings: int
    first_ts: datetime | None
    last_ts: datetime | None


NOTHING = Told([], 0, 0, None, None)


def told(blocks: Sequence[Block]) -> Told:
    """The newest times of devices, and the hours whose rollup rows make out of date; how many rows and readings there
    are, and when."""
    if not any(map(len, blocks)):
        return NOTHING
    device = np.concatenate([block.device for block in blocks])
    ts = np.concatenate([block.ts for block in blocks])
    received = np.concatenate([block.received for block in blocks])
    values = [*_newest(device, ts, received), *_hours(device, ts)]
    return Told(values, len(ts), readings(blocks), at(int(ts.min())), at(int(ts.max())))


def record(conn: Conn, told: Told, counters: Counters | None, days: Days | None) -> None:
    """What follows from rows that are new, in one statement: `device_status`, hours whose rollup is out of date,
    run-hours."""
    if counters is None or days is None:
        conn.execute(_LESS, told.values)
    else:
        conn.execute(_ALL, [*told.values, *_counter_values(counters), *_day_values(days)])


def hours(conn: Conn, counters: Counters, days: Days) -> None:
    """Store run-hours, whatever was there."""
    conn.execute(_BOTH_HOURS, [*_counter_values(counters), *_day_values(days)])


def _newest(device: Ints, ts: Ints, received: Ints) -> list[Packed]:
    """Of each device the newest event time, the last arrival and the count."""
    order = np.argsort(device, kind="stable")
    device = device[order]
    heads = np.flatnonzero(np.r_[True, device[1:] != device[:-1]])
    last, arrived = np.maximum.reduceat(ts[order], heads), np.maximum.reduceat(received[order], heads)
    count = np.diff(np.r_[heads, len(device)])
    return [arrays.ints(device[heads]), arrays.times(last), arrays.times(arrived), arrays.bigints(count)]


def _hours(device: Ints, ts: Ints) -> list[Packed]:
    """The hours that rows fall into, as runs within a UTC day: device, first hour, last hour."""
    both = np.unique(device << 24 | ts // HOUR)
    device, hour = both >> 24, both & 0xFFFFFF
    follows = (device[1:] == device[:-1]) & (hour[1:] == hour[:-1] + 1) & (hour[1:] % 24 != 0)
    heads = np.flatnonzero(np.r_[True, ~follows])
    last = np.r_[heads[1:] - 1, len(hour) - 1]
    return [arrays.ints(device[heads]), arrays.times(hour[heads] * HOUR), arrays.times(hour[last] * HOUR)]


def _counter_values(found: Counters) -> list[Packed]:
    return [
        arrays.ints(found.device), arrays.times(found.ts), arrays.floats(found.raw), arrays.floats(found.life)
    ]  # fmt: skip


def _day_values(found: Days) -> list[Packed]:
    return [
        arrays.ints(found.device), arrays.ints(found.day), arrays.floats(found.hours), arrays.floats(found.counted),
        arrays.times(found.first), arrays.times(found.ts), arrays.floats(found.raw), arrays.floats(found.life),
    ]  # fmt: skip


def quarantine(conn: Conn, found: Iterable[Quarantined]) -> int:
    """Store refused values; returns how many were new."""
    ordered = sorted(found, key=lambda q: (q.device_id, q.ts, q.bad.item, q.bad.reason))
    if not ordered:
        return 0
    return conn.execute(
        """insert into ingest.quarantine (device_id, ts, item, value, reason, detail, received_at)
           select u.device, ingest.at(u.ts), u.item, u.value, u.reason, u.detail, ingest.at(u.received)
           from unnest(%s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
                as u(device, ts, item, value, reason, detail, received)
           on conflict do nothing""",
        (
            [q.device_id for q in ordered], [q.ts for q in ordered],
            [clean(q.bad.item) for q in ordered], [clean(q.bad.value) for q in ordered],
            [q.bad.reason for q in ordered], [clean(q.bad.detail, 500) for q in ordered], [q.received for q in ordered],
        ),
    ).rowcount  # fmt: skip


def dead_letters(conn: Conn, door: str, letters: Sequence[Letter]) -> None:
    """Store whole messages that cannot be used, and count those of unknown devices."""
    if not letters:
        return
    # COPY, because a device may send nothing but poison: a round trip for each would keep all the others waiting.
    copy = """copy ingest.dead_letter (door, topic, client_id, device_uid, payload, size, reason, detail, received_at)
              from stdin"""
    with conn.cursor() as cursor, cursor.copy(copy) as into:
        for letter in letters:
            arrival = letter.arrival
            into.write_row(
                (door, clean(arrival.topic, 1000), arrival.client_id and clean(arrival.client_id),
                 letter.uid and clean(letter.uid), letter.payload[:MAX_ITEM], len(letter.payload), letter.reason,
                 clean(letter.detail, 500), arrival.received_at)
            )  # fmt: skip
    strangers = [letter for letter in letters if letter.reason in ("unknown_device", "unregistered_model")]
    if strangers:
        _unknown_devices(conn, door, strangers)


def _unknown_devices(conn: Conn, door: str, letters: Sequence[Letter]) -> None:
    knocks = Counter(clean(letter.uid, 80) for letter in letters if letter.uid)
    last = {clean(letter.uid, 80): letter.arrival for letter in letters if letter.uid}
    uids = sorted(knocks)
    conn.execute(
        """insert into ingest.unknown_device as u (uid, door, first_seen, last_seen, messages, last_topic)
           select n.uid, %s, n.at, n.at, n.messages, n.topic
           from unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::text[]) as n(uid, at, messages, topic)
           on conflict (uid) do update set door = excluded.door, last_topic = excluded.last_topic,
               last_seen = greatest(u.last_seen, excluded.last_seen), messages = u.messages + excluded.messages""",
        (door, uids, [last[uid].received_at for uid in uids], [knocks[uid] for uid in uids],
         [clean(last[uid].topic, 1000) for uid in uids]),
    )  # fmt: skip


def account(conn: Conn, door: str, written: Written) -> None:
    """The batch row, which analytics follows, and the totals. The last statement of a write: the totals are what
    writers of one door contend for."""
    counts = {"messages": written.messages, "rows": written.rows, "readings": written.readings,
              "faults": written.faults, "states": written.states, "duplicates": written.duplicates}  # fmt: skip
    counts |= {f"refused:{name}": n for name, n in written.refused.items()}
    added = sorted((name, n) for name, n in counts.items() if n)
    conn.execute(
        """with batch as (
               insert into ingest.batch (id, door, messages, rows, readings, duplicates, first_ts, last_ts)
               overriding system value values (%s, %s, %s, %s, %s, %s, %s, %s))
           insert into ingest.total as t (door, name, value)
           select %s, u.name, u.n from unnest(%s::text[], %s::bigint[]) as u(name, n)
           on conflict (door, name) do update set value = t.value + excluded.value""",
        (written.batch_id, door, written.messages, written.rows, written.readings, written.duplicates,
         written.first_ts, written.last_ts, door, [name for name, _ in added], [n for _, n in added]),
    )  # fmt: skip
