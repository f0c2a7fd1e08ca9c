"""Rules, costs, backtests, honesty, models and explanations through the API."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from analytics import worker
from analytics.whatif import worker as jobs
from api.text import words
from fsm_core.plans import worker as plans
from kit import follow
from kit.database import connect
from kit.settings import Settings
from tests.api.conftest import Installation

PERIOD = {"from": "2026-02-28T00:00:00Z", "to": "2026-03-06T00:00:00Z"}


@pytest.fixture
def client(installation: Installation) -> Iterator[httpx.Client]:
    """The reliability engineer; the rules are the defaults again afterwards."""
    found = installation.logged_in("reliability")
    yield found
    found.post("/api/rules/revert", json={"change": 0})


def rule(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in told["rules"] if one["rule"] == name)


def test_the_rules_say_what_may_be_set_and_who_changed_what(client: httpx.Client) -> None:
    before = client.get("/api/rules").json()
    limit = next(s for s in rule(before, "shift")["settings"] if s["name"] == "limit")
    assert (limit["value"], limit["default"], limit["low"], limit["high"]) == (5.5, 5.5, 1.0, 100.0)
    assert limit["text_en"]
    assert limit["text_zh"]
    assert rule(before, "joint")["off"] is True
    assert rule(before, "baseline")["off"] is None
    changed = client.put(
        "/api/rules",
        json={"rules": "[shift]\nlimit = 6.5\n", "note": "too many visits", "based_on": before["version"]},
    ).json()
    assert changed["differing"] == {"shift": {"limit": 6.5}}
    assert changed["toml"] == "[shift]\nlimit = 6.5\n"
    (newest, *_) = client.get("/api/rules/history").json()["items"]
    assert newest["note"] == "too many visits"
    assert newest["changed_by"] == client.get("/api/me").json()["user"]["name"]
    stale = client.put("/api/rules", json={"rules": {}, "based_on": before["version"]})
    assert (stale.status_code, stale.json()["error"]) == (409, "stale_version")
    client.put("/api/rules", json={"rules": {"spike": {"off": True}}})
    reverted = client.post("/api/rules/revert", json={"change": newest["id"]}).json()
    assert reverted["differing"] == {"shift": {"limit": 6.5}}
    assert reverted["changes"][0]["note"] == f"as in change {newest['id']}"
    assert client.post("/api/rules/revert", json={"change": 999}).status_code == 404


@pytest.mark.parametrize(
    ("rules", "says", "key"),
    [
        ({"shift": {"limit": 500}}, "shift.limit must be a number from 1 to 100, not 500.", "shift.limit"),
        ({"shift": {"limt": 5}}, "shift has no setting 'limt'", "shift.limt"),
        ({"shaft": {}}, "There is no rule 'shaft'", "shaft"),
        ("[shift\nlimit = 6", "The rules are no TOML", "rules"),
        (
            {"spike": {"least": 6}},
            "spike.least must be a whole number from 1 to spike.window (5)",
            "spike.least",
        ),
    ],
)
def test_wrong_rules_are_refused_by_key_and_range(
    client: httpx.Client, rules: Any, says: str, key: str
) -> None:
    for answer in (
        client.put("/api/rules", json={"rules": rules}),
        client.post("/api/backtests", json=PERIOD | {"rules": rules}),
    ):
        assert answer.status_code == 422
        assert says in answer.json()["message"]
        assert answer.json()["details"]["key"] == key


def test_costs_are_set_for_a_device_type_with_who_and_when(client: httpx.Client) -> None:
    dear = {"failure": 20_000, "visit": 900, "needless": 700}
    answer = client.put("/api/costs/pump-p100", json={"costs": dear, "note": "contract of March"})
    told = next(one for one in answer.json()["items"] if one["model"] == "pump-p100")
    assert {name: told[name] for name in dear} == dear
    assert told["level"] == pytest.approx(700 / (700 + 20_000 - 900))
    assert (told["note"], told["changed_by"]) == (
        "contract of March",
        client.get("/api/me").json()["user"]["name"],
    )
    wrong = client.put("/api/costs/pump-p100", json={"costs": dear | {"visit": 30_000}})
    assert wrong.status_code == 422
    assert "less than a failure" in wrong.json()["message"]
    assert client.put("/api/costs/pimp", json={"costs": dear}).status_code == 404
    back = client.put("/api/costs/pump-p100", json={"costs": None}).json()["items"]
    assert next(one for one in back if one["model"] == "pump-p100")["failure"] == 5.0


def test_a_backtest_is_asked_for_run_read_and_its_rules_applied(
    installation: Installation, client: httpx.Client
) -> None:
    asked = client.post(
        "/api/backtests",
        json=PERIOD | {"rules": {"shift": {"off": True}}, "title": "without shift",
                       "train_from": "2026-01-01T00:00:00Z",
                       "costs": {"pump-p100": {"failure": 50, "visit": 5, "needless": 9}}},
        headers={"Idempotency-Key": "once"},
    )  # fmt: skip
    assert asked.status_code == 201, asked.text
    number = asked.json()["id"]
    assert (asked.json()["state"], asked.json()["result"]) == ("queued", None)
    early = client.post(f"/api/backtests/{number}/apply")
    assert early.status_code == 409
    assert "only rules of a finished one" in early.json()["message"]
    with connect(installation.dsn, role="meantime_analytics", autocommit=True) as conn:
        assert jobs.work(conn) == 1
    told = client.get(f"/api/backtests/{number}").json()
    assert (told["state"], told["error"], told["progress"]) == ("done", None, 1.0)
    assert set(told["counts"]) == {"appear", "vanish", "stay"}
    assert told["result"]["models"][0]["costs"] == {"failure": 50.0, "visit": 5.0, "needless": 9.0}
    assert told["train_from"] == "2026-01-01T00:00:00Z"
    assert told["result"]["learned"], "what came of learning each component is told"
    assert not any(one["used"] for one in told["result"]["learned"])
    shown = client.get(f"/analytics/backtests/{number}")
    assert shown.status_code == 200
    codes = {one["reason"]["code"] for one in told["result"]["learned"]}
    assert codes <= {"no_failure", "no_telemetry", "too_few_failures"}
    assert words("en")("verdict.no_telemetry") in unescape(shown.text) or "no_telemetry" not in codes
    assert words("en")("verdict.no_failure") in unescape(shown.text) or "no_failure" not in codes
    for order in told["result"]["orders"]:
        assert order["device_uid"].startswith("pump-")
        assert order["live"] or order["changed"]
    version = client.get("/api/rules").json()["version"]
    applied = client.post(f"/api/backtests/{number}/apply", json={"based_on": version}).json()
    assert applied["differing"] == {"shift": {"off": True}}
    assert applied["changes"][0]["note"] == f"backtest {number}: without shift"
    assert client.post(f"/api/backtests/{number}/cancel").status_code == 409
    assert client.get("/api/backtests?limit=1").json()["items"][0]["id"] == number


def test_a_waiting_backtest_can_be_cancelled_and_an_unknown_one_is_404(client: httpx.Client) -> None:
    number = client.post("/api/backtests", json=PERIOD).json()["id"]
    assert client.post(f"/api/backtests/{number}/cancel").json()["state"] == "cancelled"
    assert client.get("/api/backtests/999999").status_code == 404
    backwards = client.post("/api/backtests", json={"from": PERIOD["to"], "to": PERIOD["from"]})
    assert backwards.status_code == 422
    assert "begin before it ends" in backwards.json()["message"]
    peeking = client.post("/api/backtests", json=PERIOD | {"train_from": PERIOD["to"]})
    assert peeking.status_code == 422
    assert "must lie before the period" in peeking.json()["message"]


def test_alarm_honesty_tells_scores_load_and_every_day(client: httpx.Client) -> None:
    told = client.get("/api/alarm-honesty").json()
    assert told["devices"] == 4
    (score,) = [one for one in told["scores"] if one["rule"] == "shift"]
    assert (score["model"], score["undecided"], score["precision"]) == ("pump-p100", 1, None)
    assert told["load"]["raises"] == sum(day["raises"] for day in told["daily"]) >= 1
    assert told["load"]["bad_actors"][0]["device_uid"] == "pump-001"
    assert client.get("/api/alarm-honesty?model=compressor-x").json()["scores"] == []
    assert (
        client.get("/api/alarm-honesty", params={"from": PERIOD["to"], "to": PERIOD["from"]}).status_code
        == 422
    )


def test_models_tell_their_versions_and_why_each_was_promoted_or_refused(
    installation: Installation, client: httpx.Client
) -> None:
    with connect(installation.dsn, autocommit=True) as conn:
        for verdict, promoted in (
            ("Not promoted: no better", None),
            ("Promoted: cost 12", "2026-03-05T00:00Z"),
        ):
            conn.execute(
                """insert into analytics.model_version (kind, model, component, format, bytes, data_from, data_to,
                       scores, cost, verdict, promoted_at)
                   values ('failure', 'pump-p100', 'bearing', 1, '', '2025-12-01', '2026-02-01',
                           '{"failures": 9, "cost_without": 45}', 12, %s, %s)""",
                (verdict, promoted),
            )
    found = client.get("/api/models").json()["items"]
    assert [(one["status"], one["verdict"]) for one in found] == [
        ("in_force", "Promoted: cost 12"), ("refused", "Not promoted: no better"),
    ]  # fmt: skip
    assert found[0]["drift"] == {"state": "too_few", "judged": 0, "error": None}
    assert found[1]["drift"] is None
    assert client.get(f"/api/models/{found[0]['id']}").json() == found[0]
    assert client.get("/api/models/999999").status_code == 404


def test_an_order_is_explained_true_only_where_the_stored_rows_say_so(
    installation: Installation, client: httpx.Client
) -> None:
    order = installation.scene.at_work
    told = client.get(f"/api/orders/{order}/explanation").json()
    assert told["ok"] is False, "the scene's finding was made up, the rows do not lead to it"
    assert "do not lead to" in told["detections"][0]["text_en"]
    assert told["detections"][0]["detection"]["evidence"]["drivers"][0]["metric"] == "vibration"
    with connect(installation.dsn, autocommit=True) as conn:
        follow.catch_up(conn, worker.followers(Settings()))
        follow.catch_up(conn, plans.followers(Settings()))
    real = [
        one
        for one in client.get(f"/api/orders/{order}/explanation").json()["detections"]
        if one["detection_id"] > 1
    ]
    assert real, "the product's own detectors have found it, too"
    for one in real:
        assert one["ok"] is True, one["text_en"]
        assert one["recomputed"]["evidence"] == one["detection"]["evidence"]
    assert client.get(f"/api/orders/{installation.scene.new}/explanation").json() == {
        "order_id": installation.scene.new, "ok": False, "detections": [],
    }  # fmt: skip
    assert client.get("/api/orders/999999/explanation").status_code == 404
