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
AT_ONCE = 256  # devices whose past is read at a time: one by one, most of the work is the same for all


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
    # Those that were silent for about as long go together: what is read reaches back for the longest of them.
    stale.sort(key=lambda each: (each[1], each[0]))
    for first in range(0, len(stale), AT_ONCE):
        some = dict(stale[first : first + AT_ONCE])
        changed = scoring.again(conn, model, some)
        changed += life_scoring.again(conn, model, some)
        log.info("late rows", devices=len(some), since=stale[first][1], revised=changed)
    return len(stale)
