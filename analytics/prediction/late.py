"""Rows that came late: what was said of their devices since then is worked out again.

The new probabilities take the place of the old ones and are marked; scores and the drift watch see them. What was
decided stands: an order that was opened is not lost, and one that should have been opened is opened by the next step.
"""

from __future__ import annotations

from typing import Any

from analytics.prediction import life_scoring, revisions, scoring
from kit import follow, logs
from kit.database import Conn

log = logs.get(__name__)


def _notice(conn: Conn, facts: list[dict[str, Any]]) -> None:
    said = revisions.last_said(conn)
    if said is None:
        return
    if batches := [fact["id"] for fact in facts if fact["first_ts"] is None or fact["first_ts"] < said]:
        revisions.mark_late(conn, batches, said)


BATCHES = follow.Follower("prediction.late", "ingest.batch", _notice)


def notice(conn: Conn) -> None:
    """Take note of late rows and fault events in everything that was committed since the last time."""
    while follow.step(conn, BATCHES):
        pass


def revise(conn: Conn, model: str) -> int:
    """Work out again what is stale of a device type, in the caller's transaction; returns how many devices."""
    stale = revisions.take_stale(conn, model)
    for device, since in stale:
        changed = scoring.again(conn, model, device, since)
        changed += life_scoring.again(conn, model, device, since)
        log.info("late rows", device=device, since=since, revised=changed)
    return len(stale)
