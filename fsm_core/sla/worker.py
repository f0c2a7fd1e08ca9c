"""The job that warns: rungs fire when the clock of the database reaches them."""

from __future__ import annotations

from fsm_core.sla import actions
from kit import clock
from kit.database import Conn
from kit.process import Job

BATCH = 200


def warn(conn: Conn) -> bool:
    """Fire the rungs reached by now; True when there may be more."""
    with conn.transaction():
        return actions.fire_rungs(conn, clock.now(conn), BATCH) >= BATCH


def job() -> Job:
    """The SLA job of the fsm worker."""
    return Job("sla", 1.0, warn)
