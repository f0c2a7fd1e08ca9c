"""A small living installation: the demo's master data, four pumps with a week of telemetry, orders in many states.

Everything comes about through the real doors: device types, the ingest store, the field-service actions.
"""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb
from pwdlib import PasswordHash

import meantime
from fsm_core.actors import Actor
from fsm_core.catalog import actions as catalog
from fsm_core.dispatch import actions as dispatch
from fsm_core.parts import actions as parts
from fsm_core.plans import worker as plans
from fsm_core.reports import actions as reports
from fsm_core.settlement import actions as settlement
from fsm_core.work_orders import actions as orders
from ingest import device_types
from ingest.message import Arrival
from ingest.store import Store
from kit import clock, follow
from kit.database import Conn, rows, scalar
from kit.settings import Ingest, Settings
from meantime.demo import world

NOW = datetime(2026, 3, 6, 2, 0, tzinfo=UTC)  # Friday, 10:00 in Shanghai
UIDS = ("pump-001", "pump-002", "pump-003", "pump-004")
PASSWORD = "demo"
SYSTEM = Actor.rule("test")
SIGNATURE = "M20 80 L45 25 L60 85 L82 30 L95 80 M110 75 L140 40 L170 78 L210 45 L260 70"


@dataclass
class Scene:
    """The ids of what a test asks about."""

    devices: dict[str, int] = field(default_factory=dict)
    new: int = 0
    accepted: int = 0
    planned: int = 0
    at_work: int = 0
    settled: int = 0
    visit_planned: int = 0
    visit_at_work: int = 0
    engineer: int = 0
    other_engineer: int = 0
    customer: int = 0


def build(conn: Conn, *, rate: float = 0.0) -> Scene:
    """Fill a migrated, empty database; the clock stands at NOW (or runs at `rate`)."""
    clock.set_rate(conn, rate, sim=NOW)
    pump = tomllib.loads((Path(meantime.__file__).parent / "device_types" / "pump.toml").read_text("utf-8"))
    device_types.load(conn, pump)
    catalog.load_solutions(conn, pump)
    world.create(conn, NOW - timedelta(days=30))
    scene = Scene(devices=_devices(conn))
    _telemetry(conn)
    _accounts(conn, scene)
    _orders(conn, scene)
    return scene


def _devices(conn: Conn) -> dict[str, int]:
    sites = rows(conn, "select id from fsm.site order by id")
    made = {}
    for index, uid in enumerate(UIDS):
        made[uid] = device_id = scalar(
            conn, "insert into ingest.device (uid, model) values (%s, 'pump-p100') returning id", (uid,)
        )
        conn.execute(
            """insert into fsm.device (id, serial, site_id, installed_on, warranty_until, warranty_hours, qr_token)
               values (%s, %s, %s, %s, %s, 8000, %s)""",
            (device_id, f"P100-{index:04}", sites[index * 3]["id"], date(2025, 4, 1),
             date(2027, 4, 1) if index % 2 else None, f"qr-{uid}"),
        )  # fmt: skip
    return made


def _telemetry(conn: Conn) -> None:
    """A week of half-hourly readings; the first pump's bearing begins to wear four days ago."""
    store, arrivals = Store(Ingest(), door="seed"), []
    for number, uid in enumerate(UIDS):
        for step in range(2 * 24 * 7):
            at = NOW - timedelta(days=7) + timedelta(minutes=30 * step)
            wear = max(0.0, (step - 150) / 40) if number == 0 else 0.0
            wave = math.sin(step / 7 + number) + 0.4 * math.sin(step * 1.7)
            values = {
                "run_hours": 1200 + step * 0.5, "state": 3 if step % 48 > 6 else 1,
                "vibration": 2.2 + 0.2 * wave + wear, "bearing_temperature": 58 + 1.5 * wave + 3 * wear,
                "pressure": 6.1 + 0.1 * wave, "flow": 142 + 3 * wave, "current": 41 + wave,
            }  # fmt: skip
            payload = json.dumps({"ts": at.isoformat(), "values": values}).encode()
            arrivals.append(Arrival(f"meantime/{uid}/telemetry", payload, uid, None, at))
    for uid in UIDS:
        arrivals.append(Arrival(f"meantime/{uid}/status", b'{"online": true}', uid, None, NOW))
    fault = json.dumps(
        {"ts": (NOW - timedelta(hours=30)).isoformat(), "code": "E101", "active": True}
    ).encode()
    arrivals.append(Arrival(f"meantime/{UIDS[0]}/fault", fault, UIDS[0], None, NOW))
    arrivals.append(Arrival(f"meantime/{UIDS[1]}/telemetry", b'{"values": ', UIDS[1], None, NOW))
    arrivals.append(Arrival("meantime/ghost-7/telemetry", b'{"values": {"flow": 1}}', "ghost-7", None, NOW))
    late = json.dumps({"ts": (NOW - timedelta(hours=2)).isoformat(), "values": {"flow": 9999}}).encode()
    arrivals.append(Arrival(f"meantime/{UIDS[2]}/telemetry", late, UIDS[2], None, NOW))
    with conn.transaction():
        store.committed(store.write(conn, arrivals))


def _accounts(conn: Conn, scene: Scene) -> None:
    """The demo's accounts exist; besides a provider, a customer, and the ones that a test names."""
    hashed = PasswordHash.recommended().hash(PASSWORD)
    provider = scalar(conn, "select id from fsm.provider order by id limit 1")
    scene.customer = scalar(
        conn, "select s.customer_id from fsm.device f join fsm.site s on s.id = f.site_id where f.id = %s",
        (scene.devices[UIDS[0]],),
    )  # fmt: skip
    for login, role, column, value in (
        ("partner", "provider", "provider_id", provider),
        ("client", "customer", "customer_id", scene.customer),
    ):
        conn.execute(
            f"""insert into fsm.user_account (login, name, password_hash, role, {column}, is_demo)
                values (%s, %s, %s, %s, %s, true) on conflict (login) do nothing""",
            (login, login.title(), hashed, role, value),
        )


def _open(
    conn: Conn, device: int, mode: str | None, title: tuple[str, str], at: datetime, **more: Any
) -> int:
    place = rows(
        conn, "select f.site_id, s.customer_id from fsm.device f join fsm.site s on s.id = f.site_id where f.id = %s",
        (device,),
    )[0]  # fmt: skip
    values = {"type": "condition", "source": "automatic", "priority": 2, "description": ""} | more
    new = orders.NewOrder(
        device_id=device,
        failure_mode=mode,
        title_en=title[0],
        title_zh=title[1],
        fault_at=at,
        **place,
        **values,
    )
    return orders.open_order(conn, new, SYSTEM, at).id


def _orders(conn: Conn, scene: Scene) -> None:
    first, second, third, fourth = scene.devices.values()
    scene.at_work = _signal(conn, first)
    with conn.transaction():
        scene.settled = _open(
            conn, second, "seal_leak", ("Mechanical seal leak", "机械密封泄漏"), NOW - timedelta(days=3)
        )
        scene.planned = _open(
            conn, third, "motor_overload", ("Motor overload", "电机过载"), NOW - timedelta(hours=5)
        )
        scene.accepted = _open(conn, fourth, None, ("Inspect the base frame", "检查底座"), NOW - timedelta(hours=2),
                               type="inspection", source="desk", priority=3, skill="welding")  # fmt: skip
        scene.new = _open(conn, fourth, None, ("Noise at start", "启动异响"), NOW - timedelta(minutes=40),
                          type="repair", source="telephone", priority=3, skill="rotating")  # fmt: skip
        for order_id in (scene.settled, scene.planned, scene.accepted):
            orders.move_order(conn, order_id, "accept", SYSTEM, NOW - timedelta(minutes=30))
        _settle(conn, scene.settled)
        visit = dispatch.assign(conn, scene.at_work, _technician(conn, scene.at_work, 0), SYSTEM, NOW)
        scene.visit_at_work, scene.engineer = visit.id, visit.technician_id
        orders.move_visit(conn, visit.id, "confirm", SYSTEM, NOW)
        other = _technician(conn, scene.planned, scene.engineer)
        planned = dispatch.assign(conn, scene.planned, other, SYSTEM, NOW)
        scene.visit_planned, scene.other_engineer = planned.id, planned.technician_id


def _technician(conn: Conn, order_id: int, but: int) -> int:
    found = dispatch.candidates(conn, order_id, NOW)
    return next(one.technician_id for one in found if one.feasible and one.technician_id != but)


def _signal(conn: Conn, device: int) -> int:
    """A finding about the first pump, and the order that the product opens for it by itself."""
    at = NOW - timedelta(hours=20)
    drivers = [
        {"metric": "vibration", "value": 5.6, "baseline": 2.2, "limit": 4.5, "unit": "mm/s", "z": 8.1, "regime": "3",
         "ts": at.isoformat()},
        {"metric": "bearing_temperature", "value": 67.2, "baseline": 58.0, "limit": None, "unit": "°C", "z": 5.2,
         "regime": "3", "ts": at.isoformat()},
    ]  # fmt: skip
    detection = scalar(
        conn,
        """insert into analytics.detection (device_id, ts, kind, rule, rule_version, failure_mode, severity, score,
               evidence, telemetry_from, telemetry_to, through_batch, partition, telemetry_hash)
           values (%s, %s, 'raise', 'shift', 1, 'bearing_wear', 2, 8.1, %s, %s, %s, 1, 0, repeat('ab12', 16))
           returning id""",
        (device, at, Jsonb({"drivers": drivers, "codes": [{"code": "E101", "ts": at.isoformat(), "active": True}]}),
         at - timedelta(hours=12), at),
    )  # fmt: skip
    follow.catch_up(conn, plans.followers(Settings()))
    return int(scalar(conn, "select order_id from fsm.episode_signal where detection_id = %s", (detection,)))


def _settle(conn: Conn, order_id: int) -> None:
    """All the way, by the verbs of every day, two days ago."""
    at = NOW - timedelta(minutes=25)
    visit = dispatch.assign(conn, order_id, _technician(conn, order_id, 0), SYSTEM, at - timedelta(days=2))
    work_through(conn, order_id, visit.id, visit.planned_start)
    orders.move_order(conn, order_id, "review", Actor.user(1, "manager"), at)
    settlement.settle(conn, order_id, SYSTEM, at)


def work_through(conn: Conn, order_id: int, visit_id: int, at: datetime) -> None:
    """From planned to done, with parts, codes, checklist and signature."""
    visit = rows(conn, "select technician_id from fsm.visit where id = %s", (visit_id,))[0]
    for action in ("confirm", "travel"):
        orders.move_visit(conn, visit_id, action, SYSTEM, at)
    parts.issue(conn, order_id, visit["technician_id"], SYSTEM, at)
    orders.move_visit(conn, visit_id, "check_in", SYSTEM, at, position=(31.0, 121.4))
    orders.move_visit(conn, visit_id, "start", SYSTEM, at)
    for part in rows(conn, "select part_id, expected from fsm.order_part where order_id = %s", (order_id,)):
        parts.consume(conn, visit_id, part["part_id"], Decimal(part["expected"]), SYSTEM, at)
        if scalar(conn, "select returns_old from fsm.part where id = %s", (part["part_id"],)):
            parts.return_old(conn, order_id, part["part_id"], Decimal(part["expected"]), SYSTEM, at)
    for item in rows(conn, "select position from fsm.checklist_item where order_id = %s", (order_id,)):
        orders.tick(conn, order_id, item["position"], True, SYSTEM, at)
    codes = {
        row["kind"]: row["code"]
        for row in rows(conn, "select kind, code from fsm.repair_code where not misuse")
    }
    orders.file_codes(conn, order_id, codes["cause"], codes["remedy"], "", SYSTEM, at)
    done = at + timedelta(hours=2)
    reports.draft(conn, order_id, SYSTEM, done)
    reports.sign(conn, order_id, "Mr Li 李先生", SIGNATURE, SYSTEM, done)
    orders.move_visit(conn, visit_id, "finish", SYSTEM, done)
