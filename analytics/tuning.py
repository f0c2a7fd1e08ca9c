"""Change how the rules are tuned, while everything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from analytics.rules import Rules
from kit.database import Conn, rows, scalar
from kit.errors import Invalid


@dataclass(frozen=True)
class Change:
    """What was in force from when it was made on. `rules` is what differs from the defaults, as in a TOML file."""

    id: int
    rules: dict[str, Any]
    changed_by: str
    changed_at: datetime


def change(conn: Conn, rules: Mapping[str, Any], actor: str) -> Change:
    """Put rules in force, in the caller's transaction: `rules` says all that differs from the defaults, so {} is the
    defaults. The workers take it up before the next batch that they process; what was found before keeps the tuning
    it was found with. The same rules again change nothing.

    Raises:
        Invalid: a rule or setting is unknown or a value is wrong (see `Rules.of`), or nobody is named.
    """
    if not actor.strip():
        raise Invalid("Say who changes the rules: actor must not be empty.")
    Rules.of(rules)
    conn.execute("select pg_advisory_xact_lock(hashtext('analytics.tuning'))")
    newest = history(conn, limit=1)
    if newest and newest[0].rules == dict(rules):
        return newest[0]
    conn.execute(
        "insert into analytics.tuning (rules, changed_by) values (%s, %s)",
        (Jsonb(dict(rules)), actor.strip()),
    )
    return history(conn, limit=1)[0]


def history(conn: Conn, *, limit: int = 50) -> list[Change]:
    """Changes, the newest first."""
    found = rows(
        conn,
        "select id, rules, changed_by, changed_at from analytics.tuning order by id desc limit %s",
        (limit,),
    )
    return [Change(**row) for row in found]


def in_use(conn: Conn) -> bool:
    """Whether every partition that has processed anything since the newest change works with it."""
    found: bool = scalar(
        conn,
        """select coalesce(bool_and(u.tuning_id is not distinct from (select max(id) from analytics.tuning)), true)
           from (select distinct on (partition) partition, tuning_id from analytics.tuning_use
                 order by partition, xid desc, batch_id desc) u""",
    )
    return found
