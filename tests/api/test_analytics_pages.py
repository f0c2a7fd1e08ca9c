"""What the analytics pages draw and prefill."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from api.console import timeline
from api.console.render import environment
from api.console.rules_form import rules_of
from api.text import words
from tests.api.conftest import Installation

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def order(uid: str, status: str, day: float) -> dict[str, Any]:
    side = {"ts": (T0 + timedelta(days=day)).isoformat()}
    return {
        "device_uid": uid, "status": status, "failure_mode": "bearing_wear",
        "live": None if status == "appear" else side, "changed": None if status == "vanish" else side,
    }  # fmt: skip


def test_the_time_line_marks_every_order_and_failure_and_puts_differences_first() -> None:
    result = {
        "orders": [order("calm", "stay", 1), order("<b>", "appear", 2), order("gone", "vanish", 3)],
        "failures": [
            {"device_uid": "calm", "component": "bearing", "ts": (T0 + timedelta(days=2)).isoformat()}
        ],
        "counts": {"appear": 1, "vanish": 1, "stay": 1},
    }
    svg, more = timeline.draw(words("en"), result, T0, T0 + timedelta(days=10), "Asia/Shanghai")
    assert more == 0
    assert [svg.count(f'class="{name}"') for name in ("appear", "vanish", "stay", "failed")] == [1, 1, 1, 1]
    assert svg.index("&lt;b&gt;") < svg.index("calm")
    assert "3 devices" in re.findall('aria-label="([^"]*)"', svg)[0]
    many = result | {"orders": [order(f"d{n}", "stay", 1) for n in range(30)], "failures": []}
    assert timeline.draw(words("zh"), many, T0, T0 + timedelta(days=10), "Asia/Shanghai")[1] == 6


def test_a_proposal_is_drawn_with_right_and_needless_orders_and_both_limits() -> None:
    proposal = {
        "orders": [(1, "false", 1.01), (2, "right", 1.6), (3, "other", 1.1)], "factor": 1.3, "decided": 3,
        "avoided": 2, "delayed": 0,
    }  # fmt: skip
    svg = timeline.strip(words("en"), proposal)
    assert (svg.count("<circle"), svg.count('class="stay"'), svg.count('class="vanish"')) == (3, 1, 2)
    assert "limit now" in svg
    assert "proposed" in svg


def test_days_without_alarms_are_drawn_and_no_days_are_nothing() -> None:
    days = [{"day": T0 + timedelta(days=n), "raises": n % 3} for n in range(9)]
    assert timeline.daily(words("en"), days, "UTC").count('class="bar"') == 9
    assert timeline.daily(words("en"), [], "UTC") == ""
    assert timeline.share(None, None, None) == ""


def test_the_forms_fields_are_the_rules_and_written_text_wins() -> None:
    on = {f"on.{rule}": "1" for rule in ("fault_code", "limit", "shift", "spike")}
    assert rules_of(on | {"shift.limit": "6.5", "shift.hold_hours": "1.0", "spike.z": ""}) == {
        "shift": {"limit": 6.5}
    }
    del on["on.spike"]
    assert rules_of(on) == {"spike": {"off": True}}
    assert rules_of(on | {"toml": "[joint]\nlimit = 3"}) == {"joint": {"off": False, "limit": 3.0}}


def test_a_proposal_prefills_the_what_if(installation: Installation) -> None:
    browser = installation.browser("reliability")
    text = "[shift]\nlimit = 7.25\n"
    page = browser.get(f"/analytics/backtests/new?rules={quote(text)}").text
    field = re.search(r'<input[^>]*name="shift.limit"[^>]*>', page)
    assert field is not None
    assert 'value="7.25"' in field.group()
    assert browser.get("/analytics/backtests/new?rules=[shaft]").status_code == 422


def test_a_what_if_keeps_its_days_in_the_installations_zone(installation: Installation) -> None:
    client = installation.logged_in("reliability")
    days = {
        "from": "2026-03-02T00:00+08:00",
        "to": "2026-03-06T00:00+08:00",
        "train_from": "2026-02-01T00:00+08:00",
    }
    number = client.post("/api/backtests", json=days | {"title": "days"}).json()["id"]
    again = client.get(f"/analytics/backtests/new?again={number}").text
    fields = dict(re.findall(r'name="(since|until|train_from)" type="date".*?value="([^"]*)"', again))
    assert fields == {"since": "2026-03-02", "until": "2026-03-05", "train_from": "2026-02-01"}
    for path in (f"/analytics/backtests/{number}", "/analytics/backtests"):
        assert "2 Mar 2026 – 5 Mar 2026" in client.get(path).text
    assert client.post(f"/api/backtests/{number}/cancel").status_code == 200


def test_a_page_changes_nothing_without_its_form_token_or_permission(installation: Installation) -> None:
    browser = installation.browser("manager")
    answer = browser.post("/analytics/rules", data={"toml": "[shift]\nlimit = 7", "based_on": "0"})
    assert answer.status_code == 403
    assert installation.logged_in("manager").get("/api/rules").json()["differing"] == {}
    dispatcher = installation.browser("dispatcher")
    assert dispatcher.get("/analytics/rules").status_code == 200
    assert "Put in force" not in dispatcher.get("/analytics/rules").text
    assert dispatcher.get("/analytics/backtests/new").status_code == 403
    assert installation.browser("client").get("/analytics/rules").status_code == 403


REASONS = (
    {"code": "cheaper", "cost": "12", "without": "40", "since": T0.isoformat(), "in_force": None},
    {"code": "not_cheaper", "cost": "12", "without": "40", "since": T0.isoformat(), "in_force": "11"},
    {"code": "closer", "loss": "1.5", "without": "4.0", "since": T0.isoformat(), "in_force": None},
    {"code": "not_closer", "loss": "1.5", "without": "4.0", "since": T0.isoformat(), "in_force": "1.2"},
    {"code": "no_failure"}, {"code": "no_telemetry"}, {"code": "only_failures"}, {"code": "one_device"},
    {"code": "too_few_failures", "failures": 4, "learn": 10, "trial": 3},
    {"code": "too_few_before", "failures": 4, "learn": 10},
    {"code": "too_few_lives", "failures": 4, "lives": 2, "hours": "80", "learn": 10, "trial": 3},
    {"code": "no_lives"}, {"code": "nothing_moves"},
    {"code": "too_few_failed", "failed": 4, "lives": 12, "cycles": 10, "learn": 10},
)  # fmt: skip


def verdict(language: str, row: dict[str, Any]) -> str:
    text = '{% from "_verdict.html" import verdict with context %}{{ verdict(row) }}'
    shown = (
        environment().from_string(text).render(t=words(language), row=row, day=lambda at: at.strftime("%F"))
    )
    return shown.strip()


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: str(reason["code"]))
def test_why_a_model_is_in_force_or_not_is_told_in_both_languages(reason: dict[str, Any]) -> None:
    row = {"verdict": "as written", "reason": reason}
    english, chinese = verdict("en", row), verdict("zh", row)
    assert english.isascii()
    assert "&lt;" not in english, "no element is put into a sentence as text"
    assert not re.search("[A-Za-z]{3}", chinese), "nothing English is left"
    for name, value in reason.items():
        if name not in ("code", "since") and value is not None:
            assert str(value) in english
            assert str(value) in chinese
    assert ("2026-03-01" in chinese) == ("since" in reason)


def test_a_verdict_from_before_there_were_codes_is_shown_as_it_was_written() -> None:
    assert verdict("zh", {"verdict": "as written", "reason": {}}) == "as written"
