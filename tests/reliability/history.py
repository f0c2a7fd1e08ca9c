"""A stored past in a few lines: hours run, orders done. Straight into the tables, because what is tested is reading."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from kit.database import Conn, one, scalar

DAY = timedelta(days=1)


def ran(conn: Conn, device: int, first: date, days: int, *, per_day: float = 24.0, life: float = 0.0) -> None:
    """So many whole days, evenly; `life` is what the device had run before."""
    for number in range(days):
        day = first + number * DAY
        start = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        conn.execute(
            """insert into ingest.run_hours_day (device_id, day, hours, counted, first_ts, ts, raw, life)
               values (%s, %s, %s, %s, %s, %s, %s, %s)""",
            (device, day, per_day, per_day, start, start + DAY, 0, life + per_day * (number + 1)),
        )
    conn.execute(
        """insert into ingest.run_hours (device_id, ts, raw, life) values (%s, %s, 0, %s)
           on conflict (device_id) do nothing""",
        (device, first + days * DAY, life + per_day * days),
    )


def order(
    conn: Conn, device: int, at: datetime, done: datetime | None = None, *, type: str = "repair",
    state: str = "closed", mode: str | None = "bearing_wear", component: str | None = "bearing",
    cause: str | None = "wear", remedy: str | None = "replace", worked: float = 2.0,
) -> int:  # fmt: skip
    """An order of a fault that began at `at`, done two hours of work later (or at `done`)."""
    done = done or at + timedelta(hours=worked)
    place = one(
        conn,
        """select a.site_id, s.customer_id, (select min(id) from fsm.technician) as technician
           from fsm.device a join fsm.site s on s.id = a.site_id where a.id = %s""",
        (device,),
    )
    assert place is not None
    made = int(
        scalar(
            conn,
            """insert into fsm.work_order (type, state, source, device_id, site_id, customer_id, failure_mode,
                   component, priority, title_en, title_zh, fault_at, opened_at, cause_code, remedy_code)
               values (%s, %s, 'desk', %s, %s, %s, %s, %s, 2, 'Order', '工单', %s, %s, %s, %s) returning id""",
            (
                type,
                state,
                device,
                place["site_id"],
                place["customer_id"],
                mode,
                component,
                at,
                at,
                cause,
                remedy,
            ),
        )
    )
    begun = done - timedelta(hours=worked)
    conn.execute(
        """insert into fsm.visit (order_id, technician_id, state, travel_start, planned_start, planned_end, planned_by,
               on_site_at, working_at, ended_at, worked_minutes)
           values (%s, %s, 'done', %s, %s, %s, 'manual', %s, %s, %s, %s)""",
        (made, place["technician"], begun - timedelta(hours=1), begun, done, begun, begun, done, 60 * worked),
    )
    conn.execute(
        """insert into fsm.work_order_event (order_id, at, actor, action, subject, to_state)
           values (%s, %s, 'rule:test', 'finish', 'order', 'work_done')""",
        (made, done),
    )
    return made


def replaced(conn: Conn, device: int, order_id: int, component: str, at: datetime) -> None:
    """A part was put in by an order."""
    conn.execute(
        """insert into fsm.installed_part (device_id, part_id, component, installed_at, warranty_until, order_id)
           values (%s, (select min(id) from fsm.part), %s, %s, %s, %s)""",
        (device, component, at, at + 90 * DAY, order_id),
    )
