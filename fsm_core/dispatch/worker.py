"""The process that keeps all accepted orders planned: urgent ones at once, the rest by search."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fsm_core.dispatch import actions, replan, store
from kit import clock, logs
from kit.database import Conn
from kit.follow import Follower
from kit.process import Job, Worker
from kit.settings import Settings

log = logs.get(__name__)
_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 15.0
"""With orders waiting and nothing changed, time alone may open a shift: try again after this, real time."""


@dataclass
class Dispatcher:
    """One round when something could have changed; otherwise a single cheap query, or none at all."""

    settings: Settings
    woken: bool = True
    _seen: dict[str, Any] = field(default_factory=dict)
    _looked: float = 0.0
    _retry: float = 0.0

    def wake(self, conn: Conn, facts: list[dict[str, Any]]) -> None:
        """An order or a visit has moved."""
        self.woken = True

    def run(self, conn: Conn) -> bool:
        """Look, and plan what waits. True: something was planned, look again."""
        now = time.monotonic()
        if not self.woken and now - self._looked < 2.0:
            return False
        self.woken, self._looked = False, now
        pulse = store.pulse(conn)
        if not pulse["waiting"] or (pulse == self._seen and now < self._retry):
            return False
        self._seen, self._retry = pulse, now + _RETRY_SECONDS
        done = [self._round(conn, urgent_only=True)] if pulse["urgent"] else []
        done.append(self._round(conn, urgent_only=False))
        if any(reason.code == "overlap" for reason in done[-1].unassigned.values()):
            return bool(replan.improve(conn, self.settings, clock.now(conn))) or bool(done[-1].planned)
        return any(each.planned for each in done)

    def _round(self, conn: Conn, *, urgent_only: bool) -> actions.Round:
        done = actions.round(conn, self.settings, clock.now(conn), urgent_only=urgent_only)
        if done.planned or done.refused:
            log.info(
                "round",
                planned=len(done.planned),
                refused=len(done.refused),
                unassigned=len(done.unassigned),
                search_ms=int(done.seconds * 1000),
            )
        return done


def make_worker(dsn: str, settings: Settings) -> Worker:
    """The dispatch process: woken by events of orders and visits, looking by itself every few seconds."""
    dispatcher = Dispatcher(settings)
    return Worker(
        "dispatch",
        dsn,
        "meantime_fsm",
        followers=[Follower("dispatch", "fsm.work_order_event", dispatcher.wake, 5000, store.NEWS)],
        jobs=[Job("round", _LOOK_SECONDS, dispatcher.run)],
    )
