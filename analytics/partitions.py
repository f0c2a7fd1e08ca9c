"""How many partitions the devices are cut into. A device is in partition `id % partitions`.

The number only grows, and only to a multiple, so that every new partition takes its devices from one old one and goes
on where that stands.
"""

from __future__ import annotations

from kit import logs
from kit.database import Conn, scalar

log = logs.get(__name__)
WORK = "analytics.partition"
_STATE = "analytics.partitions"


def number(conn: Conn) -> int:
    """The partitions in use."""
    found: int | None = scalar(conn, "select (value #>> '{}')::int from kit.state where name = %s", (_STATE,))
    return found or 1


def agree(conn: Conn, wanted: int) -> int | None:
    """The partitions to use when at least `wanted` are asked for; None while other processes still work on fewer."""
    here = number(conn)
    if wanted <= here:
        return here
    with conn.transaction():
        if not all(_alone(conn, part) for part in range(here)):
            log.warning("more partitions wait until no other analytics process works on fewer", now=here)
            return None
        here = number(conn)
        grown = -(-wanted // here) * here
        if grown > here:
            _grow(conn, here, grown)
            log.info("more partitions", before=here, now=grown)
    return grown


def _alone(conn: Conn, part: int) -> bool:
    """Hold a partition until the end of the transaction."""
    return bool(scalar(conn, "select pg_try_advisory_xact_lock(hashtext(%s), %s)", (WORK, part)))


def _grow(conn: Conn, here: int, grown: int) -> None:
    for part in range(here, grown):
        names = {"part": part, "parent": part % here}
        conn.execute(
            """insert into kit.follower (name, source, xid, id)
               select regexp_replace(name, '[0-9]+$', %(part)s::text), source, xid, id from kit.follower
               where name ~ ('^analytics[.][a-z]+[.]' || %(parent)s || '$')
               on conflict do nothing""",
            names,
        )
        conn.execute(
            """insert into analytics.step (partition, number, day)
               select %(part)s, number, day from analytics.step where partition = %(parent)s
               on conflict do nothing""",
            names,
        )
        conn.execute(
            """insert into analytics.fleet (partition, model, xid, batch_id, state)
               select %(part)s, model, xid, batch_id, state from analytics.fleet where partition = %(parent)s
               on conflict do nothing""",
            names,
        )
        conn.execute(
            """insert into analytics.tuning_use (partition, xid, batch_id, tuning_id)
               select %(part)s, xid, batch_id, tuning_id from analytics.tuning_use where partition = %(parent)s
               on conflict do nothing""",
            names,
        )
    conn.execute(
        """insert into kit.state (name, value) values (%s, to_jsonb(%s::int))
           on conflict (name) do update set value = excluded.value""",
        (_STATE, grown),
    )
