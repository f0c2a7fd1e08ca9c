"""A day of the dispatch board."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api.accounts import User
from kit.database import Conn, rows


def technicians(conn: Conn, user: User) -> list[dict[str, Any]]:
    """Those who can be sent; a provider's own only."""
    return rows(
        conn,
        """select t.id, t.name, t.skills, p.name as provider, c.timezone, c.week, c.holidays
           from fsm.technician t join fsm.calendar c on c.code = t.calendar
           left join fsm.provider p on p.id = t.provider_id
           where t.active and (%(provider)s::int is null or t.provider_id = %(provider)s)
           order by p.name nulls first, t.id""",
        {"provider": user.provider_id if user.role == "provider" else None},
    )


def absences(conn: Conn, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Who is away in the period."""
    return rows(
        conn,
        """select technician_id, lower(during) as start, upper(during) as end, reason from fsm.absence
           where during && tstzrange(%s, %s)""",
        (start, end),
    )
