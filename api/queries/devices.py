"""Devices: as assets, as talkers, with their present."""

from __future__ import annotations

from typing import Any, Final

from api import scope
from api.accounts import User
from kit.database import Conn, one, rows

OPEN: Final = "('new', 'accepted', 'assigned', 'confirmed', 'in_progress', 'on_hold')"

_ROW: Final = f"""
    select d.id, d.uid, d.model, m.name_en as model_en, m.name_zh as model_zh, m.kind, d.status, d.provisioned_at,
           f.serial, f.installed_on, f.warranty_until, f.warranty_hours, f.criticality,
           f.site_id, s.name as site, s.timezone, s.customer_id, c.name as customer,
           coalesce(p.online, false) as online, p.online_at, p.last_ts, coalesce(p.messages, 0) as messages,
           h.life as run_hours, h.ts as run_hours_at,
           work.order_id, work.number as order_number, work.state as order_state,
           coalesce(alarm.severity, 0) as alarm_severity, alarm.modes as alarm_modes,
           case when alarm.severity is null then 'good' when alarm.severity <= 2 then 'bad' else 'watch' end as health
    from ingest.device d
    join ingest.model m on m.code = d.model
    left join fsm.device f on f.id = d.id
    left join fsm.site s on s.id = f.site_id
    left join fsm.customer c on c.id = s.customer_id
    left join ingest.device_status p on p.device_id = d.id
    left join ingest.run_hours h on h.device_id = d.id
    left join lateral (
        select o.id as order_id, o.number, o.state from fsm.work_order o
        where o.device_id = d.id and o.state in {OPEN} order by o.priority, o.id limit 1
    ) work on true
    left join lateral (
        select min(last.severity) as severity, array_agg(last.failure_mode order by last.severity) as modes
        from (select distinct on (failure_mode) failure_mode, kind, severity from analytics.detection n
              where n.device_id = d.id order by failure_mode, ts desc, id desc) last
        where last.kind = 'raise'
    ) alarm on true
"""


def listing(
    conn: Conn, user: User, *, text: str = "", model: str = "", health: str = "", online: bool | None = None,
    limit: int = 100, after: int | None = None,
) -> tuple[list[dict[str, Any]], int | None]:  # fmt: skip
    """One page by id, and the `after` of the next one."""
    found = rows(
        conn,
        f"""select * from ({_ROW} where {scope.devices(user)}
                and (%(after)s::int is null or d.id > %(after)s)
                and (%(model)s = '' or d.model = %(model)s)
                and (%(text)s = '' or concat_ws(' ', d.uid, f.serial, s.name, c.name, m.name_en, m.name_zh)
                     ilike %(like)s)) found
            where (%(health)s = '' or health = %(health)s)
              and (%(online)s::boolean is null or online = %(online)s)
            order by id limit %(limit)s + 1""",
        scope.params(user)
        | {"after": after, "model": model, "text": text, "like": f"%{text}%", "health": health, "online": online,
           "limit": limit},
    )  # fmt: skip
    page = found[:limit]
    return page, page[-1]["id"] if len(found) > limit else None


def device(conn: Conn, device_id: int) -> dict[str, Any]:
    """One device; the caller has checked that it is theirs."""
    found = one(conn, f"{_ROW} where d.id = %s", (device_id,))
    assert found is not None, "scope.device found it"
    return found


def totals(conn: Conn, user: User) -> dict[str, int]:
    """How many there are, are online, are not well."""
    found = one(
        conn,
        f"""select count(*) as devices, count(*) filter (where online) as online,
                   count(*) filter (where health = 'bad') as bad, count(*) filter (where health = 'watch') as watch
            from ({_ROW} where {scope.devices(user)}) all_of_them""",
        scope.params(user),
    )
    assert found is not None
    return found


def metrics(conn: Conn, model: str) -> list[dict[str, Any]]:
    """What a model may say: name, names, unit, role."""
    return rows(
        conn,
        """select name, name_en, name_zh, unit, low, high, role from ingest.metric where model = %s
           order by array_position(array['reading', 'run_hours', 'state'], role), name""",
        (model,),
    )


def models(conn: Conn) -> list[dict[str, Any]]:
    """All models."""
    return rows(conn, "select code, name_en, name_zh, kind from ingest.model order by code")


def faults(conn: Conn, device_id: int, limit: int = 50) -> list[dict[str, Any]]:
    """Fault codes as they came, newest first."""
    return rows(
        conn,
        """select e.ts, e.code, e.active, k.severity, k.text_en, k.text_zh, k.failure_mode
           from ingest.fault_event e join ingest.device d on d.id = e.device_id
           left join ingest.fault_code k on k.model = d.model and k.code = e.code
           where e.device_id = %s order by e.ts desc, e.id desc limit %s""",
        (device_id, limit),
    )


def detections(conn: Conn, device_id: int, limit: int = 50) -> list[dict[str, Any]]:
    """What the models found, newest first."""
    return rows(
        conn,
        """select n.id, n.ts, n.kind, n.rule, n.failure_mode, n.severity, n.score, n.evidence,
                  m.name_en as failure_en, m.name_zh as failure_zh, g.outcome, g.rule as decided_by, g.order_id
           from analytics.detection n join ingest.device d on d.id = n.device_id
           left join ingest.failure_mode m on m.model = d.model and m.code = n.failure_mode
           left join fsm.episode_signal g on g.detection_id = n.id
           where n.device_id = %s order by n.ts desc, n.id desc limit %s""",
        (device_id, limit),
    )


def run_hours_days(conn: Conn, device_id: int, days: int = 30) -> list[dict[str, Any]]:
    """Hours run per UTC day, oldest first."""
    return rows(
        conn,
        """select day, hours from ingest.run_hours_day
           where device_id = %s and day > (kit.now() at time zone 'UTC')::date - %s order by day""",
        (device_id, days),
    )


def installed_parts(conn: Conn, device_id: int) -> list[dict[str, Any]]:
    """Parts with a warranty of their own."""
    return rows(
        conn,
        """select i.component, p.sku, p.name_en, p.name_zh, i.serial, i.installed_at, i.warranty_until, i.order_id
           from fsm.installed_part i join fsm.part p on p.id = i.part_id
           where i.device_id = %s and i.removed_at is null order by i.installed_at desc""",
        (device_id,),
    )
