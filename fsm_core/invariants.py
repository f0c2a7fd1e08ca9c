"""What must always be true of the live database; one call says what is not."""

from __future__ import annotations

from typing import Any

from fsm_core.parts import store as parts
from fsm_core.settlement import store as settlement
from fsm_core.sla import rules as sla_rules
from fsm_core.sla import store as sla
from fsm_core.work_orders.rules import FOLLOWS, OPEN_VISIT, Event, replay
from kit.database import Conn, rows

Finding = dict[str, Any]
"""code, text_en, text_zh, detail."""


def check(conn: Conn) -> list[Finding]:
    """Nothing, or one row a finding: orders, their log, episodes, SLA clocks, stock, money."""
    return [
        *_logs(conn),
        *_orders(conn),
        *_episodes(conn),
        *_clocks(conn),
        *parts.invariants(conn),
        *settlement.invariants(conn),
    ]


def _finding(code: str, en: str, zh: str, **detail: Any) -> Finding:
    return {"code": code, "text_en": en, "text_zh": zh, "detail": detail}


def _logs(conn: Conn) -> list[Finding]:
    """Replaying the log of each order gives the states that stand in the tables."""
    states = {row["id"]: row for row in rows(conn, "select id, state from fsm.work_order")}
    visits = rows(conn, "select order_id, id, state from fsm.visit")
    log: dict[int, list[Event]] = {}
    for row in rows(
        conn,
        "select order_id, subject, visit_id, from_state, to_state from fsm.work_order_event order by order_id, id",
    ):
        event = Event(row["subject"], row["visit_id"], row["from_state"], row["to_state"])
        log.setdefault(row["order_id"], []).append(event)
    found = []
    for order_id, order in states.items():
        try:
            replayed = replay(log.get(order_id, ()))
        except ValueError as error:
            found.append(_broken(order_id, str(error)))
            continue
        standing = {visit["id"]: visit["state"] for visit in visits if visit["order_id"] == order_id}
        if replayed.order != order["state"] or replayed.visits != standing:
            found.append(_broken(order_id, f"log {replayed}, tables {order['state']} {standing}"))
    return found


def _broken(order_id: int, detail: str) -> Finding:
    return _finding(
        "order_log",
        "The event log does not give the state",
        "事件日志与状态不符",
        order_id=order_id,
        why=detail,
    )


def _orders(conn: Conn) -> list[Finding]:
    """An order with an open visit is where that visit says, or on hold; an ended one holds nothing."""
    found = []
    for row in rows(
        conn,
        """select o.id, o.state, v.state as visit from fsm.work_order o join fsm.visit v on v.order_id = o.id
           where v.state = any(%s)""",
        (list(OPEN_VISIT),),
    ):
        if row["state"] not in ("on_hold", FOLLOWS[row["visit"]]):
            found.append(
                _finding(
                    "order_follows", "An order is not where its visit is", "工单状态与上门状态不符", **row
                )
            )
    found += [
        _finding(
            "hold_left", "An order that is not on hold has an open hold", "未挂起的工单有未结束的挂起", **row
        )
        for row in rows(
            conn,
            """select h.order_id from fsm.hold h join fsm.work_order o on o.id = h.order_id
               where h.until_at is null and o.state <> 'on_hold'""",
        )
    ]
    return found


def _episodes(conn: Conn) -> list[Finding]:
    """An episode is open exactly as long as its order."""
    ended = rows(
        conn,
        """select e.id as episode_id, e.order_id, o.state from fsm.episode e join fsm.work_order o on o.id = e.order_id
           where e.closed_at is null and o.state in ('work_done', 'reviewed', 'settled', 'closed', 'cancelled')""",
    )
    twice = rows(
        conn,
        """select device_id, failure_mode, count(*)::int as orders from fsm.work_order
           where source = 'automatic' and failure_mode is not null
             and state in ('new', 'accepted', 'assigned', 'confirmed', 'in_progress', 'on_hold')
           group by device_id, failure_mode having count(*) > 1""",
    )
    return [
        _finding("episode_open", "An episode outlives its order", "故障事件晚于工单结束", **row)
        for row in ended
    ] + [
        _finding("episode_twice", "Two automatic orders for one fault", "同一故障有两张自动工单", **row)
        for row in twice
    ]


def _clocks(conn: Conn) -> list[Finding]:
    """Each running clock's due time is what its start, target, calendar and holds say."""
    found = []
    calendars: dict[str, sla_rules.WorkingCalendar] = {}
    for row in rows(
        conn, "select distinct order_id from fsm.sla_clock where stopped_at is null order by order_id"
    ):
        pauses = sla.pauses(conn, row["order_id"])
        for clock in sla.clocks(conn, row["order_id"]):
            if clock.stopped_at is not None:
                continue
            if clock.calendar not in calendars:
                calendars[clock.calendar] = sla.load_calendar(conn, clock.calendar)
            due = sla_rules.due(clock.started_at, clock.minutes, calendars[clock.calendar], pauses)
            if due != clock.due_at:
                found.append(
                    _finding(
                        "sla_due",
                        "A due time is not what it should be",
                        "时限计算不符",
                        order_id=clock.order_id,
                        kind=clock.kind,
                        due_at=clock.due_at.isoformat(),
                        should_be=due.isoformat(),
                    )
                )
    return found
