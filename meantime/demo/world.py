"""The demo's master data: customers, sites, contracts, SLA, staff, stock, and the fleet's devices as assets."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb
from pwdlib import PasswordHash

from fsm_core.actors import Actor
from fsm_core.parts import actions as parts
from kit.database import Conn, scalar

FILE = Path(__file__).with_name("world.toml")
PASSWORD = "demo"  # printed on the demo's login page; refused in production
ACTOR = Actor.rule("seed")
KINDS = ("accept", "arrive", "complete")


def load() -> dict[str, Any]:
    """The world file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def create(conn: Conn, now: datetime) -> None:
    """Insert all master data but the devices; once, in the caller's transaction."""
    world = load()
    _promises(conn, world)
    _customers(conn, world, now.date())
    _staff(conn, world)
    _stock(conn, world, now)
    _users(conn, world)


def _promises(conn: Conn, world: dict[str, Any]) -> None:
    for calendar in world["calendar"]:
        conn.execute(
            "insert into fsm.calendar (code, timezone, week) values (%s, %s, %s)",
            (calendar["code"], calendar["timezone"], Jsonb(calendar["week"])),
        )
    for plan in world["sla_plan"]:
        conn.execute(
            "insert into fsm.sla_plan (code, name_en, name_zh, calendar) values (%s, %s, %s, %s)",
            (plan["code"], plan["name_en"], plan["name_zh"], plan["calendar"]),
        )
        conn.execute("insert into fsm.tier_plan (tier, plan) values (%s, %s)", (plan["code"], plan["code"]))
        for priority, minutes in plan["minutes"].items():
            for kind, target in zip(KINDS, minutes, strict=True):
                conn.execute(
                    "insert into fsm.sla_target (plan, priority, kind, minutes) values (%s, %s, %s, %s)",
                    (plan["code"], int(priority), kind, target),
                )
    conn.execute(
        """insert into fsm.price_list (currency, labour_per_hour, travel_per_km, call_out_fee, tax_pct, cost_per_km)
           values (%(currency)s, %(labour_per_hour)s, %(travel_per_km)s, %(call_out_fee)s, %(tax_pct)s,
                   %(cost_per_km)s)""",
        world["price_list"],
    )


def _customers(conn: Conn, world: dict[str, Any], today: date) -> None:
    for number, customer in enumerate(world["customer"], 1):
        customer_id = scalar(
            conn,
            """insert into fsm.customer (code, name, tier, email, phone, currency)
               values (%(code)s, %(name)s, %(tier)s, %(email)s, %(phone)s, %(currency)s) returning id""",
            customer | {"currency": world["price_list"]["currency"]},
        )
        if contract := customer.get("contract"):
            conn.execute(
                """insert into fsm.contract (number, customer_id, valid_from, valid_until,
                                            labour_pct, parts_pct, travel_pct)
                   values (%s, %s, %s, %s, %s, %s, %s)""",
                (f"CT-{number:04}", customer_id, today - timedelta(days=400), today + timedelta(days=1200),
                 contract["labour"], contract["parts"], contract["travel"]),
            )  # fmt: skip
    for code, name, address, latitude, longitude in world["sites"]["list"]:
        conn.execute(
            """insert into fsm.site (customer_id, name, address, latitude, longitude, timezone, contact, phone)
               select id, %s, %s, %s, %s, 'Asia/Shanghai', 'Duty engineer 值班工程师', phone
               from fsm.customer where code = %s""",
            (name, address, latitude, longitude, code),
        )


def _staff(conn: Conn, world: dict[str, Any]) -> None:
    for provider in world["provider"]:
        conn.execute(
            """insert into fsm.provider (code, name, hourly_rate, call_out_fee)
               values (%(code)s, %(name)s, %(hourly_rate)s, %(call_out_fee)s)""",
            provider,
        )
    for name, latitude, longitude, calendar, skills, provider in world["technicians"]["list"]:
        conn.execute(
            """insert into fsm.technician (name, provider_id, skills, calendar, latitude, longitude, hourly_cost, phone)
               values (%s, (select id from fsm.provider where code = %s), %s, %s, %s, %s, 165, '+86 139 5550 0000')""",
            (name, provider, skills, calendar, latitude, longitude),
        )


def _stock(conn: Conn, world: dict[str, Any], now: datetime) -> None:
    for house in world["warehouse"]:
        conn.execute(
            """insert into fsm.location (code, kind, name, latitude, longitude)
               values (%(code)s, 'warehouse', %(name)s, %(latitude)s, %(longitude)s)""",
            house,
        )
    conn.execute(
        """insert into fsm.location (code, kind, name, technician_id, provider_id)
           select 'VAN-' || lpad(id::text, 2, '0'), 'van', 'Van 车 ' || name, id, provider_id from fsm.technician"""
    )
    stock = world["stock"]
    quantity = {"warehouse": stock["per_warehouse"], "van": stock["per_van"]}
    places = conn.execute(
        "select id, kind from fsm.location where kind in ('warehouse', 'van') order by id"
    ).fetchall()
    for part_id, price in conn.execute("select id, list_price from fsm.part order by id").fetchall():
        cost = (price * Decimal(stock["cost_share"])).quantize(Decimal("0.01"))
        for location_id, kind in places:
            parts.receive(conn, part_id, location_id, Decimal(quantity[kind]), cost, ACTOR, now)


def _users(conn: Conn, world: dict[str, Any]) -> None:
    hashed = PasswordHash.recommended().hash(PASSWORD)  # one hash for all: they share the password
    for login, name, role, language in world["users"]["list"]:
        conn.execute(
            """insert into fsm.user_account (login, name, password_hash, role, language, is_demo)
               values (%s, %s, %s, %s, %s, true)""",
            (login, name, hashed, role, language),
        )
    conn.execute(
        """insert into fsm.user_account (login, name, password_hash, role, language, technician_id, is_demo)
           select 'engineer' || id, name, %s, 'engineer', 'en', id, true from fsm.technician order by id""",
        (hashed,),
    )
    for role in ("provider", "customer"):
        for login, code, name in world["users"][f"{role}s"]:
            conn.execute(
                f"""insert into fsm.user_account (login, name, password_hash, role, language, {role}_id, is_demo)
                    select %s, %s, %s, %s, 'en', id, true from fsm.{role} where code = %s""",
                (login, name, hashed, role, code),
            )
