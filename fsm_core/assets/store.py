"""Devices as assets: where they stand, whose they are, what covers them, what was done to them."""

from __future__ import annotations

import secrets
from datetime import date, datetime
from typing import Any

import psycopg

from fsm_core.assets.rules import renewed_until
from kit.database import Conn, one, rows
from kit.errors import Conflict, Invalid, NotFound


def device(conn: Conn, device_id: int) -> dict[str, Any]:
    """A device with its model, site, customer, warranty, run-hours and connection.

    Raises:
        NotFound: no such asset.
    """
    found = one(
        conn,
        """select d.id, r.uid, r.model, m.name_en as model_en, m.name_zh as model_zh, m.kind, r.status, d.serial,
               d.site_id, s.name as site_name, s.address, s.latitude, s.longitude, s.timezone, s.contact, s.phone,
               s.customer_id, c.name as customer_name, c.tier, d.parent_id, p.uid as parent_uid, d.installed_on,
               d.warranty_until, d.warranty_hours, d.criticality, d.qr_token, h.life as run_hours,
               h.ts as run_hours_at, coalesce(t.online, false) as online, t.last_ts
           from fsm.device d join ingest.device r on r.id = d.id join ingest.model m on m.code = r.model
           join fsm.site s on s.id = d.site_id join fsm.customer c on c.id = s.customer_id
           left join ingest.device p on p.id = d.parent_id left join ingest.run_hours h on h.device_id = d.id
           left join ingest.device_status t on t.device_id = d.id
           where d.id = %s""",
        (device_id,),
    )
    if found is None:
        raise NotFound(f"There is no device {device_id} in the asset register.")
    return found


def find(conn: Conn, *, uid: str | None = None, qr_token: str | None = None) -> int | None:
    """The id of the asset with that uid or QR token."""
    found = one(
        conn,
        """select d.id from fsm.device d join ingest.device r on r.id = d.id
           where r.uid = %s or d.qr_token = %s""",
        (uid, qr_token),
    )
    return None if found is None else found["id"]


def listing(
    conn: Conn,
    *,
    text: str | None = None,
    customer_id: int | None = None,
    site_id: int | None = None,
    limit: int = 100,
    after: int | None = None,
) -> list[dict[str, Any]]:
    """Devices by id, with site, customer, connection, and how many orders are open."""
    return rows(
        conn,
        """select d.id, r.uid, r.model, d.serial, d.site_id, s.name as site_name, s.customer_id,
               c.name as customer_name, d.criticality, d.warranty_until, coalesce(t.online, false) as online,
               t.last_ts, h.life as run_hours,
               (select count(*) from fsm.work_order o where o.device_id = d.id
                and o.state in ('new', 'accepted', 'assigned', 'confirmed', 'in_progress', 'on_hold')) as open_orders
           from fsm.device d join ingest.device r on r.id = d.id
           join fsm.site s on s.id = d.site_id join fsm.customer c on c.id = s.customer_id
           left join ingest.device_status t on t.device_id = d.id
           left join ingest.run_hours h on h.device_id = d.id
           where (%(customer)s::int is null or s.customer_id = %(customer)s)
             and (%(site)s::int is null or d.site_id = %(site)s)
             and (%(text)s::text is null or strpos(lower(r.uid || ' ' || d.serial || ' ' || s.name || ' ' || c.name),
                                                   lower(%(text)s)) > 0)
             and (%(after)s::int is null or d.id > %(after)s)
           order by d.id limit %(limit)s""",
        {"customer": customer_id, "site": site_id, "text": text, "after": after, "limit": limit},
    )


def history(conn: Conn, device_id: int, limit: int = 50) -> list[dict[str, Any]]:
    """The device's orders, newest first, with codes and when they were done."""
    return rows(
        conn,
        """select o.id, o.number, o.type, o.state, o.priority, o.title_en, o.title_zh, o.failure_mode, o.fault_at,
               o.opened_at, o.cause_code, o.remedy_code, o.repeat_of,
               (select max(v.ended_at) from fsm.visit v where v.order_id = o.id and v.state = 'done') as done_at
           from fsm.work_order o where o.device_id = %s order by o.id desc limit %s""",
        (device_id, limit),
    )


def installed_parts(conn: Conn, device_id: int) -> list[dict[str, Any]]:
    """Parts that repairs have put in and that are still there, with their own warranty."""
    return rows(
        conn,
        """select i.part_id, p.sku, p.name_en, p.name_zh, i.component, i.serial, i.installed_at, i.warranty_until,
               i.order_id
           from fsm.installed_part i join fsm.part p on p.id = i.part_id
           where i.device_id = %s and i.removed_at is null order by i.installed_at desc, i.id desc""",
        (device_id,),
    )


def register(
    conn: Conn,
    device_id: int,
    *,
    serial: str,
    site_id: int,
    installed_on: date,
    parent_id: int | None = None,
    warranty_until: date | None = None,
    warranty_hours: float | None = None,
    criticality: int = 3,
) -> dict[str, Any]:
    """Make a provisioned device an asset at a site; returns it as `device` does.

    Raises:
        Conflict: it is one already, or the serial number is another's.
        Invalid: no such device, site or parent, or a criticality outside 1 to 4.
    """
    try:
        with conn.transaction():
            conn.execute(
                """insert into fsm.device (id, serial, site_id, parent_id, installed_on, warranty_until,
                       warranty_hours, criticality, qr_token) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                (device_id, serial, site_id, parent_id, installed_on, warranty_until, warranty_hours, criticality,
                 secrets.token_urlsafe(12)),
            )  # fmt: skip
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(
            f"The device is an asset already, or serial number {serial!r} is another's."
        ) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise Invalid(f"There is no such device, site or parent: {error.diag.message_detail}") from error
    except psycopg.errors.CheckViolation as error:
        raise Invalid(
            f"Criticality {criticality} does not exist; it is 1 (the most critical) to 4."
        ) from error
    return device(conn, device_id)


def install_parts(conn: Conn, order_id: int, at: datetime) -> None:
    """Note what the order put into its device. A part of the same kind at that component is out; what was left of
    its warranty passes on when it is longer.
    """
    for used in rows(
        conn,
        """select o.device_id, coalesce(o.component, '*') as component, u.part_id, p.warranty_days,
               (select max(m.serial) from fsm.stock_move m where m.order_id = o.id and m.part_id = u.part_id
                and m.verb = 'consume') as serial
           from fsm.work_order o join fsm.order_part u on u.order_id = o.id join fsm.part p on p.id = u.part_id
           where o.id = %s and u.consumed > 0 and o.device_id is not null and not exists (
               select from fsm.installed_part i where i.order_id = o.id and i.part_id = u.part_id)""",
        (order_id,),
    ):
        replaced = rows(
            conn,
            """update fsm.installed_part set removed_at = %(at)s
               where device_id = %(device_id)s and part_id = %(part_id)s and component = %(component)s
                 and removed_at is null returning warranty_until""",
            used | {"at": at},
        )
        until = renewed_until(at, used["warranty_days"], [row["warranty_until"] for row in replaced])
        conn.execute(
            """insert into fsm.installed_part (device_id, part_id, component, serial, installed_at, warranty_until,
                   order_id) values (%s, %s, %s, %s, %s, %s, %s)""",
            (used["device_id"], used["part_id"], used["component"], used["serial"], at, until, order_id),
        )
