"""What the device's page and the API say of remaining life while there is no model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from analytics.prediction import schedule, store, waiting
from kit import clock
from kit.database import Conn, connect
from tests.api.conftest import Installation

MODEL = "pump-p100"
OURS = "of this test"


@pytest.fixture
def conn(installation: Installation) -> Iterator[Conn]:
    """As the owner; afterwards no failure and no learning is on record, as before."""
    with connect(installation.dsn, autocommit=True) as conn:
        yield conn
        conn.execute("delete from analytics.learning")
        conn.execute("delete from analytics.failure")
        conn.execute("delete from analytics.reset where starts_with(reason, %s)", (OURS,))
        waiting.release(conn, "test")


def fail(conn: Conn, device: int, times: int) -> None:
    """So many failures of the bearing, each repaired."""
    now = clock.now(conn)
    for n in range(times):
        at = now - timedelta(days=n + 1)
        conn.execute(
            "insert into analytics.failure values (%s, 'bearing', %s, %s, %s)", (device, at, at, f"F-{n}")
        )
        conn.execute(
            "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, %s)",
            (device, at + timedelta(hours=1), f"{OURS} {n}"),
        )


def told(installation: Installation) -> dict[str, Any]:
    (bearing,) = [
        row
        for row in installation.logged_in("reliability").get("/api/devices/pump-001").json()["remaining_life"]
        if row["component"] == "bearing"
    ]
    found: dict[str, Any] = bearing
    return found


def page(installation: Installation, login: str) -> str:
    whole = installation.browser(login).get("/devices/pump-001").text
    return whole.split('aria-labelledby="life"')[1].split("</section>")[0]


def test_too_few_failures_are_told_with_their_number(installation: Installation, conn: Conn) -> None:
    fail(conn, installation.scene.devices["pump-001"], 3)
    found = told(installation)
    assert (found["state"], found["failures"], found["enough"], found["learn_at"]) == ("too_few", 3, 16, None)
    assert "3 of the component that failed most" in page(installation, "manager")
    assert "故障最多的部件有 3 次" in page(installation, "jingli")


def test_enough_failures_that_nobody_has_learned_from_yet_are_not_called_too_few(
    installation: Installation, conn: Conn
) -> None:
    fail(conn, installation.scene.devices["pump-001"], schedule.ENOUGH)
    found = told(installation)
    assert found["state"] == "waiting"
    assert found["learn_at"] is not None
    english, chinese = page(installation, "manager"), page(installation, "jingli")
    assert "No model has been learned yet." in english
    assert "A learning run is due" in english
    assert "Too few" not in english
    assert "尚未学习过模型" in chinese
    assert "学习已到期" in chinese


def test_while_a_past_is_brought_in_learning_is_said_to_wait_for_it(
    installation: Installation, conn: Conn
) -> None:
    fail(conn, installation.scene.devices["pump-001"], schedule.ENOUGH)
    waiting.hold(conn, "test")
    assert told(installation)["state"] == "held"
    assert "still being brought in" in page(installation, "manager")
    assert "历史数据仍在导入" in page(installation, "jingli")


def test_what_came_of_the_last_try_stands_with_its_day_and_the_next_run(
    installation: Installation, conn: Conn
) -> None:
    fail(conn, installation.scene.devices["pump-001"], schedule.ENOUGH)
    reason = {"code": "no_lives"}
    for kind in schedule.KINDS:
        store.note_learning(conn, kind, MODEL, "bearing", False, "as written", reason)
    found = told(installation)
    assert (found["state"], found["reason"]) == ("not_learned", reason)
    english, chinese = page(installation, "manager"), page(installation, "jingli")
    assert re.search(r"Learned on \d+ \w+ 2026: There is no life", english)
    assert "The next learning run is due on" in english
    assert "下次学习定于" in chinese
