"""Opening an order: what is wanted, by whom, for which device; the clocks start and the solution is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fsm_core.actors import Actor
from fsm_core.sla import actions as sla
from fsm_core.work_orders import store
from fsm_core.work_orders.store import Entry, WorkOrder
from kit.database import Conn, one, scalar
from kit.errors import Invalid


@dataclass(frozen=True)
class NewOrder:
    """What is needed to open an order.

    Attributes:
        device_id: None says explicitly that no device is concerned.
        failure_mode: of the device's model, where it is known; brings the solution with it.
        fault_at: when the fault began; decides the warranty.
        repeat_of: the order whose repair did not hold.
        request_key: idempotency key of the channel; unique.
        skill, standard_hours, checklist: for orders without a solution (plans); checklist = (en, zh) pairs.
    """

    type: str
    source: str
    site_id: int
    customer_id: int
    priority: int
    title_en: str
    title_zh: str
    fault_at: datetime
    device_id: int | None = None
    failure_mode: str | None = None
    component: str | None = None
    description: str = ""
    description_zh: str = ""
    repeat_of: int | None = None
    request_key: str | None = None
    skill: str | None = None
    standard_hours: Decimal | None = None
    checklist: tuple[tuple[str, str], ...] = ()
    provider_id: int | None = None


def open_order(conn: Conn, new: NewOrder, actor: Actor, at: datetime) -> WorkOrder:
    """Open an order in state `new`: SLA clocks start; the failure mode's solution brings parts, skill and checklist.

    Raises:
        Invalid: unknown type, a priority outside 1 to 4, no title, or device, site and customer that do not belong
            together.
    """
    _check(conn, new)
    known = _solution(conn, new)
    order_id: int = scalar(
        conn,
        """insert into fsm.work_order (type, source, device_id, site_id, customer_id, provider_id, failure_mode,
               component, solution_id, priority, title_en, title_zh, description, description_zh, fault_at, opened_at,
               skill, standard_hours, repeat_of, request_key)
           values (%(type)s, %(source)s, %(device_id)s, %(site_id)s, %(customer_id)s, %(provider_id)s,
               %(failure_mode)s, %(component)s, %(solution_id)s, %(priority)s, %(title_en)s, %(title_zh)s,
               %(description)s, %(description_zh)s, %(fault_at)s, %(at)s, %(skill)s, %(standard_hours)s,
               %(repeat_of)s, %(request_key)s) returning id""",
        vars(new) | known | {"at": at},
    )
    _expect(conn, order_id, known["solution_id"], new.checklist)
    store.record(conn, order_id, Entry("open", None, "new", data={"source": new.source}), actor, at)
    sla.start_clocks(conn, order_id, new.customer_id, new.priority, at)
    return store.get(conn, order_id)


def _check(conn: Conn, new: NewOrder) -> None:
    if new.priority not in (1, 2, 3, 4):
        raise Invalid(f"Priority {new.priority} does not exist; it is 1 (the most urgent) to 4.")
    if not (new.title_en.strip() and new.title_zh.strip()):
        raise Invalid("An order needs a title in both languages.")
    if not scalar(conn, "select 1 from fsm.order_type where code = %s", (new.type,)):
        raise Invalid(f"There is no order type {new.type!r}.")
    if not scalar(
        conn, "select 1 from fsm.site where id = %s and customer_id = %s", (new.site_id, new.customer_id)
    ):
        raise Invalid(f"Site {new.site_id} is not a site of customer {new.customer_id}.")
    if new.device_id is not None and not scalar(
        conn, "select 1 from fsm.device where id = %s and site_id = %s", (new.device_id, new.site_id)
    ):
        raise Invalid(f"Device {new.device_id} does not stand at site {new.site_id}.")


def _solution(conn: Conn, new: NewOrder) -> dict[str, Any]:
    """component, solution_id, skill and standard_hours: as given, else as the catalogue knows them."""
    found = one(
        conn,
        """select m.component, s.id as solution_id, s.skill, s.standard_hours
           from ingest.device d join ingest.failure_mode m on m.model = d.model
           left join fsm.solution s on s.model = m.model and s.failure_mode = m.code
           where d.id = %s and m.code = %s""",
        (new.device_id, new.failure_mode),
    ) or {"component": None, "solution_id": None, "skill": None, "standard_hours": None}
    return {
        "component": new.component or found["component"],
        "solution_id": found["solution_id"],
        "skill": new.skill or found["skill"],
        "standard_hours": new.standard_hours or found["standard_hours"] or Decimal(1),
    }


def _expect(
    conn: Conn, order_id: int, solution_id: int | None, checklist: tuple[tuple[str, str], ...]
) -> None:
    conn.execute(
        """insert into fsm.order_part (order_id, part_id, expected)
           select %s, part_id, quantity from fsm.solution_part where solution_id = %s""",
        (order_id, solution_id),
    )
    conn.execute(
        """insert into fsm.checklist_item (order_id, position, text_en, text_zh)
           select %s, n, en, zh from fsm.solution s,
               unnest(s.checklist_en, s.checklist_zh) with ordinality as item(en, zh, n) where s.id = %s
           union all
           select %s, n + 1000, en, zh from unnest(%s::text[], %s::text[]) with ordinality as item(en, zh, n)""",
        (order_id, solution_id, order_id, [en for en, _ in checklist], [zh for _, zh in checklist]),
    )
