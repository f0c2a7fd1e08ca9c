"""Learning waits while the past of a fleet is being brought in: from half of it the wrong things are learned."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from kit.database import Conn, scalar

_PREFIX = "learning.waits:"


def hold(conn: Conn, reason: str) -> None:
    """Nothing new is learned until `release` with the same reason; survives whoever called it."""
    conn.execute(
        "insert into kit.state (name, value) values (%s, %s) on conflict (name) do nothing",
        (_PREFIX + reason, Jsonb(True)),
    )


def release(conn: Conn, reason: str) -> None:
    """What that reason waited for has come."""
    conn.execute("delete from kit.state where name = %s", (_PREFIX + reason,))


def held(conn: Conn) -> bool:
    """Whether somebody is bringing in a past."""
    return bool(scalar(conn, "select exists (select from kit.state where starts_with(name, %s))", (_PREFIX,)))


def behind(conn: Conn, model: str) -> bool:
    """Whether hours of a device type, of more than a day ago, have still to be rolled up."""
    return bool(
        scalar(
            conn,
            """select exists (select from ingest.rollup_dirty r join ingest.device d on d.id = r.device_id
                              where d.model = %s and r.first < kit.now() - interval '1 day')""",
            (model,),
        )
    )
