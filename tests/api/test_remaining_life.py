"""What the device's page and the API say of remaining life, and while there is no model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from analytics.prediction import life_store, schedule, store, waiting
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
        conn.execute("delete from analytics.remaining_life")
        conn.execute("delete from analytics.model_version where verdict = %s", (OURS,))
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


def say(conn: Conn, device: int, low: float, high: float) -> None:
    """A model says so many operating hours of the bearing, a thousand at the most; it runs 20 hours a day."""
    now = clock.now(conn)
    window = now - timedelta(days=90), now
    store.save(conn, "remaining_life", MODEL, "bearing", {}, window, {}, 1.0, OURS, promote=True)
    version = store.in_force(conn, "remaining_life", MODEL)["bearing"]
    life_store.save_life(conn, version, device, now, (low, (low + high) / 2, high), 1000.0, 20.0)


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


@pytest.mark.parametrize(
    ("low", "high", "state", "english", "chinese"),
    [
        (0.0, 1000.0, "wide", "Nothing can be said", "无法判断"),
        (0.4, 1000.0, "wide", "Nothing can be said", "无法判断"),
        (8.0, 1000.0, "known", "8 operating hours or more (90 %)", "运行 8 小时以上"),
        (400.0, 1000.0, "known", "20 days or more", "20 天以上"),
        (0.0, 60.0, "known", "0 to 60 operating hours (80 %)", "运行 0 至 60 小时"),
    ],
)
def test_an_interval_from_nothing_to_the_furthest_is_not_shown_as_a_figure(
    installation: Installation, conn: Conn, low: float, high: float, state: str, english: str, chinese: str
) -> None:
    say(conn, installation.scene.devices["pump-001"], low, high)
    found = told(installation)
    assert (found["state"], found["low"], found["high"]) == (state, low, high)
    for login, text in (("manager", english), ("jingli", chinese)):
        shown = page(installation, login)
        assert text in shown
        assert not re.search(r"\b0 (operating hours|days) or more|\b0 (小时|天)以上", shown)


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
