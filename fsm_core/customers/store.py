"""Customers, sites and contracts in SQL."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import psycopg

from kit.database import Conn, one, rows, scalar
from kit.errors import Conflict, Invalid, NotFound


def customer(conn: Conn, customer_id: int) -> dict[str, Any]:
    """One customer.

    Raises:
        NotFound: there is none.
    """
    found = one(
        conn,
        "select id, code, name, tier, email, phone, currency, language from fsm.customer where id = %s",
        (customer_id,),
    )
    if found is None:
        raise NotFound(f"There is no customer {customer_id}.")
    return found


def listing(conn: Conn, *, text: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Customers by name, with how many sites, devices and open orders."""
    return rows(
        conn,
        """select c.id, c.code, c.name, c.tier, c.email, c.phone, c.language,
               (select count(*) from fsm.site s where s.customer_id = c.id) as sites,
               (select count(*) from fsm.device d join fsm.site s on s.id = d.site_id
                where s.customer_id = c.id) as devices,
               (select count(*) from fsm.work_order o where o.customer_id = c.id
                and o.state in ('new', 'accepted', 'assigned', 'confirmed', 'in_progress', 'on_hold')) as open_orders
           from fsm.customer c
           where %(text)s::text is null or strpos(lower(c.name || ' ' || c.code), lower(%(text)s)) > 0
           order by c.name limit %(limit)s""",
        {"text": text, "limit": limit},
    )


def sites(conn: Conn, customer_id: int | None = None) -> list[dict[str, Any]]:
    """Sites, of one customer or all."""
    return rows(
        conn,
        """select id, customer_id, name, address, latitude, longitude, timezone, contact, phone from fsm.site
           where %(customer)s::int is null or customer_id = %(customer)s order by customer_id, name""",
        {"customer": customer_id},
    )


def contracts(conn: Conn, customer_id: int) -> list[dict[str, Any]]:
    """A customer's contracts, the newest first."""
    return rows(
        conn,
        """select id, number, valid_from, valid_until, labour_pct, parts_pct, travel_pct, sla_plan
           from fsm.contract where customer_id = %s order by valid_from desc, id desc""",
        (customer_id,),
    )


def add_customer(
    conn: Conn,
    *,
    code: str,
    name: str,
    currency: str,
    tier: str = "standard",
    email: str | None = None,
    phone: str | None = None,
    language: str = "en",
) -> int:
    """A new customer's id.

    Raises:
        Conflict: the code is taken. Invalid: an unknown tier or language.
    """
    try:
        with conn.transaction():
            found: int = scalar(
                conn,
                """insert into fsm.customer (code, name, tier, email, phone, currency, language)
                   values (%s, %s, %s, %s, %s, %s, %s) returning id""",
                (code, name, tier, email, phone, currency, language),
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"There is a customer {code!r} already.") from error
    except psycopg.errors.CheckViolation as error:
        raise Invalid("A tier is standard, silver or gold; a language is en or zh.") from error
    return found


def add_site(
    conn: Conn,
    customer_id: int,
    *,
    name: str,
    address: str,
    latitude: float,
    longitude: float,
    timezone: str,
    contact: str | None = None,
    phone: str | None = None,
) -> int:
    """A new site's id.

    Raises:
        NotFound: no such customer. Conflict: the customer has a site of that name. Invalid: a place off the globe.
    """
    customer(conn, customer_id)
    try:
        with conn.transaction():
            found: int = scalar(
                conn,
                """insert into fsm.site (customer_id, name, address, latitude, longitude, timezone, contact, phone)
                   values (%s, %s, %s, %s, %s, %s, %s, %s) returning id""",
                (customer_id, name, address, latitude, longitude, timezone, contact, phone),
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"The customer has a site {name!r} already.") from error
    except psycopg.errors.CheckViolation as error:
        raise Invalid(
            f"{latitude}, {longitude} is no place: latitude −90 … 90, longitude −180 … 180."
        ) from error
    return found


def add_contract(
    conn: Conn,
    customer_id: int,
    *,
    number: str,
    valid_from: date,
    valid_until: date,
    labour_pct: Decimal,
    parts_pct: Decimal,
    travel_pct: Decimal,
    sla_plan: str | None = None,
) -> int:
    """A new contract's id. Orders accepted before keep their entitlement.

    Raises:
        NotFound: no such customer. Conflict: the number is taken. Invalid: dates or percentages are wrong.
    """
    customer(conn, customer_id)
    try:
        with conn.transaction():
            found: int = scalar(
                conn,
                """insert into fsm.contract (number, customer_id, valid_from, valid_until, labour_pct, parts_pct,
                       travel_pct, sla_plan) values (%s, %s, %s, %s, %s, %s, %s, %s) returning id""",
                (number, customer_id, valid_from, valid_until, labour_pct, parts_pct, travel_pct, sla_plan),
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"There is a contract {number!r} already.") from error
    except psycopg.errors.CheckViolation as error:
        raise Invalid("A contract covers 0 to 100 percent and ends after it begins.") from error
    return found
