"""The live stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from api.accounts import User
from api.app import ROLE, create_app
from api.events import QUEUE, Watcher, visible
from api.server import listen, serve
from kit import database
from tests.api.conftest import Installation


def _events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


def test_a_watcher_hears_of_a_move_at_once_and_a_stranger_does_not(installation: Installation) -> None:
    scene = installation.scene
    office = installation.logged_in("manager")
    with (
        installation.logged_in("manager").stream("GET", "/api/events", timeout=20) as mine,
        installation.logged_in("client").stream("GET", "/api/events", timeout=20) as customers,
    ):
        heard, seen = _events(mine), _events(customers)
        assert next(heard)[0] == next(seen)[0] == "hello"
        office.post(f"/api/orders/{scene.new}/accept")  # another customer's
        office.post(f"/api/orders/{scene.at_work}/hold", json={"reason": "waiting_customer"})
        kind, event = next(heard)
        assert (kind, event["order_id"], event["state"], event["action"]) == (
            "order",
            scene.new,
            event["state"],
            "accept",
        )
        assert next(seen)[1]["order_id"] == scene.at_work


def _user(role: str, **ids: int) -> User:
    return User(
        1, "a", "A", role, "en", ids.get("technician"), ids.get("provider"), ids.get("customer"), False
    )


EVENT = {"technicians": [3], "providers": [8], "customer_id": 5, "id": 1, "order_id": 2, "number": "WO", "state": "new",
         "visit_id": None, "action": "accept"}  # fmt: skip


def test_an_event_exists_for_whom_its_order_exists() -> None:
    assert visible(_user("manager"), EVENT)
    assert visible(_user("engineer", technician=3), EVENT)
    assert not visible(_user("engineer", technician=4), EVENT)
    assert visible(_user("provider", provider=8), EVENT)
    assert not visible(_user("provider"), EVENT)
    assert not visible(_user("customer", customer=6), EVENT)


def test_who_is_too_slow_gets_one_resync_instead_of_everything() -> None:
    watcher = Watcher(_user("manager"))
    for _ in range(QUEUE + 1):
        watcher.offer(EVENT | {"at": datetime.now(UTC)})
    assert watcher.queue.qsize() == 1
    assert "resync" in str(watcher.queue.get_nowait())


def test_the_server_stops_within_two_seconds_although_streams_are_open(installation: Installation) -> None:
    stop, sock = threading.Event(), listen(installation.settings)
    token = installation.token("manager")
    with database.pool(installation.dsn, role=ROLE, application="api", size=3) as pool:
        app = create_app(pool, installation.settings)
        thread = threading.Thread(target=serve, args=(app, sock, stop))
        thread.start()
        base = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with httpx.stream(
            "GET", f"{base}/api/events", headers={"Authorization": f"Bearer {token}"}, timeout=20
        ) as answer:
            heard = _events(answer)
            assert next(heard)[0] == "hello"
            began = time.monotonic()
            stop.set()
            assert list(heard) == []
            thread.join(10)
        assert not thread.is_alive()
        assert time.monotonic() - began < 5  # two by contract; the margin is for a busy machine
