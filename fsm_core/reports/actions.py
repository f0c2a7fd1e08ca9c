"""Drafting a service report and having it signed. What is signed stays; a later edit is a new version.

An action takes the caller's connection inside the caller's transaction and never commits.
"""

from __future__ import annotations

from datetime import datetime

from fsm_core.actors import Actor
from fsm_core.reports import rules, store
from fsm_core.reports.store import Report
from kit.database import Conn
from kit.errors import Conflict, Forbidden


def draft(conn: Conn, order_id: int, actor: Actor, at: datetime) -> Report:
    """The report as the order stands now: the newest version if nothing has changed since, else a new one.

    Raises:
        NotFound: no such order.
        Forbidden: the role may not.
    """
    if actor.role not in rules.MAY_DRAFT:
        raise Forbidden(f"a {actor.role} may not write service reports")
    body = store.body(conn, order_id, at)  # locks the order: versions come one after the other
    last = store.latest(conn, order_id)
    grows = last is not None and last.signed_at is None and store.running(conn, order_id)
    if last is not None and not grows and _unchanged(conn, last):
        return last
    return store.insert(conn, order_id, body)


def sign(conn: Conn, order_id: int, signed_by: str, signature: str, actor: Actor, at: datetime) -> Report:
    """Bind the customer's signature (SVG path data) to the newest version.

    Raises:
        Conflict: there is no report, it is signed already, or the order has changed since it was written.
        Invalid: the name or the signature cannot be used.
        Forbidden: the role may not.
    """
    if actor.role not in rules.MAY_SIGN:
        raise Forbidden(f"a {actor.role} may not have service reports signed")
    name, path = rules.check_name(signed_by), rules.check_signature(signature)
    store.body(conn, order_id, at)  # locks the order
    last = store.latest(conn, order_id)
    if last is None:
        raise Conflict("there is no report to sign yet; write it first")
    if last.signed_at is not None:
        raise Conflict(
            f"version {last.version} was signed by {last.signed_by}; an edit makes a new version to sign"
        )
    if not _unchanged(conn, last):
        raise Conflict("the order has changed since the report was written; write it anew, then sign")
    return store.set_signature(conn, last.id, name, path, at)


def _unchanged(conn: Conn, report: Report) -> bool:
    """Whether the order's facts still give the report's hash, counted up to when it was written."""
    written = datetime.fromisoformat(report.body["drafted_at"])
    return rules.digest(store.body(conn, report.order_id, written)) == report.sha256
