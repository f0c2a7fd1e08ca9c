"""The honesty of the alarms of a period in one piece: scores, load, proposals. Reads; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analytics import store as rows_of
from analytics.honesty import alarms, proposals, scores, store
from analytics.honesty.alarms import Load
from analytics.honesty.proposals import Proposal
from analytics.honesty.scores import Score
from kit.database import Conn


@dataclass(frozen=True)
class Honesty:
    """Of a period, and of one device type where `model` is given.

    Attributes:
        devices: how many are watched.
        daily: (day of UTC, raises) of every day of the period.
    """

    start: datetime
    end: datetime
    model: str | None
    devices: int
    scores: list[Score]
    load: Load
    daily: list[tuple[datetime, int]]
    proposals: list[Proposal]


def report(conn: Conn, start: datetime, end: datetime, model: str | None = None) -> Honesty:
    """Work it out from reports.alarm_honesty and reports.failure."""
    raises = [one for one in store.raises(conn, start, end) if model in (None, one.model)]
    failures = [one for one in store.failures(conn, start, end) if model in (None, one.model)]
    earlier = [one for one in store.raises(conn, start - scores.HORIZON, start) if model in (None, one.model)]
    devices = store.devices(conn, model)
    _, in_force = rows_of.tuning(conn)
    return Honesty(
        start, end, model, devices, scores.scores(raises, failures, earlier), alarms.load(raises, start, end, devices),
        store.daily(conn, start, end, model), proposals.propose(raises, in_force),
    )  # fmt: skip
