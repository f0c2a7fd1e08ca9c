"""What a move brings about besides the new state: clocks, entitlement, parts, episodes, news, resets.

Each effect runs in the transaction of its move, after the UPDATE and the event row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from fsm_core.actors import Actor
from fsm_core.assets import entitlement
from fsm_core.assets import store as assets
from fsm_core.messages import actions as messages
from fsm_core.parts import actions as parts
from fsm_core.sla import actions as sla
from fsm_core.work_orders import store
from fsm_core.work_orders.store import Visit, WorkOrder
from kit.database import Conn

REPAIRS: Final = frozenset({"repair", "condition", "repeat"})
"""Order types after which a component is as new."""
BREAKDOWNS: Final = frozenset({"repair", "repeat"})
NO_FAULT_FOUND: Final = "no_fault_found"


@dataclass(frozen=True)
class Moved:
    """What has happened: the order as it is now, the visit that moved (if one did), who, when, why."""

    order: WorkOrder
    visit: Visit | None
    actor: Actor
    at: datetime
    reason: str | None


Effect = Callable[[Conn, Moved], None]


def accepted(conn: Conn, moved: Moved) -> None:
    """The promise to accept is kept, who pays is decided, the customer hears of it."""
    sla.stop_clock(conn, moved.order.id, "accept", moved.at)
    entitlement.settle_who_pays(conn, moved.order.id, moved.at)
    _news(conn, moved, "accepted")


def held(conn: Conn, moved: Moved) -> None:
    """The clocks stand still, if the reason is one of those."""
    sla.hold(conn, moved.order.id, moved.reason or "", moved.at)


def released(conn: Conn, moved: Moved) -> None:
    """What was due moves."""
    sla.release(conn, moved.order.id, moved.at)


def cancelled(conn: Conn, moved: Moved) -> None:
    """Nothing is owed or held any more."""
    give_back(conn, moved)
    sla.stop_all(conn, moved.order.id, moved.at)
    store.close_episodes(conn, moved.order.id, moved.at)
    _news(conn, moved, "cancelled")


def reopened(conn: Conn, moved: Moved) -> None:
    """Completion is owed again; the fault counts as open, unless a newer episode of it has begun."""
    sla.reopen(conn, moved.order.id, moved.at)
    conn.execute(
        """update fsm.episode e set closed_at = null where order_id = %s and not exists (
               select from fsm.episode n where n.device_id = e.device_id and n.failure_mode = e.failure_mode
                   and n.closed_at is null)
           and id = (select max(id) from fsm.episode x where x.order_id = e.order_id
                     and x.failure_mode = e.failure_mode and x.device_id = e.device_id)""",
        (moved.order.id,),
    )


def confirmed(conn: Conn, moved: Moved) -> None:
    """The customer hears who comes when."""
    _news(conn, moved, "confirmed")


def arrived(conn: Conn, moved: Moved) -> None:
    """The promise to arrive is kept by the first who does."""
    sla.stop_clock(conn, moved.order.id, "arrive", moved.at)
    _news(conn, moved, "on_site")


def give_back(conn: Conn, moved: Moved) -> None:
    """Reserved parts are free again. Whoever moves the visit may: the rule gives back, not the person."""
    parts.release(conn, moved.order.id, replace(moved.actor, role="system"), moved.at)


def done(conn: Conn, moved: Moved) -> None:
    """The promise to complete is kept; the device's record, warranty and baselines start anew."""
    order = moved.order
    sla.stop_clock(conn, order.id, "complete", moved.at)
    give_back(conn, moved)
    store.close_episodes(conn, order.id, moved.at)
    if order.cause_code is not None:
        entitlement.exclude_misuse(conn, order.id, order.cause_code, moved.at)
    assets.install_parts(conn, order.id, moved.at)
    if order.type in REPAIRS and order.device_id is not None and order.component is not None:
        _tell_analytics(conn, order, moved.at)
    _news(conn, moved, "work_done")


def _tell_analytics(conn: Conn, order: WorkOrder, at: datetime) -> None:
    """Its alarms are over and its baselines start anew; a breakdown with a confirmed cause was a failure of it. The
    reason names the remedy: after an inspection the component is as old as it was, and predictions know that."""
    conn.execute(
        """insert into analytics.reset (device_id, component, ts, reason) values (%s, %s, %s, %s)
           on conflict (device_id, component, ts) do nothing""",
        (order.device_id, order.component, at, f"{order.number} {order.remedy_code or 'done'}"),
    )
    if order.type in BREAKDOWNS and order.cause_code not in (None, NO_FAULT_FOUND):
        conn.execute(
            """insert into analytics.failure (device_id, component, ts, known_at, reference)
               values (%s, %s, least(%s, %s), %s, %s) on conflict (device_id, component, ts) do nothing""",
            (order.device_id, order.component, order.fault_at, at, at, order.number),
        )


def _news(conn: Conn, moved: Moved, template: str) -> None:
    # The version makes news of a second round (a reopened order is done again) a message of its own.
    key = f"{template}:{moved.order.version}"
    messages.order_news(conn, moved.order.id, template, key, moved.at, moved.reason or "")


ORDER_EFFECTS: Final[Mapping[str, Effect]] = {
    "accept": accepted,
    "hold": held,
    "release": released,
    "cancel": cancelled,
    "reopen": reopened,
}
VISIT_EFFECTS: Final[Mapping[str, Effect]] = {
    "confirm": confirmed,
    "decline": give_back,
    "withdraw": give_back,
    "check_in": arrived,
    "finish": done,
    "incomplete": give_back,
}
