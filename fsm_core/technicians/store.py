"""Engineers in SQL: who there is, what they have learned, where they are, when they work, what they have booked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from fsm_core.sla.rules import Span, WorkingCalendar
from fsm_core.technicians import rules
from kit.database import Conn, rows


@dataclass(frozen=True)
class Engineer:
    """An active technician: where he is based, and where he was last seen."""

    id: int
    name: str
    provider_id: int | None
    skills: list[str]
    calendar: str
    latitude: float
    longitude: float
    seen_latitude: float | None
    seen_longitude: float | None
    seen_at: datetime | None


@dataclass(frozen=True)
class Load:
    """Working time of an engineer in a period, and how much of it is booked by open visits, minutes."""

    technician_id: int
    working: float
    booked: float


def engineers(conn: Conn, ids: Sequence[int] | None = None) -> list[Engineer]:
    """The active ones (of these ids), by id."""
    return (
        conn.cursor(row_factory=class_row(Engineer))
        .execute(
            """select t.id, t.name, t.provider_id, t.skills, t.calendar, t.latitude, t.longitude,
                      p.latitude as seen_latitude, p.longitude as seen_longitude, p.at as seen_at
               from fsm.technician t left join fsm.position p on p.technician_id = t.id
               where t.active and (%(ids)s::int[] is null or t.id = any(%(ids)s)) order by t.id""",
            {"ids": None if ids is None else list(ids)},
        )
        .fetchall()
    )


def shifts(conn: Conn, who: Sequence[Engineer], start: datetime, end: datetime) -> dict[int, list[Span]]:
    """Working time of each within [start, end]: the calendar's hours without absences."""
    away = _absences(conn, start, end)
    calendars = {
        row["code"]: WorkingCalendar.from_row(row["timezone"], row["week"], row["holidays"])
        for row in rows(conn, "select code, timezone, week, holidays from fsm.calendar")
    }
    return {each.id: rules.shifts(calendars[each.calendar], away[each.id], start, end) for each in who}


def booked(conn: Conn, start: datetime, end: datetime) -> dict[int, list[Span]]:
    """The time of open visits that touch the period, the way included, by technician."""
    found: dict[int, list[Span]] = defaultdict(list)
    for row in rows(
        conn,
        """select technician_id, travel_start, planned_end from fsm.visit
           where state in ('planned', 'confirmed', 'traveling', 'on_site', 'working', 'paused')
             and travel_start < %s and planned_end > %s order by technician_id, travel_start""",
        (end, start),
    ):
        found[row["technician_id"]].append((row["travel_start"], row["planned_end"]))
    return found


def workload(conn: Conn, start: datetime, end: datetime) -> list[Load]:
    """Every active engineer's load in a period."""
    who = engineers(conn)
    taken, working = booked(conn, start, end), shifts(conn, who, start, end)
    return [Load(each.id, *rules.booked_minutes(working[each.id], taken[each.id])) for each in who]


def _absences(conn: Conn, start: datetime, end: datetime) -> dict[int, list[Span]]:
    found: dict[int, list[Span]] = defaultdict(list)
    for row in rows(
        conn,
        """select technician_id, lower(during) as begins, upper(during) as ends
           from (select technician_id, during * tstzrange(%(start)s, %(end)s) as during from fsm.absence
                 where during && tstzrange(%(start)s, %(end)s)) a order by technician_id, begins""",
        {"start": start, "end": end},
    ):
        found[row["technician_id"]].append((row["begins"], row["ends"]))
    return found
