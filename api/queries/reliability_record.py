"""The stored history of a population, as analytics.reliability takes it: devices, orders, fault codes, hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

from analytics.reliability.lives import Origin
from analytics.reliability.record import By, Catalog, Event, Record, Unit
from analytics.reliability.terms import Count, renews
from api import scope
from api.accounts import User
from kit import clock
from kit.database import Conn, rows
from kit.errors import Invalid

NEW_HOURS: Final = 24.0
"""A device whose counter showed no more than this at its first reading has been watched since it was new."""


@dataclass(frozen=True)
class Ask:
    """What is asked about. Empty or None: everything. `since` to `until`: event time; default: all there is.

    `component`, `failure_mode`, `fault_code` narrow what counts as a failure; the rest narrows the devices.
    """

    by: By = "component"
    model: str = ""
    site_id: int | None = None
    customer_id: int | None = None
    device: str = ""
    component: str = ""
    failure_mode: str = ""
    fault_code: str = ""
    since: datetime | None = None
    until: datetime | None = None
    level: float = 0.9
    count: Count = "all"
    origin: Origin = "original"

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise Invalid("The period ends before it begins: `from` must lie before `to`.")
        if not 0.5 <= self.level < 1:
            raise Invalid(f"A confidence level lies between 0.5 and 1; 0.9 is 90 %. This is {self.level:g}.")


def record(conn: Conn, user: User | None, ask: Ask) -> Record:
    """The devices that exist for the user (None: all) and what happened to them."""
    now = clock.now(conn)
    until = min(ask.until or now, now)
    found = _devices(conn, user, ask, until)
    firsts = [row["first_ts"] for row in found if row["first_ts"] is not None]
    since = ask.since or min(firsts, default=until - timedelta(days=1))
    since = min(since, until)
    units = [_unit(row, since, until) for row in found]
    events = _events(conn, user, ask, found, until)
    return Record(since, until, units, events, catalog(conn))


# A device's age at a moment stands in the newest day until then (one look into the index), or in its first one; only
# where no counted reading fell on that day the days around it have to be asked (life_at).
_AGE: Final[LiteralString] = """
    case when {day} is null then coalesce(f.age, reports.life_at(a.id, {at}), 0)
         when ({day}).life is null then coalesce(reports.life_at(a.id, {at}), 0)
         when ({day}).day < ({at} at time zone 'UTC')::date then ({day}).life + ({day}).hours - ({day}).counted
         else reports.life_on({at}, f.first_ts, {day}) end"""
_NEWEST: Final[LiteralString] = """
        select h as day from ingest.run_hours_day h
        where h.device_id = a.id and h.day <= ({at} at time zone 'UTC')::date order by h.day desc limit 1"""
_SINCE: Final[LiteralString] = "%(since)s::timestamptz"
_UNTIL: Final[LiteralString] = "%(until)s::timestamptz"
_UNITS: Final[LiteralString] = (
    """
    select a.id, d.uid, d.model, a.site_id, s.customer_id, f.first_ts, """
    + _AGE.replace("{day}", "b.day").replace("{at}", _SINCE)
    + """ as age_from,
           case when n.ts <= %(until)s then n.life else """
    + _AGE.replace("{day}", "e.day").replace("{at}", _UNTIL)
    + """ end as age_to,
           coalesce(f.age, reports.life_at(a.id, '-infinity'), 0) as age_first
    from fsm.device a join ingest.device d on d.id = a.id join fsm.site s on s.id = a.site_id
    left join ingest.run_hours n on n.device_id = a.id
    left join lateral (
        select coalesce(h.first_ts, h.day::timestamp at time zone 'UTC') as first_ts, h.life - h.counted as age
        from ingest.run_hours_day h
        where h.device_id = a.id order by h.day limit 1) f on true
    left join lateral ("""
    + _NEWEST.replace("{at}", _SINCE)
    + """) b on true
    left join lateral ("""
    + _NEWEST.replace("{at}", _UNTIL)
    + """) e on n.ts is null or n.ts > %(until)s
    where (%(model)s = '' or d.model = %(model)s) and (%(site_id)s::int is null or a.site_id = %(site_id)s)
      and (%(customer_id)s::int is null or s.customer_id = %(customer_id)s)
      and (%(device)s = '' or d.uid = %(device)s)"""
)


def _devices(conn: Conn, user: User | None, ask: Ask, until: datetime) -> list[dict[str, Any]]:
    params = {"model": ask.model, "site_id": ask.site_id, "customer_id": ask.customer_id, "device": ask.device,
              "since": ask.since or "-infinity", "until": until}  # fmt: skip
    if user is None:
        return rows(conn, f"{_UNITS} order by a.id", params)
    return rows(conn, f"{_UNITS} and {scope.devices(user)} order by a.id", params | scope.params(user))


def _unit(row: dict[str, Any], since: datetime, until: datetime) -> Unit:
    watched = None
    if row["first_ts"] is not None and max(row["first_ts"], since) < until:
        watched = max(row["first_ts"], since), until
    return Unit(
        row["id"], row["uid"], row["model"], str(row["site_id"]), str(row["customer_id"]),
        row["age_from"], row["age_to"], watched, row["age_first"] <= NEW_HOURS,
    )  # fmt: skip


# The device's age at both ends of what happened, from the rows of those days; what was planned ends no life.
_AGED: Final[LiteralString] = """
    select f.*,
           case when f.kind <> 'planned'
                then coalesce(reports.life_on(f.at, u.first_ts, a), reports.life_at(f.device_id, f.at)) end as age,
           case when f.kind <> 'planned'
                then coalesce(reports.life_on(f.done_at, u.first_ts, b), reports.life_at(f.device_id, f.done_at))
                end as age_after
    from found f join unnest(%(devices)s::int[], %(firsts)s::timestamptz[]) u(id, first_ts) on u.id = f.device_id
    left join ingest.run_hours_day a on a.device_id = f.device_id and a.day = (f.at at time zone 'UTC')::date
    left join ingest.run_hours_day b on b.device_id = f.device_id and b.day = (f.done_at at time zone 'UTC')::date
    order by f.device_id, f.ordered_at, f.order_id"""
# A fault code belongs to a failure of its mode when the device raised it from a day before the fault until the repair.
_FAILURES: Final[LiteralString] = (
    """with found as materialized (
    select m.order_id, m.number, m.kind, m.device_id, m.component, m.failure_mode, m.cause_code, m.remedy_code,
           case m.kind when 'planned' then coalesce(p.stopped_at, m.done_at) else m.fault_at end as at, m.done_at,
           m.minutes / 60 as repair_hours, p.stopped_at, c.codes, m.fault_at as ordered_at
    from reports.worked m
    cross join lateral (select case when m.done_at > m.stopped_at then m.stopped_at end as stopped_at) p
    cross join lateral (
        select coalesce(array_agg(distinct e.code), '{}') as codes
        from ingest.fault_event e join ingest.fault_code k on k.model = m.model and k.code = e.code
        where e.device_id = m.device_id and e.active and k.failure_mode = m.failure_mode
          and e.ts >= m.fault_at - interval '1 day' and e.ts <= m.done_at) c
    where m.kind in ('breakdown', 'prevented', 'planned') and m.device_id = any(%(devices)s::int[])
      and m.fault_at < %(until)s)"""
    + _AGED
)
_REPLACED: Final[LiteralString] = (
    """with found as materialized (
    select r.order_id, r.number, 'replaced' as kind, r.device_id, r.component, null as failure_mode,
           null as cause_code, 'replace' as remedy_code, r.renewed_at as at, r.renewed_at as done_at,
           null as repair_hours, null as stopped_at, '{}'::text[] as codes, r.renewed_at as ordered_at
    from reports.renewal r
    where not r.failed and r.device_id = any(%(devices)s::int[]) and r.renewed_at < %(until)s)"""
    + _AGED
)


def _events(
    conn: Conn, user: User | None, ask: Ask, devices: Sequence[dict[str, Any]], until: datetime
) -> list[Event]:
    params = {"devices": [row["id"] for row in devices], "firsts": [row["first_ts"] for row in devices],
              "until": until}  # fmt: skip
    found = rows(conn, _FAILURES, params) + rows(conn, _REPLACED, params)
    hidden = _hidden(conn, user, [row["order_id"] for row in found])
    events = [_event(row, row["order_id"] not in hidden) for row in found]
    return [event for event in events if _wanted(event, ask)]


def _hidden(conn: Conn, user: User | None, orders: list[int]) -> set[int]:
    """Another provider's orders count as failures, but are not shown and lend no repair times."""
    if user is None or user.role != "provider":
        return set()
    own = conn.execute(
        f"select o.id from fsm.work_order o where o.id = any(%(orders)s) and {scope.orders(user)}",
        scope.params(user) | {"orders": orders},
    ).fetchall()
    return set(orders) - {order_id for (order_id,) in own}


def _event(row: dict[str, Any], visible: bool) -> Event:
    stop = (row["stopped_at"], row["done_at"]) if row["stopped_at"] is not None else None
    replaced = row["kind"] == "replaced"
    return Event(
        row["device_id"], row["kind"], row["component"], row["failure_mode"], row["cause_code"],
        frozenset(row["codes"]), row["at"], row["done_at"], row["age"] or 0.0, row["age_after"] or 0.0,
        replaced or renews(row["kind"], row["remedy_code"]), row["repair_hours"], stop, row["order_id"],
        row["number"], visible,
    )  # fmt: skip


def _wanted(event: Event, ask: Ask) -> bool:
    """Whether a failure is one of those asked for. What renewed a component stays: its life ended there."""
    if event.kind == "replaced":
        return not ask.component or event.component == ask.component
    if event.kind == "planned":
        return not (ask.component or ask.failure_mode or ask.fault_code)
    return not ask.component or event.component == ask.component


def narrowed(record_: Record, ask: Ask) -> Record:
    """Only the failures of the mode and code asked for; for counts. (Lives need the others, which end them.)"""
    events = [
        event
        for event in record_.events
        if (not ask.failure_mode or event.mode == ask.failure_mode)
        and (not ask.fault_code or ask.fault_code in event.codes)
    ]
    return replace(record_, events=events)


def catalog(conn: Conn) -> Catalog:
    """What can fail, of all models. Codes that only inform (severity 4) announce no failure."""
    modes = conn.execute("select model, code, component from ingest.failure_mode").fetchall()
    codes = conn.execute(
        "select model, code, failure_mode from ingest.fault_code where severity < 4"
    ).fetchall()
    return Catalog(
        {(model, code): component for model, code, component in modes},
        {(model, code): mode for model, code, mode in codes},
    )


def pooled(
    conn: Conn, devices: Sequence[int], since: datetime, until: datetime
) -> list[tuple[datetime, float]]:
    """Moments (ends of UTC days, and both ends of the period) with the operating hours of the devices together by then,
    from the beginning of the period. Within a day hours pass evenly."""
    found = conn.execute(
        """select d.day::timestamp at time zone 'UTC', d.hours from (
               select h.day, sum(h.hours) as hours from ingest.run_hours_day h
               where h.device_id = any(%(devices)s::int[]) and h.day between %(first)s and %(last)s group by 1) d
           order by 1""",
        {
            "devices": list(devices),
            "first": since.astimezone(UTC).date(),
            "last": until.astimezone(UTC).date(),
        },
    ).fetchall()
    now = max(clock.now(conn), until)  # today's hours have passed by now, not by midnight
    moments, total = [(since, 0.0)], 0.0
    for start, hours in found:
        end = min(start + timedelta(days=1), now)
        begin, reached = max(start, since), min(end, until)
        if reached > begin:
            if begin > moments[-1][0]:
                moments.append((begin, total))
            total += hours * ((reached - begin) / (end - start))
            moments.append((reached, total))
    return moments


def raises(conn: Conn, record_: Record) -> list[dict[str, Any]]:
    """Fault codes raised in the period, with how many devices did; a code that comes again within an hour of its last
    raise chatters and is counted once. Information (severity 4) is left out."""
    return rows(
        conn,
        """select x.model, x.code, k.severity, k.text_en as name_en, k.text_zh as name_zh,
                  count(*) filter (where not x.chatters) as raises, count(*) as with_chatter,
                  count(distinct x.device_id) as devices
           from (select d.model, e.device_id, e.code,
                        coalesce(e.ts - lag(e.ts) over (partition by e.device_id, e.code order by e.ts)
                                 < interval '1 hour', false) as chatters
                 from ingest.fault_event e join ingest.device d on d.id = e.device_id
                 where e.active and e.device_id = any(%(devices)s::int[]) and e.ts >= %(since)s and e.ts < %(until)s) x
           join ingest.fault_code k on k.model = x.model and k.code = x.code
           where k.severity < 4 group by 1, 2, 3, 4, 5 order by raises desc, x.code""",
        {"devices": [unit.id for unit in record_.units], "since": record_.since, "until": record_.until},
    )
