"""Master data for the tests of the field-service core: one function per thing, keyword defaults,
the id returned.

`world(conn)` makes one of each, so that a test names only what it is about.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from fsm_core.actors import Actor
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders import store as order_store
from kit.database import Conn, scalar

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""A Monday morning; the default time of what happens first."""
MODEL = "pump-p100"
ALWAYS = {str(day): [["00:00", "24:00"]] for day in range(1, 8)}
BUSINESS = {str(day): [["09:00", "17:00"]] for day in range(1, 6)}

DESK = Actor.user(1, "dispatcher")
MANAGER = Actor.user(2, "manager")
FINANCE = Actor.user(3, "finance")
SYSTEM = Actor.rule("test")
_counter = itertools.count(1)


def engineer(technician_id: int, provider_id: int | None = None) -> Actor:
    """The engineer behind a technician."""
    return Actor.user(1000 + technician_id, "engineer", technician_id=technician_id, provider_id=provider_id)


def calendar(
    conn: Conn,
    *,
    code: str = "always",
    timezone: str = "UTC",
    week: Mapping[str, Sequence[Sequence[str]]] = ALWAYS,
    holidays: Sequence[date] = (),
) -> str:
    conn.execute(
        """insert into fsm.calendar (code, timezone, week, holidays) values (%s, %s, %s, %s)
           on conflict (code) do update set timezone = excluded.timezone, week = excluded.week,
               holidays = excluded.holidays""",
        (code, timezone, Jsonb(week), list(holidays)),
    )
    return code


def sla_plan(
    conn: Conn,
    *,
    code: str = "standard",
    calendar: str = "always",
    tier: str | None = "standard",
    accept: int = 60,
    arrive: int = 240,
    complete: int = 480,
) -> str:
    """A plan with targets for priority 1; priority n has n times as long. `tier` gets it without a contract."""
    conn.execute(
        "insert into fsm.sla_plan (code, name_en, name_zh, calendar) values (%s, %s, %s, %s)",
        (code, code, code, calendar),
    )
    for priority in range(1, 5):
        for kind, minutes in (("accept", accept), ("arrive", arrive), ("complete", complete)):
            conn.execute(
                "insert into fsm.sla_target (plan, priority, kind, minutes) values (%s, %s, %s, %s)",
                (code, priority, kind, minutes * priority),
            )
    if tier is not None:
        conn.execute(
            """insert into fsm.tier_plan (tier, plan) values (%s, %s)
               on conflict (tier) do update set plan = excluded.plan""",
            (tier, code),
        )
    return code


def customer(conn: Conn, *, code: str | None = None, tier: str = "standard", currency: str = "CNY") -> int:
    code = code or f"customer-{next(_counter)}"
    found: int = scalar(
        conn,
        """insert into fsm.customer (code, name, tier, email, currency) values (%s, %s, %s, %s, %s)
           returning id""",
        (code, code.title(), tier, f"{code}@example.com", currency),
    )
    return found


def site(
    conn: Conn,
    customer_id: int,
    *,
    name: str | None = None,
    latitude: float = 31.2,
    longitude: float = 121.5,
    timezone: str = "Asia/Shanghai",
) -> int:
    found: int = scalar(
        conn,
        """insert into fsm.site (customer_id, name, address, latitude, longitude, timezone)
           values (%s, %s, '1 Test Road', %s, %s, %s)
           returning id""",
        (customer_id, name or f"site-{next(_counter)}", latitude, longitude, timezone),
    )
    return found


def contract(
    conn: Conn,
    customer_id: int,
    *,
    number: str | None = None,
    valid_from: date = date(2025, 1, 1),
    valid_until: date = date(2027, 12, 31),
    labour: int | str = 100,
    parts: int | str = 50,
    travel: int | str = 100,
    sla_plan: str | None = None,
) -> int:
    found: int = scalar(
        conn,
        """insert into fsm.contract (number, customer_id, valid_from, valid_until, labour_pct, parts_pct,
               travel_pct, sla_plan) values (%s, %s, %s, %s, %s, %s, %s, %s) returning id""",
        (
            number or f"CT-{next(_counter)}",
            customer_id,
            valid_from,
            valid_until,
            labour,
            parts,
            travel,
            sla_plan,
        ),
    )
    return found


def model(conn: Conn, *, code: str = MODEL) -> str:
    """A device type with run_hours, state, vibration and pressure, and two failure modes with fault codes."""
    if scalar(conn, "select 1 from ingest.model where code = %s", (code,)):
        return code
    conn.execute(
        "insert into ingest.model (code, name_en, name_zh, kind) values (%s, 'Pump', '泵', 'pump')", (code,)
    )
    for name, zh, unit, role in (
        ("run_hours", "运行小时", "h", "run_hours"),
        ("state", "运行状态", "1", "state"),
        ("vibration", "轴承振动", "mm/s", "reading"),
        ("pressure", "出口压力", "bar", "reading"),
    ):
        conn.execute(
            """insert into ingest.metric (model, name, name_en, name_zh, unit, low, high, role)
               values (%s, %s, %s, %s, %s, -1, 1000000, %s)""",
            (code, name, name.replace("_", " ").capitalize(), zh, unit, role),
        )
    for mode, component, en, zh, priority, fault in (
        ("bearing_wear", "bearing", "Bearing wear", "轴承磨损", 2, "E101"),
        ("seal_leak", "mechanical_seal", "Mechanical seal leak", "机械密封泄漏", 2, "E201"),
        ("motor_overload", "motor", "Motor overload", "电机过载", 1, "E301"),
    ):
        conn.execute(
            """insert into ingest.failure_mode (model, code, component, name_en, name_zh, priority)
               values (%s, %s, %s, %s, %s, %s)""",
            (code, mode, component, en, zh, priority),
        )
        conn.execute(
            """insert into ingest.fault_code (model, code, severity, failure_mode, text_en, text_zh)
               values (%s, %s, 2, %s, %s, %s)""",
            (code, fault, mode, en, zh),
        )
    return code


def device(
    conn: Conn,
    site_id: int,
    *,
    uid: str | None = None,
    model: str = MODEL,
    parent_id: int | None = None,
    installed_on: date = date(2025, 6, 1),
    warranty_until: date | None = None,
    warranty_hours: float | None = None,
    criticality: int = 3,
) -> int:
    """A device in the registry and as an asset."""
    uid = uid or f"dev-{next(_counter)}"
    device_id: int = scalar(
        conn, "insert into ingest.device (uid, model) values (%s, %s) returning id", (uid, model)
    )
    conn.execute(
        """insert into fsm.device (id, serial, site_id, parent_id, installed_on, warranty_until,
               warranty_hours, criticality, qr_token) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (device_id, f"SN-{uid}", site_id, parent_id, installed_on, warranty_until, warranty_hours, criticality,
         f"qr-{uid}"),
    )  # fmt: skip
    return device_id


def part(
    conn: Conn,
    *,
    sku: str | None = None,
    list_price: str = "100",
    serialised: bool = False,
    returns_old: bool = False,
    warranty_days: int = 90,
) -> int:
    sku = sku or f"PART-{next(_counter)}"
    found: int = scalar(
        conn,
        """insert into fsm.part (sku, name_en, name_zh, list_price, serialised, returns_old, warranty_days)
           values (%s, %s, %s, %s, %s, %s, %s) returning id""",
        (sku, sku, sku, Decimal(list_price), serialised, returns_old, warranty_days),
    )
    return found


def solution(
    conn: Conn,
    *,
    model: str = MODEL,
    failure_mode: str = "bearing_wear",
    skill: str = "rotating",
    standard_hours: str = "2.5",
    parts: Mapping[int, int] | None = None,
    checklist: Sequence[str] = ("Lock out",),
) -> int:
    """`parts`: part id → quantity that the repair is expected to need."""
    found: int = scalar(
        conn,
        """insert into fsm.solution (model, failure_mode, name_en, name_zh, skill, standard_hours,
               checklist_en, checklist_zh) values (%s, %s, 'Replace', '更换', %s, %s, %s, %s) returning id""",
        (model, failure_mode, skill, Decimal(standard_hours), list(checklist), list(checklist)),
    )
    for part_id, quantity in (parts or {}).items():
        conn.execute("insert into fsm.solution_part values (%s, %s, %s)", (found, part_id, quantity))
    return found


def repair_codes(conn: Conn) -> None:
    """Causes `wear` and `operator_error` (a misuse), remedies `replaced` and `adjusted`."""
    conn.execute(
        """insert into fsm.repair_code (kind, code, name_en, name_zh, misuse) values
               ('cause', 'wear', 'Wear', '磨损', false),
               ('cause', 'operator_error', 'Operator error', '误操作', true),
               ('remedy', 'replaced', 'Replaced', '更换', false),
               ('remedy', 'adjusted', 'Adjusted', '调整', false)
           on conflict (kind, code) do update set misuse = excluded.misuse"""
    )


def provider(
    conn: Conn, *, code: str | None = None, hourly_rate: str = "310", call_out_fee: str = "180"
) -> int:
    code = code or f"provider-{next(_counter)}"
    found: int = scalar(
        conn,
        """insert into fsm.provider (code, name, hourly_rate, call_out_fee) values (%s, %s, %s, %s)
           returning id""",
        (code, code.title(), Decimal(hourly_rate), Decimal(call_out_fee)),
    )
    return found


def technician(
    conn: Conn,
    *,
    name: str | None = None,
    provider_id: int | None = None,
    skills: Sequence[str] = ("rotating",),
    calendar: str = "always",
    latitude: float = 31.2,
    longitude: float = 121.5,
    hourly_cost: str = "165",
) -> int:
    found: int = scalar(
        conn,
        """insert into fsm.technician (name, provider_id, skills, calendar, latitude, longitude, hourly_cost)
           values (%s, %s, %s, %s, %s, %s, %s) returning id""",
        (name or f"Tech {next(_counter)}", provider_id, list(skills), calendar, latitude, longitude,
         Decimal(hourly_cost)),
    )  # fmt: skip
    return found


def location(
    conn: Conn,
    *,
    kind: str = "warehouse",
    code: str | None = None,
    technician_id: int | None = None,
    latitude: float | None = 31.2,
    longitude: float | None = 121.5,
) -> int:
    """`kind="van", technician_id=…` is that technician's van."""
    code = code or f"{kind}-{next(_counter)}"
    found: int = scalar(
        conn,
        """insert into fsm.location (code, kind, name, technician_id, latitude, longitude)
           values (%s, %s, %s, %s, %s, %s) returning id""",
        (code, kind, code, technician_id, latitude, longitude),
    )
    return found


def price_list(conn: Conn, *, currency: str = "CNY", **figures: Any) -> None:
    values: dict[str, Any] = {
        "currency": currency, "labour_per_hour": 420, "travel_per_km": "4.5", "call_out_fee": 260,
        "tax_pct": 13, "cost_per_km": "1.6",
    }  # fmt: skip
    conn.execute(
        """insert into fsm.price_list (currency, labour_per_hour, travel_per_km, call_out_fee, tax_pct,
               cost_per_km)
           values (%(currency)s, %(labour_per_hour)s, %(travel_per_km)s, %(call_out_fee)s, %(tax_pct)s,
                   %(cost_per_km)s)""",
        values | figures,
    )


def run_hours(conn: Conn, device_id: int, life: float, *, at: datetime = T0) -> None:
    """The counter of a device as ingest has classified it."""
    conn.execute(
        """insert into ingest.run_hours (device_id, ts, raw, life) values (%s, %s, %s, %s)
           on conflict (device_id) do update set ts = excluded.ts, raw = excluded.raw,
               life = excluded.life""",
        (device_id, at, life, life),
    )


def run_day(conn: Conn, device_id: int, day: date, hours: float) -> None:
    """What a device ran on a day (UTC)."""
    conn.execute(
        "insert into ingest.run_hours_day (device_id, day, hours, counted) values (%s, %s, %s, %s)",
        (device_id, day, hours, hours),
    )


def detection(
    conn: Conn,
    device_id: int,
    *,
    kind: str = "raise",
    at: datetime = T0,
    failure_mode: str = "bearing_wear",
    severity: int = 2,
    rule: str = "shift",
    score: float = 7.5,
    evidence: Mapping[str, Any] | None = None,
) -> int:
    """One finding, as analytics writes it."""
    found: int = scalar(
        conn,
        """insert into analytics.detection (device_id, ts, kind, rule, rule_version, failure_mode, severity,
               score, evidence, telemetry_from, telemetry_to, through_batch, telemetry_hash, partition)
           values (%(device)s, %(at)s, %(kind)s, %(rule)s, 1, %(mode)s, %(severity)s, %(score)s, %(evidence)s,
                   %(at)s, %(at)s, 0, 'hash', 0) returning id""",
        {
            "device": device_id, "at": at, "kind": kind, "rule": rule, "mode": failure_mode,
            "severity": severity, "score": score, "evidence": Jsonb(EVIDENCE if evidence is None else evidence),
        },
    )  # fmt: skip
    return found


EVIDENCE: Mapping[str, Any] = {
    "drivers": [
        {"metric": "vibration", "value": 7.1, "baseline": 2.2, "limit": 4.0, "unit": "mm/s", "z": 7.5,
         "regime": "3", "ts": "2026-03-02T08:00:00Z"}
    ],
    "codes": [],
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """The ids of one of each."""

    customer: int
    site: int
    device: int
    technician: int
    part: int
    solution: int
    calendar: str = "always"
    model: str = MODEL


def world(conn: Conn, *, returns_old: bool = False, tier: str = "standard", **device_values: Any) -> World:
    """A customer with a site and a pump, an SLA, an engineer, a bearing and how it is replaced."""
    calendar(conn)
    sla_plan(conn, code=tier, tier=tier)
    repair_codes(conn)
    price_list(conn)
    model(conn)
    customer_id = customer(conn, tier=tier)
    site_id = site(conn, customer_id)
    device_id = device(conn, site_id, **device_values)
    part_id = part(conn, sku="BRG-6310", list_price="860", returns_old=returns_old)
    solution_id = solution(conn, parts={part_id: 1})
    return World(customer_id, site_id, device_id, technician(conn), part_id, solution_id)


def new_order(world: World, **values: Any) -> orders.NewOrder:
    """A repair of the world's pump, bearing worn, priority 2."""
    given: dict[str, Any] = {
        "type": "repair", "source": "desk", "site_id": world.site, "customer_id": world.customer,
        "device_id": world.device, "failure_mode": "bearing_wear", "priority": 2, "title_en": "Bearing wear",
        "title_zh": "轴承磨损", "fault_at": T0,
    }  # fmt: skip
    return orders.NewOrder(**(given | values))


def opened(conn: Conn, world: World, *, at: datetime = T0, **values: Any) -> order_store.WorkOrder:
    """An order in state new."""
    return orders.open_order(conn, new_order(world, **values), DESK, at)


def accepted(conn: Conn, world: World, *, at: datetime = T0, **values: Any) -> order_store.WorkOrder:
    """An order in state accepted."""
    order = opened(conn, world, at=at, **values)
    return orders.move_order(conn, order.id, "accept", DESK, at + timedelta(minutes=5))


def planned(
    conn: Conn,
    order_id: int,
    technician_id: int,
    *,
    start: datetime = T0 + timedelta(hours=2),
    hours: float = 3,
) -> order_store.Visit:
    """A visit in state planned: half an hour of travel, then `hours` of work."""
    plan = orders.VisitPlan(
        technician_id, start - timedelta(minutes=30), start, start + timedelta(hours=hours), 30, 18.5
    )
    return orders.plan_visit(conn, order_id, plan, DESK, start - timedelta(hours=1))


def working(conn: Conn, visit: order_store.Visit) -> order_store.Visit:
    """The visit, planned before, brought to state working."""
    at = visit.travel_start
    for action in ("confirm", "travel", "check_in", "start"):
        visit = orders.move_visit(
            conn, visit.id, action, engineer(visit.technician_id), at, position=(31.2, 121.5)
        )
        at += timedelta(minutes=10)
    return visit


def sign(conn: Conn, order_id: int, *, at: datetime = T0) -> None:
    """A signed report, for tests that are not about reports."""
    conn.execute(
        """insert into fsm.service_report (order_id, version, body, sha256, signed_by, signed_at, signature)
           select %s, coalesce(max(version), 0) + 1, '{}', 'x', 'Test', %s, 'M0 0'
           from fsm.service_report where order_id = %s""",
        (order_id, at, order_id),
    )


def finished(
    conn: Conn, visit: order_store.Visit, *, at: datetime | None = None, cause: str = "wear"
) -> order_store.Visit:
    """The visit, working before, brought to state done with all that its order needs."""
    at = at or visit.planned_end
    actor = engineer(visit.technician_id)
    for item in order_store.checklist(conn, visit.order_id):
        orders.tick(conn, visit.order_id, item["position"], True, actor, at)
    orders.file_codes(conn, visit.order_id, cause, "replaced", "done", actor, at)
    sign(conn, visit.order_id, at=at)
    return orders.move_visit(conn, visit.id, "finish", actor, at)


def repaired(conn: Conn, world: World, **values: Any) -> order_store.WorkOrder:
    """An order in state work_done, by the world's engineer."""
    order = accepted(conn, world, **values)
    finished(conn, working(conn, planned(conn, order.id, world.technician)))
    return order_store.get(conn, order.id)
