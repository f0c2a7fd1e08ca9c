"""The catalogue in SQL: order types, repair codes, solutions."""

from __future__ import annotations

from typing import Any

from kit.database import Conn, rows


def order_types(conn: Conn) -> list[dict[str, Any]]:
    """Order types with names and what they demand."""
    return rows(conn, "select * from fsm.order_type order by code")


def repair_codes(conn: Conn) -> list[dict[str, Any]]:
    """Cause and remedy codes with names; `misuse` excludes every coverage."""
    return rows(conn, "select kind, code, name_en, name_zh, misuse from fsm.repair_code order by kind, code")


def solutions(conn: Conn, model: str | None = None) -> list[dict[str, Any]]:
    """Solutions with their failure mode and the parts they are expected to need: [{sku, quantity}, …]."""
    return rows(
        conn,
        """select s.id, s.model, s.failure_mode, m.component, s.name_en, s.name_zh, s.skill, s.standard_hours,
               s.checklist_en, s.checklist_zh, coalesce((
                   select jsonb_agg(jsonb_build_object('sku', p.sku, 'quantity', x.quantity) order by p.sku)
                   from fsm.solution_part x join fsm.part p on p.id = x.part_id where x.solution_id = s.id),
                   '[]') as parts
           from fsm.solution s join ingest.failure_mode m on m.model = s.model and m.code = s.failure_mode
           where %(model)s::text is null or s.model = %(model)s order by s.model, s.failure_mode""",
        {"model": model},
    )
