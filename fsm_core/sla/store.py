"""SLA clocks, holds and rungs in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row

from fsm_core.sla.rules import Span, WorkingCalendar
from kit.database import Conn, columns, one, rows, scalar
from kit.errors import NotFound


@dataclass(frozen=True)
class Clock:
    """A row of fsm.sla_clock."""

    order_id: int
    kind: str
    plan: str
    calendar: str
    minutes: int
    started_at: datetime
    due_at: datetime
    next_at: datetime | None
    stopped_at: datetime | None


def load_calendar(conn: Conn, code: str) -> WorkingCalendar:
    """The calendar of that code.

    Raises:
        NotFound: there is none.
    """
    row = one(conn, "select timezone, week, holidays from fsm.calendar where code = %s", (code,))
    if row is None:
        raise NotFound(f"There is no calendar {code!r}.")
    return WorkingCalendar.from_row(row["timezone"], row["week"], row["holidays"])


def plan_for(conn: Conn, customer_id: int, on: date) -> str | None:
    """The promise a customer has on a day: that of the contract, else of the tier, else none."""
    found: str | None = scalar(
        conn,
        """select coalesce(
               (select sla_plan from fsm.contract where customer_id = c.id and sla_plan is not null
                    and %s between valid_from and valid_until order by valid_from desc, id desc limit 1),
               (select plan from fsm.tier_plan where tier = c.tier))
           from fsm.customer c where c.id = %s""",
        (on, customer_id),
    )
    return found


def targets(conn: Conn, plan: str, priority: int) -> list[dict[str, Any]]:
    """kind, minutes and calendar of each promise of a plan for a priority."""
    return rows(
        conn,
        """select t.kind, t.minutes, p.calendar from fsm.sla_target t join fsm.sla_plan p on p.code = t.plan
           where t.plan = %s and t.priority = %s""",
        (plan, priority),
    )


def clocks(conn: Conn, order_id: int) -> list[Clock]:
    """The order's clocks: accept, arrive, complete, as far as promised."""
    cursor = conn.cursor(row_factory=class_row(Clock))
    return cursor.execute(
        f"select {columns(Clock)} from fsm.sla_clock where order_id = %s order by minutes, kind", (order_id,)
    ).fetchall()


def put_clock(conn: Conn, clock: Clock) -> None:
    """Insert a clock or give it new figures."""
    conn.execute(
        """insert into fsm.sla_clock (order_id, kind, plan, calendar, minutes, started_at, due_at, next_at, stopped_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (order_id, kind) do update set minutes = excluded.minutes, due_at = excluded.due_at,
               next_at = excluded.next_at, stopped_at = excluded.stopped_at""",
        (clock.order_id, clock.kind, clock.plan, clock.calendar, clock.minutes, clock.started_at, clock.due_at,
         clock.next_at, clock.stopped_at),
    )  # fmt: skip


def stop(conn: Conn, order_id: int, kinds: Iterable[str], at: datetime) -> None:
    """Stop clocks that run; the first stop stands."""
    conn.execute(
        """update fsm.sla_clock set stopped_at = greatest(%s, started_at)
           where order_id = %s and kind = any(%s) and stopped_at is null""",
        (at, order_id, list(kinds)),
    )


def pauses(conn: Conn, order_id: int, until: datetime | None = None) -> list[Span]:
    """Finished holds that stop the clock; one still open counts up to `until` when that is given."""
    return [
        (row["from_at"], row["until_at"])
        for row in rows(
            conn,
            """select from_at, coalesce(until_at, %s) as until_at from fsm.hold
               where order_id = %s and stops_sla and coalesce(until_at, %s) is not null order by from_at""",
            (until, order_id, until),
        )
    ]


def begin_hold(conn: Conn, order_id: int, reason: str, stops: bool, at: datetime) -> None:
    """Open an interval; the index allows one at a time."""
    conn.execute(
        "insert into fsm.hold (order_id, from_at, reason, stops_sla) values (%s, %s, %s, %s)",
        (order_id, at, reason, stops),
    )


def end_hold(conn: Conn, order_id: int, at: datetime) -> None:
    """Close the open interval, if there is one."""
    conn.execute(
        "update fsm.hold set until_at = greatest(%s, from_at) where order_id = %s and until_at is null",
        (at, order_id),
    )


def holds(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The order's intervals on hold, oldest first."""
    return rows(
        conn,
        "select from_at, until_at, reason, stops_sla from fsm.hold where order_id = %s order by from_at",
        (order_id,),
    )


def fired(conn: Conn, order_id: int, kind: str) -> set[int]:
    """The rungs of a clock that have fired."""
    found = rows(conn, "select percent from fsm.sla_rung where order_id = %s and kind = %s", (order_id, kind))
    return {row["percent"] for row in found}


def fire(conn: Conn, clock: Clock, percent: int, reached_at: datetime, now: datetime) -> bool:
    """Record a rung; False when it had fired before."""
    return bool(
        scalar(
            conn,
            """insert into fsm.sla_rung (order_id, kind, percent, due_at, fired_at) values (%s, %s, %s, %s, %s)
               on conflict do nothing returning percent""",
            (clock.order_id, clock.kind, percent, reached_at, now),
        )
    )


def with_rungs_due(conn: Conn, now: datetime, limit: int) -> list[Clock]:
    """Running clocks with a rung to fire, locked; those of orders on a hold that stops the clock are left out."""
    cursor = conn.cursor(row_factory=class_row(Clock))
    return cursor.execute(
        f"""select {columns(Clock, "k.")} from fsm.sla_clock k
            where k.stopped_at is null and k.next_at <= %s and not exists (
                select from fsm.hold h where h.order_id = k.order_id and h.until_at is null and h.stops_sla)
            order by k.next_at limit %s for update skip locked""",
        (now, limit),
    ).fetchall()


def open_orders(conn: Conn, calendar: str) -> list[int]:
    """Orders with a running clock of a calendar."""
    found = rows(
        conn,
        """select distinct order_id from fsm.sla_clock where calendar = %s and stopped_at is null
           order by order_id""",
        (calendar,),
    )
    return [row["order_id"] for row in found]
