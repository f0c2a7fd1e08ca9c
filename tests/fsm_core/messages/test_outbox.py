"""News are written with what they tell of, told once, and delivered afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from fsm_core.messages import rules, store, worker
from fsm_core.work_orders import actions as orders
from kit import clock
from kit.database import Conn, rows, scalar
from kit.errors import Unavailable
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, T0, World


@pytest.fixture
def world(db: Conn) -> World:
    clock.set_rate(db, 0, sim=T0 + timedelta(days=1))
    return factory.world(db)


def told(conn: Conn) -> list[str]:
    return [row["template"] for row in rows(conn, "select template from fsm.message order by id")]


def test_the_customer_hears_of_each_step_once(db: Conn, world: World) -> None:
    order = factory.repaired(db, world)
    assert told(db) == ["accepted", "confirmed", "on_site", "work_done"]
    message = store.listing(db, order_id=order.id)[2]
    assert "2026-03-02 18:00" in message["body"]  # the site's local time
    assert message["channel"] == "email"


def test_the_message_is_in_the_customers_language(db: Conn, world: World) -> None:
    db.execute("update fsm.customer set language = 'zh'")
    order = factory.opened(db, world)
    orders.move_order(db, order.id, "cancel", DESK, T0, reason="误报")
    (message,) = store.listing(db)
    assert message["subject"] == f"{order.number} 已取消"
    assert "误报" in message["body"]


def test_a_rolled_back_move_tells_nothing(db: Conn, world: World) -> None:
    order = factory.opened(db, world)
    with db.transaction() as undo:
        orders.move_order(db, order.id, "accept", DESK, T0)
        raise psycopg.Rollback(undo)
    assert told(db) == []


def test_a_customer_without_an_address_is_not_told(db: Conn, world: World) -> None:
    db.execute("update fsm.customer set email = null, phone = null")
    factory.accepted(db, world)
    assert told(db) == []


def test_delivery_marks_what_was_sent_and_sends_it_once(db: Conn, world: World) -> None:
    factory.accepted(db, world)
    sent: list[dict[str, Any]] = []
    channels = {"email": sent.append}
    worker.deliver(db, channels)
    worker.deliver(db, channels)
    assert len(sent) == 1
    assert scalar(db, "select state from fsm.message") == "sent"


def test_a_gateway_that_is_away_is_tried_again_later_and_given_up_in_the_end(db: Conn, world: World) -> None:
    factory.accepted(db, world)
    now = T0 + timedelta(days=1)

    def away(message: dict[str, Any]) -> None:
        raise Unavailable("no route to the gateway")

    tries = 0
    while scalar(db, "select state from fsm.message") == "queued":
        worker.deliver(db, {"email": away})
        tries += 1
        assert scalar(db, "select attempts from fsm.message") == tries
        assert not worker.deliver(db, {"email": away})
        assert scalar(db, "select attempts from fsm.message") == tries  # not before its time
        now += timedelta(days=1)
        clock.set_rate(db, 0, sim=now)
    assert tries == rules.MAX_ATTEMPTS
    assert scalar(db, "select error from fsm.message") == "no route to the gateway"


def test_the_stock_channels_deliver_everything(db: Conn, world: World) -> None:
    factory.repaired(db, world)
    worker.deliver(db)
    assert scalar(db, "select count(*) from fsm.message where state <> 'sent'") == 0


def test_every_template_speaks_both_languages() -> None:
    assert all(set(texts) == set(rules.LANGUAGES) for texts in rules.TEMPLATES.values())
