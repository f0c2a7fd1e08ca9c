"""The facts of a service report, and its versions, in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fsm_core.reports.rules import digest
from kit.database import Conn, columns, one, rows, scalar
from kit.errors import NotFound


@dataclass(frozen=True)
class Report:
    """A row of fsm.service_report: one version of what the customer signs for."""

    id: int
    order_id: int
    version: int
    body: dict[str, Any]
    sha256: str
    signed_by: str | None
    signed_at: datetime | None
    signature: str | None

    @property
    def intact(self) -> bool:
        """Whether the body still has the hash it was signed with."""
        return digest(self.body) == self.sha256


def versions(conn: Conn, order_id: int) -> list[Report]:
    """All versions, the newest first."""
    return (
        conn.cursor(row_factory=class_row(Report))
        .execute(
            f"select {columns(Report)} from fsm.service_report where order_id = %s order by version desc",
            (order_id,),
        )
        .fetchall()
    )


def latest(conn: Conn, order_id: int) -> Report | None:
    """The newest version, or None."""
    return (
        conn.cursor(row_factory=class_row(Report))
        .execute(
            f"""select {columns(Report)} from fsm.service_report where order_id = %s
                order by version desc limit 1""",
            (order_id,),
        )
        .fetchone()
    )


def is_signed(conn: Conn, order_id: int) -> bool:
    """Whether the newest version is signed."""
    found = latest(conn, order_id)
    return found is not None and found.signed_at is not None


def insert(conn: Conn, order_id: int, body: dict[str, Any]) -> Report:
    """Add a version."""
    made = (
        conn.cursor(row_factory=class_row(Report))
        .execute(
            f"""insert into fsm.service_report (order_id, version, body, sha256)
                select %(order)s, coalesce(max(version), 0) + 1, %(body)s, %(sha)s
                from fsm.service_report where order_id = %(order)s
                returning {columns(Report)}""",
            {"order": order_id, "body": Jsonb(body), "sha": digest(body)},
        )
        .fetchone()
    )
    assert made is not None
    return made


def set_signature(conn: Conn, report_id: int, signed_by: str, signature: str, at: datetime) -> Report:
    """Bind a signature to a version."""
    signed = (
        conn.cursor(row_factory=class_row(Report))
        .execute(
            f"""update fsm.service_report set signed_by = %s, signature = %s, signed_at = %s where id = %s
                returning {columns(Report)}""",
            (signed_by, signature, at, report_id),
        )
        .fetchone()
    )
    assert signed is not None
    return signed


def body(conn: Conn, order_id: int, at: datetime) -> dict[str, Any]:
    """What the report says of the order, with the work as far as it had gone at `at`.

    Raises:
        NotFound: there is no such order.
    """
    head = one(
        conn,
        """select o.number, o.type, t.name_en as type_en, t.name_zh as type_zh, o.title_en, o.title_zh, o.description,
                  o.fault_at, o.note, o.cause_code, ca.name_en as cause_en, ca.name_zh as cause_zh, o.remedy_code,
                  re.name_en as remedy_en, re.name_zh as remedy_zh, c.name as customer, s.name as site, s.address,
                  i.uid as device, d.serial, m.code as model, m.name_en as model_en, m.name_zh as model_zh
           from fsm.work_order o join fsm.order_type t on t.code = o.type join fsm.customer c on c.id = o.customer_id
           join fsm.site s on s.id = o.site_id left join fsm.device d on d.id = o.device_id
           left join ingest.device i on i.id = o.device_id left join ingest.model m on m.code = i.model
           left join fsm.repair_code ca on ca.kind = 'cause' and ca.code = o.cause_code
           left join fsm.repair_code re on re.kind = 'remedy' and re.code = o.remedy_code
           where o.id = %s for no key update of o""",
        (order_id,),
    )
    if head is None:
        raise NotFound(f"there is no order {order_id}")
    return {
        "drafted_at": at.isoformat(),
        "order": head | {"fault_at": head["fault_at"].isoformat()},
        "visits": [_visit(row, at) for row in _visits(conn, order_id)],
        "parts": rows(
            conn,
            """select p.sku, p.name_en, p.name_zh, trim_scale(o.consumed)::text as quantity,
                      trim_scale(o.old_returned)::text as old_returned
               from fsm.order_part o join fsm.part p on p.id = o.part_id
               where o.order_id = %s and o.consumed > 0 order by p.sku""",
            (order_id,),
        ),
        "checklist": rows(
            conn,
            "select position, text_en, text_zh, done from fsm.checklist_item where order_id = %s order by position",
            (order_id,),
        ),
        "coverage": rows(
            conn,
            """select line, payer, trim_scale(covered_pct)::text as covered_pct, rule, reason_en, reason_zh
               from fsm.entitlement where order_id = %s order by line""",
            (order_id,),
        ),
    }


def running(conn: Conn, order_id: int) -> bool:
    """Whether somebody works on the order right now, so that its hours grow."""
    return bool(
        scalar(
            conn,
            "select 1 from fsm.visit where order_id = %s and working_since is not null limit 1",
            (order_id,),
        )
    )


def _visits(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    return rows(
        conn,
        """select t.name as engineer, v.on_site_at, v.worked_minutes, v.working_since
           from fsm.visit v join fsm.technician t on t.id = v.technician_id
           where v.order_id = %s and v.on_site_at is not null order by v.id""",
        (order_id,),
    )


def _visit(row: dict[str, Any], at: datetime) -> dict[str, Any]:
    worked = timedelta(minutes=row["worked_minutes"])
    if row["working_since"] is not None:
        worked += max(at - row["working_since"], timedelta(0))
    return {
        "engineer": row["engineer"],
        "arrived_at": row["on_site_at"].isoformat(),
        "worked_minutes": round(worked / timedelta(minutes=1)),
    }
