"""The entitlement of an order: read the facts, decide, keep the decision as a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from fsm_core.assets.rules import (
    Contract,
    Coverage,
    DeviceWarranty,
    Facts,
    PartWarranty,
    RepairWarranty,
    decide,
)
from kit.database import Conn, one, rows, scalar


def settle_who_pays(conn: Conn, order_id: int, at: datetime) -> None:
    """Decide the entitlement once; a decision that is there already stands."""
    if not snapshot(conn, order_id):
        _write(conn, order_id, decide(facts(conn, order_id)), at)


def exclude_misuse(conn: Conn, order_id: int, cause: str, at: datetime) -> bool:
    """The cause filed says misuse: nothing is covered any more. What had been decided stays in the evidence.

    Returns whether anything changed; an ordinary cause changes nothing.
    """
    if not scalar(conn, "select misuse from fsm.repair_code where kind = 'cause' and code = %s", (cause,)):
        return False
    before = {row["line"]: row for row in snapshot(conn, order_id)}
    if all(row["rule"] == "misuse" for row in before.values()) and before:
        return False
    known = facts(conn, order_id)
    excluded = decide(Facts(known.fault_at, known.fault_day, misuse=cause))
    conn.execute("delete from fsm.entitlement where order_id = %s", (order_id,))
    _write(conn, order_id, excluded, at, {line: row["rule"] for line, row in before.items()})
    return True


def snapshot(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """What was decided: line, payer, covered_pct, rule, reasons, evidence."""
    return rows(
        conn,
        """select line, payer, covered_pct, rule, reason_en, reason_zh, evidence, decided_at
           from fsm.entitlement where order_id = %s order by line""",
        (order_id,),
    )


def _write(
    conn: Conn,
    order_id: int,
    lines: Sequence[Coverage],
    at: datetime,
    before: dict[str, str] | None = None,
) -> None:
    for line in lines:
        evidence = dict(line.evidence) | ({"before": before[line.line]} if before else {})
        conn.execute(
            """insert into fsm.entitlement (order_id, line, payer, covered_pct, rule, reason_en, reason_zh, evidence,
                   decided_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (order_id, line.line, line.payer, line.covered_pct, line.rule, line.reason_en, line.reason_zh,
             Jsonb(evidence), at),
        )  # fmt: skip


def facts(conn: Conn, order_id: int) -> Facts:
    """What is known of an order's device, its parent, its parts and the customer's contract, at the fault time."""
    order = one(
        conn,
        """select o.device_id, o.component, o.customer_id, o.fault_at, o.type, o.repeat_of, s.timezone,
                  d.parent_id
           from fsm.work_order o join fsm.site s on s.id = o.site_id left join fsm.device d on d.id = o.device_id
           where o.id = %s""",
        (order_id,),
    )
    assert order is not None, f"order {order_id} was read before"
    fault_at = order["fault_at"]
    return Facts(
        fault_at=fault_at,
        fault_day=fault_at.astimezone(ZoneInfo(order["timezone"])).date(),
        part=_part(conn, order["device_id"], order["component"], fault_at),
        device=_device(conn, order["device_id"], fault_at),
        parent=_device(conn, order["parent_id"], fault_at),
        contract=_contract(conn, order["customer_id"], fault_at),
        repair=_repair(conn, order["repeat_of"]) if order["type"] == "repeat" else None,
    )


def _repair(conn: Conn, order_id: int | None) -> RepairWarranty | None:
    row = one(
        conn,
        """select o.number, (select p.code from fsm.visit v join fsm.technician t on t.id = v.technician_id
               join fsm.provider p on p.id = t.provider_id
               where v.order_id = o.id and v.state = 'done' order by v.id desc limit 1) as code
           from fsm.work_order o where o.id = %s""",
        (order_id,),
    )
    return None if row is None else RepairWarranty(row["number"], row["code"])


def _part(conn: Conn, device_id: int | None, component: str | None, at: datetime) -> PartWarranty | None:
    row = one(
        conn,
        """select p.sku, i.component, i.warranty_until from fsm.installed_part i join fsm.part p on p.id = i.part_id
           where i.device_id = %s and i.component = %s and i.installed_at <= %s
             and coalesce(i.removed_at, 'infinity') > %s
           order by i.warranty_until desc limit 1""",
        (device_id, component, at, at),
    )
    return None if row is None else PartWarranty(row["sku"], row["component"], row["warranty_until"])


def _device(conn: Conn, device_id: int | None, at: datetime) -> DeviceWarranty | None:
    row = one(
        conn,
        """select r.uid, d.warranty_until, d.warranty_hours, h.life - coalesce(
               (select sum(y.hours) from ingest.run_hours_day y
                where y.device_id = d.id and y.day > (%s at time zone 'UTC')::date), 0) as life
           from fsm.device d join ingest.device r on r.id = d.id
           left join ingest.run_hours h on h.device_id = d.id where d.id = %s""",
        (at, device_id),
    )
    if row is None:
        return None
    return DeviceWarranty(row["uid"], row["warranty_until"], row["warranty_hours"], row["life"])


def _contract(conn: Conn, customer_id: int, at: datetime) -> Contract | None:
    row = one(
        conn,
        """select number, labour_pct, travel_pct, parts_pct from fsm.contract
           where customer_id = %s and (%s at time zone 'UTC')::date between valid_from and valid_until
           order by valid_from desc, id desc limit 1""",
        (customer_id, at),
    )
    if row is None:
        return None
    return Contract(
        row["number"],
        {"labour": row["labour_pct"], "travel": row["travel_pct"], "parts": row["parts_pct"]},
    )
