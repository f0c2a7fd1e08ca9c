"""The learned models as people see them: versions, why each was promoted or not, and whether one drifts. SQL reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics.store import microseconds
from kit import clock
from kit.database import Conn, one, rows
from kit.errors import NotFound

LOOK_BACK = timedelta(days=45)
FEWEST = 50  # predictions whose horizon has passed, before anything is said
HORIZON_HOURS = 24.0
_COLUMNS = """id, kind, model, component, data_from, data_to, scores, cost, trained_at, promoted_at, retired_at,
              verdict, reason"""


@dataclass(frozen=True)
class Drift:
    """Whether the live error of a version in force has grown (river's ADWIN).

    Attributes:
        state: steady, grown, or too_few (predictions whose outcome is known).
        judged: predictions whose outcome is known; `error`: their mean |probability - what came|.
    """

    state: str
    judged: int
    error: float | None


def listing(conn: Conn, model: str | None = None) -> list[dict[str, Any]]:
    """All versions, the newest first, each with its `status`: in_force, retired or refused."""
    found = rows(
        conn,
        f"""select {_COLUMNS} from analytics.model_version
            where %(model)s::text is null or model = %(model)s order by id desc limit 200""",
        {"model": model},
    )
    return [row | {"status": status(row["promoted_at"], row["retired_at"])} for row in found]


def version(conn: Conn, version_id: int) -> dict[str, Any]:
    """One version.

    Raises:
        NotFound: there is none of that number.
    """
    row = one(conn, f"select {_COLUMNS} from analytics.model_version where id = %s", (version_id,))
    if row is None:
        raise NotFound(f"There is no model version {version_id}.")
    return row | {"status": status(row["promoted_at"], row["retired_at"])}


def status(promoted_at: datetime | None, retired_at: datetime | None) -> str:
    """in_force, retired or refused."""
    return "refused" if promoted_at is None else "in_force" if retired_at is None else "retired"


def drift(conn: Conn, version_id: int) -> Drift:
    """Of a version that predicts failures, from what it said in the last weeks.

    Raises:
        NotFound: there is none of that number.
    """
    # Here, because they bring scikit-learn and river along, which few need.
    from analytics.prediction import drift as watch
    from analytics.prediction import store, stored

    row = version(conn, version_id)
    past = stored.population(conn, row["model"])
    if past is None:
        return Drift("too_few", 0, None)
    now = clock.now(conn)
    devices, components = past
    failures = stored.failures(conn, row["model"], now, devices, components)
    came = failures.only(components.index(row["component"]) if row["component"] in components else -1)
    position = {int(device): at for at, device in enumerate(devices)}
    said = [
        (position[device], microseconds(ts), p)
        for device, ts, p in store.predictions(conn, version_id, now)
        if ts >= now - LOOK_BACK and device in position
    ]
    found = watch.errors(
        said, came, float(row["scores"].get("horizon_hours", HORIZON_HOURS)), microseconds(now)
    )
    if len(found) < FEWEST:
        return Drift("too_few", len(found), float(np.mean(found)) if found else None)
    return Drift("grown" if watch.grown(found) else "steady", len(found), float(np.mean(found)))
