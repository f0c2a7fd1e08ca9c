"""People's requests become orders, each once."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from fsm_core.actors import Actor
from fsm_core.customers import store as customers
from fsm_core.intake.actions import Intake, Request, open_request
from kit.database import Conn, connect, scalar
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, T0, World, engineer


@pytest.fixture
def world(db: Conn) -> World:
    return factory.world(db)


def asked(world: World, **values: object) -> Request:
    return replace(
        Request("website", "Pump is loud\nsince noon", device_id=world.device, key="m-1"), **values
    )  # type: ignore[arg-type]


def test_a_request_becomes_an_order_with_its_first_line_as_title(db: Conn, world: World) -> None:
    order = open_request(db, asked(world), DESK, T0).order
    assert (order.state, order.source, order.title_en) == ("new", "website", "Pump is loud")
    assert (order.customer_id, order.site_id, order.fault_at, order.priority) == (
        world.customer, world.site, T0, 3,
    )  # fmt: skip


def test_a_known_failure_mode_brings_title_priority_and_solution(db: Conn, world: World) -> None:
    order = open_request(db, asked(world, failure_mode="bearing_wear"), DESK, T0).order
    assert (order.title_zh, order.priority, order.skill) == ("轴承磨损", 2, "rotating")
    with pytest.raises(Invalid, match="no failure mode"):
        open_request(db, asked(world, failure_mode="haunted", key="m-2"), DESK, T0)


def test_the_same_key_gives_the_same_order(db: Conn, world: World) -> None:
    first = open_request(db, asked(world), DESK, T0)
    second = open_request(db, asked(world), DESK, T0 + timedelta(hours=1))
    assert (first.created, second.created) == (True, False)
    assert first.order.id == second.order.id
    assert open_request(db, asked(world, channel="telephone"), DESK, T0).created
    with pytest.raises(Conflict, match="another request"):
        open_request(db, asked(world, text="Something else"), DESK, T0)


def test_eight_calls_at_once_with_one_key_open_one_order(db: Conn, dsn: str, world: World) -> None:
    results: list[Intake] = []
    start = threading.Barrier(8)

    def call() -> None:
        with connect(dsn) as conn:
            start.wait()
            results.append(open_request(conn, asked(world), DESK, T0))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len({result.order.id for result in results}) == 1
    assert sum(result.created for result in results) == 1
    assert scalar(db, "select count(*) from fsm.work_order") == 1


def test_a_likely_duplicate_is_proposed_and_not_merged(db: Conn, world: World) -> None:
    first = open_request(db, asked(world), DESK, T0).order
    same = open_request(db, asked(world, key="m-2", text="Leaking badly"), DESK, T0)
    assert same.created
    assert [(row["id"], row["because"]) for row in same.duplicates] == [(first.id, "same_device")]
    alike = open_request(
        db, asked(world, key="m-3", device_id=None, site_id=world.site, text="The pump is loud"), DESK, T0
    )
    assert [row["because"] for row in alike.duplicates] == ["similar_title"]
    other_site = factory.site(db, world.customer)
    assert (
        open_request(db, asked(world, key="m-4", device_id=None, site_id=other_site), DESK, T0).duplicates
        == []
    )
    assert open_request(db, asked(world, key="m-5"), DESK, T0 + timedelta(days=30)).duplicates == []


def test_customers_ask_for_their_own_devices_only(db: Conn, world: World) -> None:
    own = Actor.user(4, "customer", customer_id=world.customer)
    assert open_request(db, asked(world), own, T0).created
    stranger = Actor.user(5, "customer", customer_id=factory.customer(db))
    with pytest.raises(Forbidden):
        open_request(db, asked(world, key="m-2"), stranger, T0)
    with pytest.raises(Forbidden):
        open_request(db, asked(world, key="m-2"), engineer(world.technician), T0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"text": "  "}, "what is wrong"),
        ({"device_id": None}, "Name the device"),
        ({"device_id": 999}, "Name the device"),
        ({"channel": "pigeon"}, "not a channel"),
        ({"type": "party"}, "no order type"),
        ({"priority": 7}, "Priority 7"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    db: Conn, world: World, wrong: dict[str, object], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        open_request(db, asked(world, **wrong), DESK, T0)
    assert scalar(db, "select count(*) from fsm.work_order") == 0


def test_customers_sites_and_contracts_are_kept_and_checked(db: Conn) -> None:
    one = customers.add_customer(db, code="acme", name="Acme 公司", currency="CNY", tier="gold")
    site = customers.add_site(
        db, one, name="Plant", address="1 Road", latitude=31, longitude=121, timezone="Asia/Shanghai"
    )
    assert [row["id"] for row in customers.sites(db, one)] == [site]
    assert [row["sites"] for row in customers.listing(db, text="acme")] == [1]
    assert customers.contracts(db, one) == []
    with pytest.raises(Conflict, match="acme"):
        customers.add_customer(db, code="acme", name="Again", currency="CNY")
    with pytest.raises(Invalid, match="tier"):
        customers.add_customer(db, code="b", name="B", currency="CNY", tier="platinum")
    with pytest.raises(Invalid, match="no place"):
        customers.add_site(db, one, name="X", address="", latitude=91, longitude=0, timezone="UTC")
    with pytest.raises(NotFound):
        customers.customer(db, 999)
