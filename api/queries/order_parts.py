"""The sections of one order: site, promise, parts, visits, history, money. The caller has checked that it is theirs."""

from __future__ import annotations

from typing import Any

from kit.database import Conn, one, rows


def site(conn: Conn, site_id: int) -> dict[str, Any]:
    """Where it is."""
    found = one(
        conn,
        """select id, name, address, latitude, longitude, timezone, contact, phone from fsm.site where id = %s""",
        (site_id,),
    )
    assert found is not None, "an order's site is a foreign key"
    return found


def entitlement(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """Who pays which line, and why."""
    return rows(
        conn,
        """select line, payer, covered_pct, rule, reason_en, reason_zh, evidence, decided_at
           from fsm.entitlement where order_id = %s order by line""",
        (order_id,),
    )


def clocks(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The SLA clocks; `late` is by the present, or by when the clock stopped."""
    return rows(
        conn,
        """select kind, minutes, started_at, due_at, stopped_at, coalesce(stopped_at, kit.now()) > due_at as late,
                  coalesce((select max(percent) from fsm.sla_rung r
                            where r.order_id = c.order_id and r.kind = c.kind), 0) as warned
           from fsm.sla_clock c where order_id = %s
           order by array_position(array['accept', 'arrive', 'complete'], kind)""",
        (order_id,),
    )


def parts(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """Expected, reserved, consumed parts; where the reservation lies."""
    return rows(
        conn,
        """select p.part_id, b.sku, b.name_en, b.name_zh, b.returns_old, b.serialised,
                  p.expected, p.reserved, p.consumed, p.old_returned,
                  (select string_agg(l.name, ', ' order by l.id) from fsm.reservation r
                   join fsm.location l on l.id = r.location_id
                   where r.order_id = p.order_id and r.part_id = p.part_id and r.state = 'open') as reserved_at
           from fsm.order_part p join fsm.part b on b.id = p.part_id where p.order_id = %s order by b.sku""",
        (order_id,),
    )


def checklist(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """What is to be ticked."""
    return rows(
        conn,
        "select position, text_en, text_zh, coalesce(done, false) as done from fsm.checklist_item"
        " where order_id = %s order by position",
        (order_id,),
    )


def events(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """The log, oldest first, with the name of who did it."""
    return rows(
        conn,
        """select e.id, e.visit_id, e.at, e.actor, coalesce(u.name, e.actor) as actor_name, e.action, e.subject,
                  e.from_state, e.to_state, e.reason, e.data
           from fsm.work_order_event e
           left join fsm.user_account u on e.actor = 'user:' || u.id
           where e.order_id = %s order by e.id""",
        (order_id,),
    )


def report(conn: Conn, order_id: int) -> dict[str, Any] | None:
    """The newest version of the service report."""
    return one(
        conn,
        """select version, body, sha256, signed_by, signed_at, signature from fsm.service_report
           where order_id = %s order by version desc limit 1""",
        (order_id,),
    )


def settlement(conn: Conn, order_id: int, *, with_cost: bool) -> dict[str, Any] | None:
    """What it cost and who pays; costs and the journal only for those who may see them."""
    head = one(
        conn,
        "select currency, net, tax, gross, cost, settled_at from fsm.settlement where order_id = %s",
        (order_id,),
    )
    if head is None:
        return None
    head["lines"] = rows(
        conn,
        """select position, line, text_en, text_zh, quantity, unit, unit_price, amount, covered_pct, billed, cost, rule
           from fsm.settlement_line where order_id = %s order by position""",
        (order_id,),
    )
    head["journal"] = journal(conn, order_id) if with_cost else []
    if not with_cost:
        for holder in (head, *head["lines"]):
            holder["cost"] = None
    return head


def journal(conn: Conn, order_id: int) -> list[dict[str, Any]]:
    """Every journal line that names this order."""
    return rows(
        conn,
        """select e.id as entry_id, e.kind, e.occurred_at, l.position, l.account, a.name_en, a.name_zh,
                  l.amount, l.currency, l.text
           from fsm.journal_entry e
           join fsm.journal_line l on l.entry_id = e.id
           join fsm.account a on a.code = l.account
           where e.order_id = %s order by e.id, l.position""",
        (order_id,),
    )


def repair_codes(conn: Conn) -> dict[str, list[dict[str, Any]]]:
    """Causes and remedies to choose from."""
    found = rows(conn, "select kind, code, name_en, name_zh, misuse from fsm.repair_code order by kind, code")
    return {kind: [row for row in found if row["kind"] == kind] for kind in ("cause", "remedy")}
