"""Orders and visits over HTTP, from the request to the settled order."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx

from kit.database import connect, scalar
from tests.api.conftest import Installation
from tests.api.scene import SIGNATURE


def _open(client: httpx.Client, title: str = "Noise at the pump", **more: object) -> int:
    answer = client.post("/api/orders", json={"title": title, "device_uid": "pump-002"} | more)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["order"]["id"])


def _ok(answer: httpx.Response) -> dict[str, dict[str, object]]:
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, object]] = answer.json()
    return found


def test_an_order_goes_from_the_request_to_closed_by_the_people_whose_turn_it_is(
    installation: Installation,
) -> None:
    office = installation.logged_in("dispatcher")
    order = _open(office, failure_mode="bearing_wear", priority=2)
    path = f"/api/orders/{order}"
    _ok(office.post(f"{path}/accept"))
    who = next(one for one in _ok(office.get(f"{path}/candidates"))["items"] if one["feasible"])
    detail = _ok(office.post(f"{path}/assign", json={"technician_id": who["technician_id"]}))
    visit = f"/api/visits/{detail['visits'][0]['id']}"
    engineer = installation.logged_in(f"engineer{who['technician_id']}")
    site = detail["site"]
    here = {"latitude": site["latitude"], "longitude": site["longitude"]}
    for action, body in (("confirm", {}), ("travel", {}), ("check_in", here), ("start", {})):
        detail = _ok(engineer.post(f"{visit}/{action}", json=body))
    assert detail["visits"][0]["site_distance_m"] == 0
    assert engineer.post(f"{visit}/finish").status_code == 409
    for part in detail["parts"]:
        _ok(
            engineer.post(f"{visit}/consume", json={"part_id": part["part_id"], "quantity": part["expected"]})
        )
        _ok(
            engineer.post(
                f"{path}/return-old", json={"part_id": part["part_id"], "quantity": part["expected"]}
            )
        )
    for item in detail["checklist"]:
        _ok(engineer.post(f"{path}/checklist/{item['position']}", json={"done": True}))
    cause, remedy = _codes(installation)
    _ok(engineer.post(f"{path}/codes", json={"cause": cause, "remedy": remedy, "note": "worn out"}))
    _ok(engineer.post(f"{path}/report"))
    _ok(engineer.post(f"{path}/signature", json={"signed_by": "Mr Li", "signature": SIGNATURE}))
    assert _ok(engineer.post(f"{visit}/finish"))["order"]["state"] == "work_done"
    assert engineer.post(f"{path}/review").status_code == 403
    _ok(installation.logged_in("manager").post(f"{path}/review"))
    finance = installation.logged_in("finance")
    detail = _ok(finance.post(f"{path}/settle"))
    assert detail["settlement"]["currency"] == "CNY"
    assert _ok(finance.post(f"{path}/close"))["order"]["state"] == "closed"
    assert detail["events"][0]["to_state"] == "new"


def _codes(installation: Installation) -> tuple[str, str]:
    with connect(installation.dsn) as conn:
        return tuple(  # type: ignore[return-value]
            scalar(conn, "select code from fsm.repair_code where kind = %s and not misuse limit 1", (kind,))
            for kind in ("cause", "remedy")
        )


def test_an_old_page_cannot_move_an_order(installation: Installation) -> None:
    office = installation.logged_in("manager")
    order = _open(office)
    version = office.get(f"/api/orders/{order}").json()["order"]["version"]
    _ok(office.post(f"/api/orders/{order}/accept", json={"version": version}))
    stale = office.post(f"/api/orders/{order}/cancel", json={"version": version, "reason": "a mistake"})
    assert (stale.status_code, stale.json()["error"]) == (409, "stale_version")
    assert office.get(f"/api/orders/{order}").json()["order"]["state"] == "accepted"


def test_an_illegal_move_is_409_and_changes_nothing(installation: Installation) -> None:
    office = installation.logged_in("manager")
    order = _open(office)
    refused = office.post(f"/api/orders/{order}/review")
    assert refused.status_code == 409
    assert "accept" in refused.json()["message"]
    assert office.post(f"/api/orders/{order}/dance").status_code == 422
    assert office.get(f"/api/orders/{order}").json()["order"]["version"] == 1


def test_bad_input_says_what_and_where(installation: Installation) -> None:
    office = installation.logged_in("manager")
    for body, where in (
        ({"title": "x"}, "body.title"),
        ({"title": "A noise", "priority": 9}, "body.priority"),
        ({"title": "A noise", "colour": "red"}, "body.colour"),
    ):
        answer = office.post("/api/orders", json=body)
        assert answer.status_code == 422
        assert answer.json()["details"]["problems"][0]["where"] == where
    assert office.post("/api/orders", json={"title": "Where is it"}).status_code == 422
    assert office.post("/api/orders", json={"title": "A noise", "device_uid": "ghost"}).status_code == 404
    half = office.post(f"/api/visits/{installation.scene.visit_planned}/check_in", json={"latitude": 3})
    assert half.status_code == 422


def test_a_repeated_request_with_its_key_has_one_effect_and_one_answer(installation: Installation) -> None:
    office = installation.logged_in("dispatcher")
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"title": "Asked twice", "device_uid": "pump-003"}
    first = office.post("/api/orders", json=body, headers=key)
    again = office.post("/api/orders", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = office.post("/api/orders", json=body | {"title": "Something else"}, headers=key)
    assert other.status_code == 409


def test_requests_at_the_same_moment_with_one_key_have_one_effect(installation: Installation) -> None:
    token, key = installation.token("dispatcher"), str(uuid.uuid4())

    def post(_: int) -> int:
        client = installation.client(token)
        body = {"title": "Pressed six times", "device_uid": "pump-003"}
        answer = client.post("/api/orders", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["order"]["id"])

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(post, range(6)))) == 1


def test_a_refused_request_leaves_its_key_free(installation: Installation) -> None:
    office = installation.logged_in("manager")
    order, key = _open(office), {"Idempotency-Key": str(uuid.uuid4())}
    assert office.post(f"/api/orders/{order}/cancel", headers=key).status_code == 422  # no reason
    given = {"reason": "not needed"}
    assert office.post(f"/api/orders/{order}/cancel", json=given, headers=key).status_code == 200


def test_pages_follow_each_other_without_gap_or_repeat(installation: Installation) -> None:
    office = installation.logged_in("manager")
    for number in range(5):
        _open(office, f"Paged request {number}")
    whole = [row["id"] for row in office.get("/api/orders?limit=200").json()["items"]]
    paged, after = [], None
    while True:
        page = office.get("/api/orders", params={"limit": 2} | ({"after": after} if after else {})).json()
        paged += [row["id"] for row in page["items"]]
        if (after := page["next"]) is None:
            break
    assert paged == whole
    assert whole == sorted(whole, reverse=True)


def test_search_finds_by_title_customer_and_device_in_both_languages(installation: Installation) -> None:
    office, scene = installation.logged_in("manager"), installation.scene
    for text, expected in (
        ("华东制药", scene.at_work),
        ("密封泄漏", scene.settled),
        ("pump-003", scene.planned),
    ):
        assert expected in {
            row["id"] for row in office.get("/api/orders", params={"q": text}).json()["items"]
        }
    assert office.get("/api/orders", params={"q": "100%_\\"}).json()["items"] == []
    states = {row["state"] for row in office.get("/api/orders?state=settled,new").json()["items"]}
    assert states == {"settled", "new"}
    both = office.get("/api/orders", params={"state": ["settled", "new"]}).json()["items"]
    assert {row["state"] for row in both} == {"settled", "new"}


def test_a_likely_duplicate_is_proposed_not_merged(installation: Installation) -> None:
    office = installation.logged_in("dispatcher")
    first = _open(office, "Pump shakes badly", device_uid="pump-004")
    second = office.post("/api/orders", json={"title": "Pump shakes badly", "device_uid": "pump-004"}).json()
    assert first in {row["id"] for row in second["duplicates"]}
    assert second["order"]["id"] != first


def test_the_evidence_of_an_automatic_order_is_answered(installation: Installation) -> None:
    detail = installation.logged_in("manager").get(f"/api/orders/{installation.scene.at_work}").json()
    signal = detail["evidence"][0]
    assert signal["drivers"][0]["metric"] == "vibration"
    assert signal["telemetry_hash"] == "ab12" * 16
    assert {line["line"] for line in detail["entitlement"]} == {"labour", "travel", "parts"}


def test_a_failing_commit_answers_500_and_not_200(installation: Installation) -> None:
    office = installation.logged_in("manager")
    order = _open(office)
    with connect(installation.dsn, autocommit=True) as conn:
        conn.execute(
            """create function public.refuse() returns trigger language plpgsql as
               $$ begin raise exception 'no' using errcode = 'XX000'; end $$"""
        )
        conn.execute(
            """create constraint trigger refuse after update on fsm.work_order deferrable initially deferred
               for each row execute function public.refuse()"""
        )
        try:
            answer = office.post(f"/api/orders/{order}/accept")
        finally:
            conn.execute("drop trigger refuse on fsm.work_order")
        assert answer.status_code == 500
        assert scalar(conn, "select state from fsm.work_order where id = %s", (order,)) == "new"


def test_visits_are_listed_by_engineer_and_period(installation: Installation) -> None:
    office, scene = installation.logged_in("manager"), installation.scene
    mine = office.get("/api/visits", params={"technician_id": scene.engineer}).json()["items"]
    assert scene.visit_at_work in {row["id"] for row in mine}
    early = office.get("/api/visits", params={"to": "2026-03-05T00:00:00Z"}).json()["items"]
    assert {row["state"] for row in early} == {"done"}
    assert office.get("/api/visits?technician_id=me").status_code == 422
