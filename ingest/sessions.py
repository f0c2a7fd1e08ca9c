"""SQL of the end points' own memory: doors, sessions with their wills, retained messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from kit.database import Conn, scalar


@dataclass(frozen=True, slots=True)
class Orphan:
    """A session whose door has died; `silent_since` is that door's last beat, wall clock. `elsewhere`: the device is
    connected to another door."""

    uid: str
    client_id: str
    silent_since: datetime
    will_topic: str | None
    will_payload: bytes | None
    will_retain: bool
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A connection that was admitted; `will` is (topic, payload, retain)."""

    uid: str
    client_id: str
    number: int
    will: tuple[str, bytes, bool] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one connection; matches only the row that this connection wrote."""

    uid: str
    client_id: str
    door: int
    number: int


def open_door(conn: Conn, name: str) -> int:
    """Register a running end point; returns its id."""
    door: int = scalar(conn, "insert into ingest.door (name) values (%s) returning id", (name,))
    return door


def beat(conn: Conn, door: int) -> bool:
    """Say that the door is alive, and forget doors long dead and empty. Returns False when others have forgotten this
    one: it could not reach the database for so long."""
    known = conn.execute("update ingest.door set beat_at = clock_timestamp() where id = %s", (door,)).rowcount
    conn.execute(
        """delete from ingest.door d where beat_at < clock_timestamp() - interval '1 hour'
           and not exists (select from ingest.session s where s.door = d.id)"""
    )
    return known > 0


def begin(conn: Conn, door: int, begun: Sequence[Begun]) -> None:
    """Remember connections and their wills; each takes over an older one of the same name, and the door that has
    that one is told, when it is another one."""
    last = {(one.uid, one.client_id): one for one in begun}
    # In one order at every door: two that take over from each other wait, and do not block each other.
    rows = [last[key] for key in sorted(last)]
    wills = [one.will if one.will is not None else (None, None, False) for one in rows]
    keys = [one.uid for one in rows], [one.client_id for one in rows]
    conn.execute(
        """select pg_notify(%s, s.door || ' ' || s.number)
           from unnest(%s::text[], %s::text[]) as n(uid, client_id) join ingest.session s using (uid, client_id)
           where s.door <> %s and s.number >= 0""",
        (TAKEN_OVER, *keys, door),
    )
    conn.execute(
        """insert into ingest.session (uid, client_id, door, number, will_topic, will_payload, will_retain)
           select uid, client_id, %s, number, topic, payload, retain
           from unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::bytea[], %s::boolean[])
               as n(uid, client_id, number, topic, payload, retain)
           on conflict (uid, client_id) do update set door = excluded.door, number = excluded.number,
               connected_at = excluded.connected_at, will_topic = excluded.will_topic,
               will_payload = excluded.will_payload, will_retain = excluded.will_retain""",
        (
            door, *keys, [one.number for one in rows], [topic for topic, _, _ in wills],
            [payload for _, payload, _ in wills], [retain for _, _, retain in wills],
        ),
    )  # fmt: skip


def numbers(conn: Conn, door: int) -> set[int]:
    """The connections of a door that nobody has taken over."""
    return {
        number for (number,) in conn.execute("select number from ingest.session where door = %s", (door,))
    }


def standing(conn: Conn, ended: Sequence[Ended]) -> list[tuple[bool, bool]]:
    """Of connections that have ended: whether nobody has taken it over, and whether the device is connected to another
    door that is alive."""
    found = conn.execute(
        """select exists (select from ingest.session s where s.uid = e.uid and s.client_id = e.client_id
                              and s.door = e.door and s.number = e.number),
                  exists (select from ingest.session s join ingest.door d on d.id = s.door
                          where s.uid = e.uid and s.door <> e.door
                            and d.beat_at > clock_timestamp() - make_interval(secs => 15))
           from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])
               with ordinality as e(uid, client_id, door, number, n) order by n""",
        _columns(ended),
    )
    return found.fetchall()


def end(conn: Conn, ended: Sequence[Ended]) -> None:
    """Forget connections that have ended."""
    conn.execute(
        """delete from ingest.session s
           using unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) as e(uid, client_id, door, number)
           where s.uid = e.uid and s.client_id = e.client_id and s.door = e.door and s.number = e.number""",
        _columns(ended),
    )


def _columns(ended: Sequence[Ended]) -> tuple[list[str], list[str], list[int], list[int]]:
    return (
        [one.uid for one in ended],
        [one.client_id for one in ended],
        [one.door for one in ended],
        [one.number for one in ended],
    )


ORPHAN_NUMBER = -1
# Channel on which a door learns that a client of its has connected elsewhere: "<door> <number>".
TAKEN_OVER = "ingest.taken_over"


def adopt(conn: Conn, door: int, grace_seconds: float) -> list[Orphan]:
    """Take over the sessions of doors silent for longer than `grace_seconds`; each goes to one adopter only."""
    cursor = conn.cursor(row_factory=class_row(Orphan))
    return cursor.execute(
        """with dead as (
               select id, beat_at from ingest.door
               where id <> %(door)s and beat_at < clock_timestamp() - make_interval(secs => %(grace)s))
           update ingest.session s set door = %(door)s, number = %(number)s
           from dead where s.door = dead.id
           returning s.uid, s.client_id, dead.beat_at as silent_since, s.will_topic, s.will_payload, s.will_retain,
               exists (select from ingest.session o where o.uid = s.uid and o.client_id <> s.client_id
                       and o.door not in (select id from dead)) as elsewhere""",
        {"door": door, "grace": grace_seconds, "number": ORPHAN_NUMBER},
    ).fetchall()


def retain(conn: Conn, messages: Sequence[tuple[str, bytes]]) -> None:
    """Keep the last payload of each topic; an empty one removes it."""
    last = dict(messages)
    keep = {topic: payload for topic, payload in last.items() if payload}
    conn.execute(
        """insert into ingest.retained (topic, payload) select * from unnest(%s::text[], %s::bytea[])
           on conflict (topic) do update set payload = excluded.payload, stored_at = clock_timestamp()""",
        (list(keep), list(keep.values())),
    )
    if gone := [topic for topic, payload in last.items() if not payload]:
        conn.execute("delete from ingest.retained where topic = any(%s)", (gone,))


def retained(conn: Conn, topics: Iterable[str]) -> list[tuple[str, bytes]]:
    """The retained messages of some topics."""
    found = conn.execute("select topic, payload from ingest.retained where topic = any(%s)", (list(topics),))
    return [(topic, bytes(payload)) for topic, payload in found]


def note_unknown(conn: Conn, uid: str, door: str, at: datetime) -> None:
    """List a uid that knocked without being known; one that is known and showed the wrong password is not listed."""
    values: dict[str, Any] = {"uid": uid, "door": door, "at": at}
    conn.execute(
        """insert into ingest.unknown_device (uid, door, first_seen, last_seen)
           select %(uid)s, %(door)s, %(at)s, %(at)s
           where not exists (select from ingest.device where uid = %(uid)s)
           on conflict (uid) do update set last_seen = excluded.last_seen, door = excluded.door,
               messages = ingest.unknown_device.messages + 1""",
        values,
    )


def broker_session(conn: Conn, broker: str, client_id: str, *, present: bool) -> bool:
    """Note that a collector has connected; returns True when the broker has lost the session it had."""
    known = scalar(
        conn,
        """insert into ingest.broker_session as had (broker, client_id) values (%(broker)s, %(client)s)
           on conflict (broker, client_id) do update set lost = had.lost + (not %(present)s)::int,
               since = case when %(present)s then had.since else clock_timestamp() end
           returning xmax <> 0""",
        {"broker": broker, "client": client_id, "present": present},
    )
    return bool(known) and not present
