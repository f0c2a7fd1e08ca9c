"""Change how the rules are tuned, while everything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from analytics.rules import differing
from kit.database import Conn, rows, scalar
from kit.errors import Invalid, NotFound, StaleVersion

MOST_CHARACTERS = 500


@dataclass(frozen=True)
class Change:
    """What was in force from when it was made on.

    Attributes:
        rules: all that differs from the defaults, as in a TOML file.
        note: why; e.g. the backtest it was tried in.
    """

    id: int
    rules: dict[str, Any]
    changed_by: str
    changed_at: datetime
    note: str = ""


def change(
    conn: Conn, rules: Mapping[str, Any], actor: str, *, note: str = "", based_on: int | None = None
) -> Change:
    """Put rules in force, in the caller's transaction: `rules` says all that differs from the defaults, so {} is the
    defaults. The workers take it up at once; what was found before keeps the tuning it was found with, and what a rule
    that is off now had left open is closed. The same rules again change nothing.

    Args:
        based_on: the newest change that the actor has seen (0: none); None does not look.

    Raises:
        Invalid: a rule or setting is unknown or a value is wrong (see `Rules.of`), or nobody is named.
        StaleVersion: somebody else has changed the rules since.
    """
    if not actor.strip():
        raise Invalid("Say who changes the rules: actor must not be empty.")
    if len(note) > MOST_CHARACTERS:
        raise Invalid(f"A note has at most {MOST_CHARACTERS} characters, not {len(note)}.", key="note")
    wanted = differing(rules)
    conn.execute("select pg_advisory_xact_lock(hashtext('analytics.tuning'))")
    newest = history(conn, limit=1)
    if based_on is not None and based_on != (newest[0].id if newest else 0):
        raise StaleVersion(
            f"{newest[0].changed_by if newest else 'Somebody'} changed the rules meanwhile; look at them again.",
            newest=newest[0].id if newest else 0,
        )
    if newest and newest[0].rules == wanted:
        return newest[0]
    conn.execute(
        "insert into analytics.tuning (rules, changed_by, note) values (%s, %s, %s)",
        (Jsonb(wanted), actor.strip(), note.strip()),
    )
    return history(conn, limit=1)[0]


def revert(conn: Conn, change_id: int, actor: str, *, based_on: int | None = None) -> Change:
    """Put the rules of an earlier change in force again (0: the defaults), as one more change.

    Raises:
        NotFound: there was no such change.
        Invalid: a setting of then is not known any more.
    """
    rules = (
        scalar(conn, "select rules from analytics.tuning where id = %s", (change_id,)) if change_id else {}
    )
    if rules is None:
        raise NotFound(f"There was no change {change_id} of the rules.")
    return change(conn, rules, actor, note=f"as in change {change_id}", based_on=based_on)


def in_force(conn: Conn) -> dict[str, Any]:
    """All that differs from the defaults now."""
    newest = history(conn, limit=1)
    return newest[0].rules if newest else {}


def history(conn: Conn, *, limit: int = 50) -> list[Change]:
    """Changes, the newest first."""
    found = rows(
        conn,
        "select id, rules, changed_by, changed_at, note from analytics.tuning order by id desc limit %s",
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
