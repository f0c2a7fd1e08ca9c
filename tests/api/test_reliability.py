"""Reliability through the API and the pages: who sees what, every grouping, every empty case."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import pytest

from analytics.reliability.reasons import REASONS
from api.queries.reliability import KINDS
from kit.database import connect
from tests.api.conftest import Installation
from tests.api.scene import NOW
from tests.reliability import history

BEARING = "pump-p100/bearing"
Get = Callable[..., Any]
Login = Callable[[str], httpx.Client]


@pytest.fixture(scope="module")
def failures(installation: Installation) -> dict[str, list[int]]:
    """Three bearings of the first pump and one seal of the second failed within the week; order ids by device."""
    with connect(installation.dsn, autocommit=True) as conn:
        first, second = (installation.scene.devices[uid] for uid in ("pump-001", "pump-002"))
        # before the order that stands open for the first pump, whose parts are no matter here
        made = [
            history.order(conn, first, NOW - timedelta(hours=hours), type=kind, worked=2)
            for hours, kind in ((150, "repair"), (90, "condition"), (60, "repair"))
        ]
        seal = history.order(
            conn, second, NOW - timedelta(hours=100), mode="seal_leak", component="mechanical_seal"
        )
        return {"pump-001": made, "pump-002": [seal]}


@pytest.fixture(scope="module")
def as_(installation: Installation) -> Callable[[str], httpx.Client]:
    """A program's connection as an account; logging in is slow on purpose, so each does once."""
    return cache(installation.logged_in)


@pytest.fixture(scope="module")
def browser(installation: Installation) -> Callable[[str], httpx.Client]:
    """A browser's, likewise."""
    return cache(installation.browser)


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} in an answer")


def strict(answer: httpx.Response) -> Any:
    """The answer's JSON, which holds no NaN and no infinity."""
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_constant=refuse)


@pytest.fixture
def get(failures: dict[str, list[int]], as_: Login) -> Get:
    client = as_("reliability")

    def ask(path: str = "", **params: Any) -> Any:
        return strict(client.get(f"/api/reliability{path}", params=params))

    return ask


@pytest.mark.parametrize("by", KINDS)
def test_every_grouping_answers_with_population_and_interval(get: Get, by: str) -> None:
    found = get(by=by)
    assert (found["by"], found["devices"], found["count"]) == (by, 4, "all")
    assert found["failures"] == 4, "the needless visit of the scene is none"
    for row in found["items"]:
        of = row["figures"]
        if of["mtbf"] is not None:
            assert of["mtbf"]["lower"] > 0
            assert (of["mtbf"]["upper"] is None) == (of["failures"] == 0)
        assert row["name_en"]
        assert row["name_zh"]


def test_a_component_has_figures_shape_and_the_orders_behind_them(
    get: Get, failures: dict[str, list[int]]
) -> None:
    (row,) = [row for row in get()["items"] if row["figures"]["key"] == BEARING]
    of = row["figures"]
    assert (of["failures"], of["breakdowns"], of["devices"]) == (3, 2, 4)
    assert sorted(of["order_ids"]) == failures["pump-001"]
    assert of["mtbf"]["value"] == pytest.approx(of["hours"] / 3)
    assert of["mttr"]["mean"] == pytest.approx(2)
    assert 0 < of["operational"] < 1
    assert 0 < of["inherent"] < 1
    assert row["weibull"]["shape_bounds"][0] < row["weibull"]["shape"] < row["weibull"]["shape_bounds"][1]


def test_breakdowns_only_and_a_wider_confidence_change_what_they_should(get: Get) -> None:
    (both,) = [row["figures"] for row in get(by="model")["items"]]
    (only,) = [row["figures"] for row in get(by="model", count="breakdowns")["items"]]
    (wide,) = [row["figures"] for row in get(by="model", confidence=0.99)["items"]]
    assert only["failures"] < both["failures"]
    assert wide["mtbf"]["lower"] < both["mtbf"]["lower"]
    assert wide["mtbf"]["value"] == both["mtbf"]["value"]


def test_a_period_holds_its_own_failures_and_hours(get: Get) -> None:
    since = (NOW - timedelta(hours=95)).isoformat()
    (row,) = [row["figures"] for row in get(by="model", **{"from": since})["items"]]
    (whole,) = [row["figures"] for row in get(by="model")["items"]]
    assert row["hours"] < whole["hours"]
    assert row["failures"] == whole["failures"] - 2


def test_a_groups_life_is_told_in_full(get: Get) -> None:
    found = get("/life", key=BEARING, planned_cost=100, failure_cost=100_000)
    assert found["lives"]["failed"] == 3
    assert found["lives"]["running"] == 4
    assert found["lives"]["late"] > 0, "the counters had run before anybody watched"
    assert found["weibull"]["b10"] > 0
    assert [point["at_risk"] for point in found["survival"]]
    assert found["replacement"]["run_to_failure_rate"] > 0
    assert {row["uid"] for row in found["failures"]} == {"pump-001"}
    assert [row["at"] for row in found["failures"]] == sorted(
        (row["at"] for row in found["failures"]), reverse=True
    )


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"key": "pump-p100/motor"}, "all_censored"),
        (
            {"key": "pump-p100/mechanical_seal", "device": "pump-002", "from": "2026-03-01T00:00:00"},
            "one_failure",
        ),
        ({"key": BEARING, "model": "no-such-model", "device": "nobody"}, "empty"),
        ({"key": BEARING, "from": "2031-01-01T00:00:00"}, "empty"),
        ({"key": "pump-p100", "by": "model"}, "repairable"),
    ],
)
def test_what_cannot_be_told_has_a_reason_in_both_languages(
    get: Get, params: dict[str, str], reason: str
) -> None:
    found = get("/life", **params)
    assert found["weibull"] is None
    assert found["reason"]["code"] == reason
    assert found["reason"]["text_zh"] == REASONS[reason].text_zh


def test_growth_and_recurrence_of_a_group_and_of_all(get: Get) -> None:
    found = get("/growth", key=BEARING)
    assert len(found["times"]) == 3
    assert found["times"] == sorted(found["times"])
    assert found["crow"]["beta_bounds"][0] < found["crow"]["beta"] < found["crow"]["beta_bounds"][1]
    assert 0 <= found["trend"]["laplace_p"] <= 1
    assert found["mean"][-1]["error"] > 0
    assert len(get("/growth")["times"]) == 4
    healthy = get("/growth", key="pump-p100/motor")
    assert (healthy["crow"], healthy["mean"], healthy["reason"]["code"]) == (None, [], "few_events")


def test_one_machine_gives_no_interval_of_its_mean_and_the_page_says_so(get: Get, browser: Login) -> None:
    found = get("/growth", by="device", key="pump-001")
    assert {(point["error"], point["lower"], point["upper"]) for point in found["mean"]} == {
        (None, None, None)
    }
    assert found["note"] == vars(REASONS["one_device"])
    assert get("/growth", key=BEARING)["note"] is None
    for login, says in (("reliability", found["note"]["text_en"]), ("jingli", found["note"]["text_zh"])):
        alone, all_of = (
            recurrence_of(browser(login).get(f"/reliability/group?{query}").text)
            for query in ("by=device&key=pump-001", f"key={BEARING}")
        )
        assert says in alone
        assert 'class="band"' not in alone
        assert says not in all_of
        assert 'class="band"' in all_of


def recurrence_of(page: str) -> str:
    return page.split('aria-labelledby="mcf"')[1].split("</section>")[0]


@pytest.mark.parametrize(
    "of", ["failure_mode", "component", "cause", "fault_code", "model", "site", "customer", "device"]
)
def test_a_ranking_runs_to_one(get: Get, of: str) -> None:
    items = get("/pareto", of=of)["items"]
    assert items[-1]["running"] == pytest.approx(1)
    assert [row["weight"] for row in items] == sorted((row["weight"] for row in items), reverse=True)


def test_a_ranking_weighs_by_hours_when_asked(get: Get) -> None:
    found = get("/pareto", of="component", weight="repair_hours")["items"]
    assert found[0]["key"] == BEARING
    assert found[0]["weight"] == pytest.approx(6)


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("", {"by": "colour"}, 422), ("", {"confidence": 95}, 422), ("", {"from": "yesterday"}, 422),
        ("", {"from": "2026-03-02T00:00:00", "to": "2026-03-01T00:00:00"}, 422),
        ("/life", {}, 422), ("/life", {"key": "pump-p100/wing"}, 404), ("/life", {"key": "x", "by": "model"}, 404),
        ("/life", {"key": "abc", "by": "site"}, 404), ("/life", {"key": "9" * 30, "by": "customer"}, 404),
        ("/life", {"key": BEARING, "planned_cost": 5}, 422),
        ("/life", {"key": BEARING, "planned_cost": -5, "failure_cost": 9}, 422),
        ("/growth", {"by": "period", "key": "2026-03"}, 422), ("/pareto", {"of": "colour"}, 422),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_words(
    path: str, params: dict[str, Any], status: int, as_: Login
) -> None:
    answer = as_("reliability").get(f"/api/reliability{path}", params=params)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


def test_a_customer_sees_the_reliability_of_their_own_devices_only(
    failures: dict[str, list[int]], as_: Login
) -> None:
    client = as_("client")
    found = strict(client.get("/api/reliability?by=device"))
    assert [row["figures"]["key"] for row in found["items"]] == ["pump-001"]
    assert found["failures"] == 3
    sites = strict(client.get("/api/reliability?by=site"))["items"]
    assert len(sites) == 1
    theirs = strict(as_("reliability").get("/api/reliability?by=site"))["items"]
    foreign = {row["figures"]["key"] for row in theirs} - {sites[0]["figures"]["key"]}
    for path in (
        f"/api/reliability/life?by=site&key={foreign.pop()}",
        "/api/reliability/life?by=device&key=pump-002",
    ):
        assert client.get(path).status_code == 404
    seal = strict(client.get("/api/reliability/life?key=pump-p100/mechanical_seal"))
    assert (seal["failures"], seal["lives"]["failed"]) == ([], 0)
    assert strict(client.get("/api/reliability/pareto?of=device"))["items"][0]["key"] == "pump-001"


def test_a_provider_without_orders_has_an_empty_population_and_a_clear_answer(
    as_: Login, browser: Login
) -> None:
    client = as_("partner")
    assert strict(client.get("/api/reliability?by=model"))["items"] == []
    assert strict(client.get(f"/api/reliability/life?key={BEARING}"))["reason"]["code"] == "empty"
    assert strict(client.get("/api/reliability/growth"))["reason"]["code"] == "empty"
    assert browser("partner").get("/reliability").status_code == 200


def test_another_providers_repairs_count_but_lend_no_times_and_no_orders(
    installation: Installation, failures: dict[str, list[int]], as_: Login
) -> None:
    with connect(installation.dsn, autocommit=True) as conn:
        conn.execute(
            "update fsm.work_order set provider_id = (select min(id) from fsm.provider) where id = %s",
            (failures["pump-001"][0],),
        )
    try:
        found = strict(as_("partner").get("/api/reliability?by=device"))
        (row,) = [row["figures"] for row in found["items"]]
        assert (row["key"], row["failures"], row["order_ids"]) == ("pump-001", 3, failures["pump-001"][:1])
        assert (row["mttr"]["repairs"], row["operational"]) == (1, None)
        life = strict(as_("partner").get(f"/api/reliability/life?key={BEARING}"))
        assert [one["order_id"] for one in life["failures"]] == failures["pump-001"][:1]
    finally:
        with connect(installation.dsn, autocommit=True) as conn:
            conn.execute(
                "update fsm.work_order set provider_id = null where id = %s", (failures["pump-001"][0],)
            )


@pytest.mark.parametrize("login", ["reliability", "jingli", "client"])
@pytest.mark.parametrize(
    "path",
    ["?by=component", "?by=period&of=fault_code", "?by=device&from=2031-01-01", "?of=cause&weight=down_hours",
     f"/group?key={BEARING}&planned=100&failure=100000", "/group?by=model&key=pump-p100",
     "/group?key=pump-p100/motor", f"/group?key={BEARING}&component=bearing&origin=observed",
     "/group?by=period&key=2026-03"],
)  # fmt: skip
def test_the_pages_are_whole(failures: dict[str, list[int]], login: str, path: str, browser: Login) -> None:
    answer = browser(login).get(f"/reliability{path}")
    assert answer.status_code == 200, answer.text[:500]
    assert "</html>" in answer.text
    assert not re.search(r"\bnan\b|\binf\b", answer.text, re.IGNORECASE)


def test_a_page_shows_plots_the_reason_and_how_to_read_them(
    failures: dict[str, list[int]], browser: Login
) -> None:
    own = browser("reliability")
    page = own.get(f"/reliability/group?key={BEARING}").text
    assert page.count('<svg class="chart plot"') == 4
    assert page.count("How to read this") >= 4
    assert f'href="/orders/{failures["pump-001"][0]}"' in page
    silent = own.get("/reliability/group?key=pump-p100/motor").text
    assert REASONS["all_censored"].text_en in silent
    assert own.get("/reliability?by=colour").status_code == 422
    assert own.get("/reliability/group?key=pump-p100/wing").status_code == 404


def _csv(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_tables_and_lives_can_be_taken_away(failures: dict[str, list[int]], browser: Login) -> None:
    own = browser("reliability")
    rows = {row["key"]: row for row in _csv(own.get("/reliability/groups.csv?by=component"))}
    assert (rows[BEARING]["failures"], rows[BEARING]["breakdowns"]) == ("3", "2")
    lives = _csv(own.get(f"/reliability/lives.csv?key={BEARING}"))
    assert sum(int(row["failed"]) for row in lives) == 3
    assert all(float(row["entry_h"]) < float(row["end_h"]) for row in lives)


def test_a_name_that_looks_like_a_formula_stays_text() -> None:
    from api.console.reliability_form import csv_of

    assert b"'=1+1" in csv_of([{"name": "=1+1"}], "x.csv").body
