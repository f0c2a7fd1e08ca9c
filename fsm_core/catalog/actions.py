"""Load how a device type is repaired from its file: parts, solutions, what each is expected to need."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from kit.database import Conn, scalar
from kit.errors import Invalid


def load_solutions(conn: Conn, data: Mapping[str, Any]) -> int:
    """Load the [[part]] and [failure_mode.solution] tables of a device-type file; loading again updates them.

    The model and its failure modes are there already (`ingest.device_types.load`). Returns how many solutions.

    Raises:
        Invalid: a field is missing or wrong, or a solution needs a part nobody knows.
    """
    model = _text(data.get("model", {}), "code", "[model]")
    for part in data.get("part", ()):
        _part(conn, part)
    modes = [mode for mode in data.get("failure_mode", ()) if "solution" in mode]
    for mode in modes:
        _solution(conn, model, mode)
    return len(modes)


def _part(conn: Conn, part: Mapping[str, Any]) -> None:
    sku = _text(part, "sku", "[[part]]")
    where = f"part {sku}"
    conn.execute(
        """insert into fsm.part (sku, name_en, name_zh, list_price, serialised, returns_old, warranty_days)
           values (%s, %s, %s, %s, %s, %s, %s)
           on conflict (sku) do update set name_en = excluded.name_en, name_zh = excluded.name_zh,
               list_price = excluded.list_price, serialised = excluded.serialised,
               returns_old = excluded.returns_old, warranty_days = excluded.warranty_days""",
        (sku, _text(part, "name_en", where), _text(part, "name_zh", where), _number(part, "list_price", where),
         bool(part.get("serialised", False)), bool(part.get("returns_old", True)),
         int(part.get("warranty_days", 90))),
    )  # fmt: skip


def _solution(conn: Conn, model: str, mode: Mapping[str, Any]) -> None:
    code, solution = _text(mode, "code", "[[failure_mode]]"), mode["solution"]
    where = f"the solution of {code}"
    if not scalar(conn, "select 1 from ingest.failure_mode where model = %s and code = %s", (model, code)):
        raise Invalid(f"{model} has no failure mode {code!r}: load the device type first.")
    checklist = list(solution.get("checklist_en", ())), list(solution.get("checklist_zh", ()))
    if len(checklist[0]) != len(checklist[1]):
        raise Invalid(
            f"{where}: checklist_en has {len(checklist[0])} items, checklist_zh {len(checklist[1])}."
        )
    solution_id: int = scalar(
        conn,
        """insert into fsm.solution (model, failure_mode, name_en, name_zh, skill, standard_hours, checklist_en,
               checklist_zh) values (%s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (model, failure_mode) do update set name_en = excluded.name_en, name_zh = excluded.name_zh,
               skill = excluded.skill, standard_hours = excluded.standard_hours,
               checklist_en = excluded.checklist_en, checklist_zh = excluded.checklist_zh
           returning id""",
        (model, code, _text(solution, "name_en", where), _text(solution, "name_zh", where),
         _text(solution, "skill", where), _number(solution, "standard_hours", where), *checklist),
    )  # fmt: skip
    conn.execute("delete from fsm.solution_part where solution_id = %s", (solution_id,))
    for part in solution.get("parts", ()):
        _expect(conn, solution_id, part, where)


def _expect(conn: Conn, solution_id: int, part: Mapping[str, Any], where: str) -> None:
    sku, quantity = _text(part, "sku", where), _number(part, "quantity", where)
    found = scalar(
        conn,
        """insert into fsm.solution_part (solution_id, part_id, quantity)
           select %s, id, %s from fsm.part where sku = %s returning part_id""",
        (solution_id, quantity, sku),
    )
    if found is None:
        raise Invalid(f"{where} needs part {sku!r}, which is not known: add a [[part]] entry for it.")


def _text(table: Mapping[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Invalid(f'{where} needs {name} = "…".')
    return value


def _number(table: Mapping[str, Any], name: str, where: str) -> Decimal:
    try:
        value = Decimal(str(table.get(name)))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value <= 0:
        raise Invalid(f"{where} needs {name} above 0, not {table.get(name)!r}.")
    return value
