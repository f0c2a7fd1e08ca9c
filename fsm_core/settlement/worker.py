"""Settles orders when they are reviewed."""

from __future__ import annotations

from typing import Any

from fsm_core.actors import Actor
from fsm_core.settlement import actions
from kit.database import Conn, scalar
from kit.follow import Follower
from kit.settings import Settings


def followers(settings: Settings) -> list[Follower]:
    """One follower of the event log; an order that cannot be settled is set aside and reported, the rest goes on."""
    return [
        Follower(
            "settlement",
            "fsm.work_order_event",
            _settle,
            limit=100,
            where="subject = 'order' and to_state = 'reviewed'",
        )
    ]


def _settle(conn: Conn, facts: list[dict[str, Any]]) -> None:
    for fact in facts:
        # It may have been reopened since, or settled by hand.
        if scalar(conn, "select state from fsm.work_order where id = %s", (fact["order_id"],)) == "reviewed":
            actions.settle(conn, fact["order_id"], Actor.rule("settlement"), fact["at"])
