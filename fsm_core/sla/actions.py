"""The clocks of an order: start, stop, hold, release, retarget, warn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from fsm_core.messages import actions as messages
from fsm_core.messages.rules import sla_text
from fsm_core.sla import rules, store
from fsm_core.sla.store import Clock
from kit.database import Conn, scalar
from kit.errors import Invalid

KINDS = ("accept", "arrive", "complete")
BELIEVED_DONE = "believed_done"
"""Why the clock stood still between work_done and a reopening."""
_SEVERITY = {50: 3, 75: 2, 100: 1}


def start_clocks(conn: Conn, order_id: int, customer_id: int, priority: int, at: datetime) -> None:
    """Start what was promised to this customer for that priority; nothing when nothing was."""
    plan = store.plan_for(conn, customer_id, at.date())
    if plan is None:
        return
    for target in store.targets(conn, plan, priority):
        clock = Clock(
            order_id, target["kind"], plan, target["calendar"], target["minutes"], at, at, None, None
        )
        store.put_clock(conn, _timed(conn, clock))


def stop_clock(conn: Conn, order_id: int, kind: str, at: datetime) -> None:
    """What the clock waited for has happened."""
    store.stop(conn, order_id, [kind], at)


def stop_all(conn: Conn, order_id: int, at: datetime) -> None:
    """The order has ended."""
    store.end_hold(conn, order_id, at)
    store.stop(conn, order_id, KINDS, at)


def hold(conn: Conn, order_id: int, reason: str, at: datetime) -> None:
    """The order stands still; for some reasons the clocks do.

    Raises:
        Invalid: not one of the reasons.
    """
    if reason not in rules.STOPS_SLA:
        raise Invalid(f"{reason!r} is not a reason to hold; it is one of {', '.join(rules.STOPS_SLA)}")
    store.begin_hold(conn, order_id, reason, rules.STOPS_SLA[reason], at)


def release(conn: Conn, order_id: int, at: datetime) -> None:
    """The order goes on; what was due moves by the working time paused."""
    store.end_hold(conn, order_id, at)
    recompute(conn, order_id)


def reopen(conn: Conn, order_id: int, at: datetime) -> None:
    """The repair was not one: completion is owed again. The time it was believed done does not count."""
    for clock in store.clocks(conn, order_id):
        if clock.kind == "complete" and clock.stopped_at is not None:
            store.begin_hold(conn, order_id, BELIEVED_DONE, True, clock.stopped_at)
            store.end_hold(conn, order_id, at)
            store.put_clock(conn, _timed(conn, replace(clock, stopped_at=None)))


def retarget(conn: Conn, order_id: int, priority: int) -> None:
    """The priority changed: the new targets count from the beginning. Stopped clocks keep theirs."""
    running = {clock.kind: clock for clock in store.clocks(conn, order_id) if clock.stopped_at is None}
    for plan in {clock.plan for clock in running.values()}:
        for target in store.targets(conn, plan, priority):
            if clock := running.get(target["kind"]):
                store.put_clock(conn, _timed(conn, replace(clock, minutes=target["minutes"])))


def recompute(conn: Conn, order_id: int) -> None:
    """Work the due times of running clocks out again, from holds and calendar as they are now."""
    for clock in store.clocks(conn, order_id):
        if clock.stopped_at is None:
            store.put_clock(conn, _timed(conn, clock))


def set_holidays(conn: Conn, calendar: str, holidays: Iterable[date]) -> int:
    """Give a calendar its holidays; moves running clocks, leaves finished ones. Returns how many orders moved."""
    conn.execute("update fsm.calendar set holidays = %s where code = %s", (sorted(holidays), calendar))
    moved = store.open_orders(conn, calendar)
    for order_id in moved:
        recompute(conn, order_id)
    return len(moved)


def _timed(conn: Conn, clock: Clock) -> Clock:
    """The clock with its due time and the time of its next rung."""
    calendar = store.load_calendar(conn, clock.calendar)
    times = rules.rung_times(clock.started_at, clock.minutes, calendar, store.pauses(conn, clock.order_id))
    done = store.fired(conn, clock.order_id, clock.kind)
    ahead = [at for percent, at in times if percent not in done]
    return replace(clock, due_at=times[-1][1], next_at=min(ahead, default=None))


def fire_rungs(conn: Conn, now: datetime, limit: int = 200) -> int:
    """Fire the rungs that are reached, in the caller's transaction; returns how many. Each fires once, ever."""
    count = 0
    for clock in store.with_rungs_due(conn, now, limit):
        calendar = store.load_calendar(conn, clock.calendar)
        for percent, at in rules.rung_times(
            clock.started_at, clock.minutes, calendar, store.pauses(conn, clock.order_id)
        ):
            if at <= now and store.fire(conn, clock, percent, at, now):
                _warn(conn, clock, percent, calendar.zone, now)
                count += 1
        store.put_clock(conn, _timed(conn, clock))
    return count


def _warn(conn: Conn, clock: Clock, percent: int, zone: ZoneInfo, now: datetime) -> None:
    number = scalar(conn, "select number from fsm.work_order where id = %s", (clock.order_id,))
    messages.raise_alarm(
        conn,
        key=f"sla:{clock.order_id}:{clock.kind}:{percent}",
        kind="sla",
        severity=_SEVERITY[percent],
        texts=sla_text(number, clock.kind, percent, clock.due_at.astimezone(zone)),
        at=now,
        order_id=clock.order_id,
    )


def state(conn: Conn, order_id: int, now: datetime) -> list[dict[str, Any]]:
    """For people: kind, minutes, started_at, due_at, stopped_at, paused, breached, and percent of the target used."""
    spans = store.pauses(conn, order_id, until=now)
    paused = any(hold["until_at"] is None and hold["stops_sla"] for hold in store.holds(conn, order_id))
    found = []
    for clock in store.clocks(conn, order_id):
        end = clock.stopped_at or now
        calendar = store.load_calendar(conn, clock.calendar)
        used = rules.used_minutes(clock.started_at, end, calendar, spans)
        due = (
            clock.due_at if clock.stopped_at else rules.due(clock.started_at, clock.minutes, calendar, spans)
        )
        found.append(
            {
                "kind": clock.kind, "minutes": clock.minutes, "started_at": clock.started_at, "due_at": due,
                "stopped_at": clock.stopped_at, "paused": paused and clock.stopped_at is None,
                "breached": end > due, "percent": round(100 * used / clock.minutes, 1),
            }
        )  # fmt: skip
    return found
