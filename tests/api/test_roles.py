"""The whole (role × route) matrix."""

from __future__ import annotations

import httpx
import pytest

from api.permissions import MAY
from tests.api.conftest import Installation

LOGINS = {
    "admin": "admin", "manager": "manager", "dispatcher": "dispatcher", "engineer": "engineer1",
    "reliability": "reliability", "finance": "finance", "provider": "partner", "customer": "client",
}  # fmt: skip
OPEN = {"/livez", "/readyz", "/metrics", "/version", "/api/login"}
EVERYBODY = {"/api/me", "/api/me/language", "/api/logout"}

# Route → permission, and a body that is well-formed but changes nothing (there is no order or visit 999999).
ROUTES: dict[tuple[str, str], tuple[str, dict[str, object] | None]] = {
    ("get", "/api/orders"): ("orders.read", None),
    ("post", "/api/orders"): ("orders.open", {"title": "A noise", "device_uid": "no-such-device"}),
    ("get", "/api/orders/{order_id}"): ("orders.read", None),
    ("post", "/api/orders/{order_id}/{action}"): ("orders.act", {}),
    ("post", "/api/orders/{order_id}/codes"): ("orders.act", {"cause": "a", "remedy": "b"}),
    ("post", "/api/orders/{order_id}/report"): ("orders.act", {}),
    ("post", "/api/orders/{order_id}/signature"): (
        "orders.act",
        {"signed_by": "A", "signature": "M1 1 L2 2"},
    ),
    ("post", "/api/orders/{order_id}/checklist/{position}"): ("orders.act", {"done": True}),
    ("post", "/api/orders/{order_id}/return-old"): ("parts.use", {"part_id": 1, "quantity": 1}),
    ("get", "/api/orders/{order_id}/candidates"): ("dispatch", None),
    ("post", "/api/orders/{order_id}/assign"): ("dispatch", {"technician_id": 1}),
    ("get", "/api/visits"): ("visits.read", None),
    ("post", "/api/visits/{visit_id}/consume"): ("parts.use", {"part_id": 1, "quantity": 1}),
    ("post", "/api/visits/{visit_id}/{action}"): ("orders.act", {}),
    ("get", "/api/devices"): ("devices.read", None),
    ("post", "/api/devices"): ("devices.manage", {"uid": "x", "model": "no-such-model"}),
    ("get", "/api/devices/{uid}"): ("devices.read", None),
    ("get", "/api/devices/{uid}/telemetry"): ("devices.read", None),
    ("post", "/api/devices/{uid}/rotate"): ("devices.manage", {}),
    ("post", "/api/devices/{uid}/revoke"): ("devices.manage", {}),
    ("post", "/api/devices/{uid}/reinstate"): ("devices.manage", {}),
    ("post", "/api/devices/import"): ("devices.manage", {"csv": "uid,model\nx,no-such-model\n"}),
    ("get", "/api/reliability"): ("reliability", None),
    ("get", "/api/reliability/life"): ("reliability", None),
    ("get", "/api/reliability/growth"): ("reliability", None),
    ("get", "/api/reliability/pareto"): ("reliability", None),
    ("get", "/api/dead-letters"): ("ingest.read", None),
    ("post", "/api/dead-letters/replay"): ("ingest.manage", {"reason": "no_such_reason"}),
    ("post", "/api/dead-letters/purge"): ("ingest.manage", {"reason": "no_such_reason"}),
    ("get", "/api/quarantine"): ("ingest.read", None),
    ("get", "/api/unknown-devices"): ("ingest.read", None),
    ("get", "/api/events"): ("orders.read", None),
    ("get", "/api/rules"): ("analytics.read", None),
    ("put", "/api/rules"): ("analytics.tune", {"rules": {"shaft": {}}}),
    ("get", "/api/rules/history"): ("analytics.read", None),
    ("post", "/api/rules/revert"): ("analytics.tune", {"change": 999999}),
    ("get", "/api/costs"): ("analytics.read", None),
    ("put", "/api/costs/{model}"): ("analytics.tune", {"costs": None}),
    ("get", "/api/backtests"): ("analytics.read", None),
    ("post", "/api/backtests"): ("analytics.tune", {"from": "2026-03-02T00:00Z", "to": "2026-03-01T00:00Z"}),
    ("get", "/api/backtests/{backtest_id}"): ("analytics.read", None),
    ("post", "/api/backtests/{backtest_id}/cancel"): ("analytics.tune", {}),
    ("post", "/api/backtests/{backtest_id}/apply"): ("analytics.tune", {}),
    ("get", "/api/alarm-honesty"): ("analytics.read", None),
    ("get", "/api/models"): ("analytics.read", None),
    ("get", "/api/models/{version_id}"): ("analytics.read", None),
    ("get", "/api/orders/{order_id}/explanation"): ("analytics.read", None),
}
VALUES = {"order_id": 999999, "visit_id": 999999, "uid": "no-such-device", "position": 1, "model": "no-such-model",
          "backtest_id": 999999, "version_id": 999999}  # fmt: skip


def _call(client: httpx.Client, method: str, path: str, body: dict[str, object] | None) -> httpx.Response:
    action = "confirm" if path.startswith("/api/visits") else "accept"
    where = path.format(**VALUES, action=action) + ("?metric=vibration" if path.endswith("telemetry") else "")
    with client.stream(method.upper(), where, json=body) as answer:
        if "text/event-stream" not in answer.headers.get("content-type", ""):
            answer.read()
        return answer


def test_every_route_stands_in_the_matrix(installation: Installation) -> None:
    paths = installation.client().get("/api/openapi.json").json()["paths"]
    known = {(method, path) for path, methods in paths.items() for method in methods}
    assert known == set(ROUTES) | {(method, path) for method, path in known if path in OPEN | EVERYBODY}


@pytest.mark.parametrize("role", LOGINS)
def test_a_role_may_use_its_routes_and_no_other(installation: Installation, role: str) -> None:
    client = installation.logged_in(LOGINS[role])
    wrong = []
    for (method, path), (permission, body) in ROUTES.items():
        answer = _call(client, method, path, body)
        refused = answer.status_code == 403
        if refused == (role in MAY[permission]) or answer.status_code >= 500:
            wrong.append(
                f"{role} {method} {path}: {answer.status_code}, {permission} is for {sorted(MAY[permission])}"
            )
    assert not wrong


def test_nobody_gets_in_without_logging_in(installation: Installation) -> None:
    client = installation.client()
    answers = {(m, p): _call(client, m, p, body).status_code for (m, p), (_, body) in ROUTES.items()}
    assert set(answers.values()) == {401}, answers


def test_a_customer_sees_their_own_orders_and_devices_only(installation: Installation) -> None:
    client, scene = installation.logged_in("client"), installation.scene
    orders = client.get("/api/orders").json()["items"]
    assert {row["customer_id"] for row in orders} == {scene.customer}
    assert client.get(f"/api/orders/{scene.settled}").status_code == 404
    assert [row["uid"] for row in client.get("/api/devices").json()["items"]] == ["pump-001"]
    assert client.get("/api/devices/pump-002").status_code == 404
    assert client.get("/api/devices/pump-002/telemetry?metric=flow").status_code == 404


def test_an_engineer_sees_the_orders_of_their_own_visits(installation: Installation) -> None:
    scene = installation.scene
    client = installation.logged_in(f"engineer{scene.other_engineer}")
    assert scene.planned in {row["id"] for row in client.get("/api/orders").json()["items"]}
    assert client.get(f"/api/orders/{scene.at_work}").status_code == 404
    assert client.post(f"/api/visits/{scene.visit_at_work}/travel").status_code == 404
    visits = client.get("/api/visits?technician_id=me").json()["items"]
    assert [row["id"] for row in visits] == [scene.visit_planned]
    assert set(visits[0]["actions"]) == {"confirm", "decline"}


def test_another_providers_order_answers_404_and_an_own_one_does_not(installation: Installation) -> None:
    client, scene = installation.logged_in("partner"), installation.scene
    assert client.get("/api/orders").json()["items"] == []
    for path in (f"/api/orders/{scene.accepted}", f"/api/orders/{scene.accepted}/candidates"):
        assert client.get(path).status_code == 404
    office = installation.logged_in("dispatcher")
    new = office.post("/api/orders", json={"title": "Leak at the seal", "device_uid": "pump-002"}).json()[
        "order"
    ]["id"]
    office.post(f"/api/orders/{new}/accept")
    own = office.get(f"/api/orders/{new}/candidates").json()["items"]
    theirs = [one for one in own if one["feasible"] and one["technician_id"] in (13, 14)]
    assert (
        office.post(
            f"/api/orders/{new}/assign", json={"technician_id": theirs[0]["technician_id"]}
        ).status_code
        == 200
    )
    assert client.get(f"/api/orders/{new}").json()["order"]["id"] == new
    assert [row["order_id"] for row in client.get("/api/visits").json()["items"]] == [new]


def test_costs_are_for_the_office(installation: Installation) -> None:
    scene = installation.scene
    seen = installation.logged_in("manager").get(f"/api/orders/{scene.settled}").json()["settlement"]
    assert seen["cost"] is not None
    assert seen["journal"]
    by_account = sum(float(line["amount"]) for line in seen["journal"])
    assert by_account == pytest.approx(0)
    assert (
        installation.logged_in("dispatcher").get(f"/api/orders/{scene.settled}").json()["settlement"] is None
    )
