"""Backtests as jobs: what was asked, how far it is, what came of it. SQL; never commits.

A job is taken with FOR UPDATE SKIP LOCKED and held by a lock of the session that works on it, so that a process killed
at any instruction leaves it to the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from analytics.prediction.decision import Costs
from analytics.rules import differing
from kit import clock
from kit.database import Conn, columns, one, rows, scalar
from kit.errors import Conflict, Invalid, NotFound

MOST_WAITING = 20
MOST_ATTEMPTS = 5
OPEN = ("queued", "running")


@dataclass(frozen=True)
class Backtest:
    """A row of analytics.backtest without its result."""

    id: int
    created_by: str
    created_at: datetime
    title: str
    period_from: datetime
    period_to: datetime
    rules: dict[str, Any]
    costs: dict[str, Any]
    train_from: datetime | None
    state: str
    progress: float
    attempts: int
    cancelled_by: str | None
    finished_at: datetime | None
    seconds: float | None
    error: str | None


def request(
    conn: Conn,
    start: datetime,
    end: datetime,
    rules: Mapping[str, Any] | None,
    costs: Mapping[str, Costs],
    actor: str,
    title: str = "",
    *,
    train_from: datetime | None = None,
) -> int:
    """Queue a backtest; its id.

    Raises:
        Invalid: the period is empty or lies ahead, `train_from` is not before it, a rule
            or value is wrong, or a device type is unknown.
        Conflict: too many are waiting.
    """
    changed = differing(rules)
    if start >= end:
        raise Invalid(
            f"The period must begin before it ends; {start:%F %R} is not before {end:%F %R}.", key="from"
        )
    if start >= clock.now(conn):
        raise Invalid(f"The period must lie in the past; it would begin at {start:%F %R}.", key="from")
    if train_from is not None and train_from >= start:
        raise Invalid(
            f"What is learned from must lie before the period; {train_from:%F %R} is not before {start:%F %R}.",
            key="train_from",
        )
    known = {model for (model,) in conn.execute("select code from ingest.model")}
    if unknown := sorted(costs.keys() - known):
        raise Invalid(
            f"There is no device type {unknown[0]!r}; there are {', '.join(sorted(known))}.", key="costs"
        )
    waiting = scalar(conn, "select count(*) from analytics.backtest where state = 'queued'")
    if waiting >= MOST_WAITING:
        raise Conflict(f"{waiting} backtests are waiting already; cancel some or wait.")
    found: int = scalar(
        conn,
        """insert into analytics.backtest (created_by, title, period_from, period_to, rules, costs, train_from)
           values (%s, %s, %s, %s, %s, %s, %s) returning id""",
        (actor, title.strip()[:200], start, end, Jsonb(changed),
         Jsonb({model: asdict(price) for model, price in costs.items()}), train_from),
    )  # fmt: skip
    return found


def get(conn: Conn, backtest_id: int) -> Backtest:
    """One.

    Raises:
        NotFound: there is none of that number.
    """
    row = one(conn, f"select {columns(Backtest)} from analytics.backtest where id = %s", (backtest_id,))
    if row is None:
        raise NotFound(f"There is no backtest {backtest_id}.")
    return Backtest(**row)


def result(conn: Conn, backtest_id: int) -> dict[str, Any] | None:
    """What came of one; None until it is done."""
    found: dict[str, Any] | None = scalar(
        conn, "select result from analytics.backtest where id = %s", (backtest_id,)
    )
    return found


def listing(conn: Conn, *, limit: int = 50, after: int | None = None) -> list[dict[str, Any]]:
    """The newest first, each with the counts of its result."""
    return rows(
        conn,
        f"""select {columns(Backtest)}, result -> 'counts' as counts, (result ->> 'cost_difference')::float8 as
                   cost_difference
            from analytics.backtest where %(after)s::int is null or id < %(after)s order by id desc limit %(limit)s""",
        {"after": after, "limit": limit},
    )


def cancel(conn: Conn, backtest_id: int, actor: str) -> None:
    """End one that waits or runs; who works on it notices at its next step.

    Raises:
        NotFound: there is none of that number.
        Conflict: it has ended already.
    """
    done = conn.execute(
        """update analytics.backtest set state = 'cancelled', cancelled_by = %s, finished_at = kit.now()
           where id = %s and state = any(%s) returning id""",
        (actor, backtest_id, list(OPEN)),
    ).fetchone()
    if done is None:
        state = get(conn, backtest_id).state
        raise Conflict(f"Backtest {backtest_id} is {state} already.")


# For those who work on them

_HELD = """select from pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 2
      and l.database = (select oid from pg_database where datname = current_database())
      and l.classid::bigint = (hashtext('analytics.backtest')::bigint & 4294967295) and l.objid::bigint = b.id"""
_FREE = f"state = 'queued' or (state = 'running' and not exists ({_HELD}))"


def waiting(conn: Conn) -> bool:
    """Whether there is one that nobody works on."""
    return bool(scalar(conn, f"select exists (select from analytics.backtest b where {_FREE})"))


def take_slot(conn: Conn, slots: int) -> int | None:
    """Hold one of so many slots until it is left or the session ends; None when all are held."""
    for slot in range(slots):
        if scalar(conn, "select pg_try_advisory_lock(hashtext('analytics.backtest.slot'), %s)", (slot,)):
            return slot
    return None


def leave_slot(conn: Conn, slot: int) -> None:
    """Let another session have it."""
    conn.execute("select pg_advisory_unlock(hashtext('analytics.backtest.slot'), %s)", (slot,))


def let_go(conn: Conn, backtest_id: int) -> None:
    """This session works on it no more."""
    conn.execute("select pg_advisory_unlock(hashtext('analytics.backtest'), %s)", (backtest_id,))


def take(conn: Conn) -> Backtest | None:
    """Take the next one, in the caller's transaction, for as long as this session lives; None when there is none.
    One that was interrupted too often has failed."""
    while True:
        row = one(
            conn,
            f"""select {columns(Backtest)} from analytics.backtest b where {_FREE}
                order by id for update skip locked limit 1""",
        )
        if row is None or not scalar(
            conn, "select pg_try_advisory_lock(hashtext('analytics.backtest'), %s)", (row["id"],)
        ):
            return None
        if row["attempts"] < MOST_ATTEMPTS:
            break
        conn.execute(
            """update analytics.backtest set state = 'failed', finished_at = kit.now(), error = %s where id = %s""",
            (f"It was interrupted {row['attempts']} times.", row["id"]),
        )
        let_go(conn, row["id"])
    conn.execute(
        "update analytics.backtest set state = 'running', progress = 0, attempts = attempts + 1 where id = %s",
        (row["id"],),
    )
    return Backtest(**row | {"state": "running", "attempts": row["attempts"] + 1})


def given_up(conn: Conn, pid: int) -> bool:
    """Whether the session of a server process works on one that was cancelled."""
    return bool(
        scalar(
            conn,
            f"""select exists (select from analytics.backtest b
                               where state = 'cancelled' and exists ({_HELD} and l.pid = %s))""",
            (pid,),
        )
    )


def report_progress(conn: Conn, backtest_id: int, share: float) -> bool:
    """Say how far it is; False when it was cancelled."""
    done = conn.execute(
        "update analytics.backtest set progress = %s where id = %s and state = 'running' returning id",
        (min(max(share, 0.0), 1.0), backtest_id),
    ).fetchone()
    return done is not None


def finish(
    conn: Conn,
    backtest_id: int,
    seconds: float,
    *,
    found: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Keep what came of it; one that was cancelled stays so."""
    conn.execute(
        """update analytics.backtest
           set state = case when %(error)s::text is null then 'done' else 'failed' end, error = %(error)s,
               result = %(result)s, seconds = %(seconds)s, finished_at = kit.now(),
               progress = case when %(error)s::text is null then 1 else progress end
           where id = %(id)s and state = 'running'""",
        {"id": backtest_id, "error": error, "seconds": seconds, "result": None if found is None else Jsonb(found)},
    )  # fmt: skip
