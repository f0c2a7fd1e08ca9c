"""What a failure, a planned visit and a needless visit cost on each device type: stored, with who changed it when.

The decision of predictions (`analytics.prediction`) and the backtest read them here. SQL; never commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analytics.prediction.decision import Costs, Policy
from kit.database import Conn, one, rows, scalar
from kit.errors import Invalid, NotFound

MOST_CHARACTERS = 500


@dataclass(frozen=True)
class Change:
    """Costs that were put in force for a device type; None: the defaults of `Costs`."""

    id: int
    model: str
    costs: Costs | None
    changed_by: str
    changed_at: datetime
    note: str


def for_model(conn: Conn, model: str, at: datetime | None = None) -> Costs:
    """The costs in force for a device type now, or those in force at a time."""
    row = one(
        conn,
        """select failure, visit, needless from analytics.cost
           where model = %(model)s and (%(at)s::timestamptz is null or changed_at <= %(at)s)
           order by id desc limit 1""",
        {"model": model, "at": at},
    )
    return Costs(**row) if row is not None and row["failure"] is not None else Costs()


def policy(conn: Conn, model: str, at: datetime | None = None) -> Policy:
    """How predictions of a device type are decided."""
    return Policy({}, for_model(conn, model, at))


def for_all(conn: Conn) -> dict[str, Costs]:
    """The costs in force of every device type."""
    found = conn.execute("select code from ingest.model order by code").fetchall()
    return {model: for_model(conn, model) for (model,) in found}


def change(conn: Conn, model: str, costs: Costs | None, actor: str, note: str = "") -> Change | None:
    """Put costs in force for a device type, in the caller's transaction; None goes back to the defaults.

    Returns: the change; None when these costs are in force already, which changes nothing.

    Raises:
        NotFound: there is no such device type.
        Invalid: nobody is named, or the note is too long.
    """
    if not actor.strip():
        raise Invalid("Say who changes the costs: actor must not be empty.")
    if len(note) > MOST_CHARACTERS:
        raise Invalid(f"A note has at most {MOST_CHARACTERS} characters, not {len(note)}.")
    if not scalar(conn, "select exists (select from ingest.model where code = %s)", (model,)):
        raise NotFound(f"There is no device type {model!r}.")
    conn.execute("select pg_advisory_xact_lock(hashtext('analytics.cost'))")
    newest = history(conn, model, limit=1)
    if (newest[0].costs if newest else None) == costs:
        return None
    amounts = (costs.failure, costs.visit, costs.needless) if costs else (None, None, None)
    conn.execute(
        """insert into analytics.cost (model, failure, visit, needless, changed_by, note)
           values (%s, %s, %s, %s, %s, %s)""",
        (model, *amounts, actor.strip(), note.strip()),
    )
    return history(conn, model, limit=1)[0]


def history(conn: Conn, model: str | None = None, *, limit: int = 50) -> list[Change]:
    """Changes of a device type or of all, the newest first."""
    found = rows(
        conn,
        """select id, model, failure, visit, needless, changed_by, changed_at, note from analytics.cost
           where %(model)s::text is null or model = %(model)s order by id desc limit %(limit)s""",
        {"model": model, "limit": limit},
    )
    return [
        Change(
            row["id"], row["model"],
            None if row["failure"] is None else Costs(row["failure"], row["visit"], row["needless"]),
            row["changed_by"], row["changed_at"], row["note"],
        )
        for row in found
    ]  # fmt: skip
