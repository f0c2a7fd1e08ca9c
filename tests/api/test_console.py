"""The pages as text: no browser, no script."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from analytics.detectors import discover
from api.console import charts, format, gantt
from api.console.render import FOLDER
from api.text import catalogue, words
from fsm_core.work_orders.rules import ORDER_MOVES, ORDER_STATES, VISIT_MOVES, VISIT_STATES
from meantime import device_types
from tests.api.conftest import Installation

T0 = datetime(2026, 3, 1, tzinfo=UTC)
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))
PAGES = ("/orders", "/orders/{at_work}", "/orders/{settled}", "/devices", "/devices/pump-001", "/dispatch",
         "/ingest", "/reliability", "/orders/new", "/analytics/alarms", "/analytics/rules", "/analytics/backtests",
         "/analytics/backtests/new", "/analytics/models", "/analytics/costs")  # fmt: skip


def test_both_catalogues_have_the_same_keys_and_places_for_values() -> None:
    english, chinese = catalogue("en"), catalogue("zh")
    assert set(english) == set(chinese)
    for key in english:
        assert set(re.findall(r"{\w+}", english[key])) == set(re.findall(r"{\w+}", chinese[key])), key


def test_the_catalogues_name_every_rule_that_may_open_an_order_and_every_skill_of_a_shipped_device_type() -> (
    None
):
    rules = {detector.rule for detector in discover()} | {"prediction", "recovery", "reset", "rule_off"}
    types = [device_types.read(path) for path in device_types.FOLDER.glob("*.toml")]
    modes = [mode for one in types for mode in one["failure_mode"]]
    skills = {mode["solution"]["skill"] for mode in modes if "skill" in mode.get("solution", {})}
    wanted = {f"rule.{rule}" for rule in rules} | {f"skill.{skill}" for skill in skills}
    assert wanted <= set(catalogue("zh"))


def test_the_catalogues_know_every_state_and_action() -> None:
    wanted = [f"state.{state}" for state in ORDER_STATES] + [f"visit.{state}" for state in VISIT_STATES]
    wanted += [f"action.{action}" for action in (*ORDER_MOVES, *VISIT_MOVES)]
    assert set(wanted) <= set(catalogue("en"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_uses_keys_that_exist(template: object) -> None:
    text = getattr(template, "read_text")("utf-8")  # noqa: B009
    used = re.findall(r"""\bt\("([a-z_0-9.]+)"[,)]|\bt\('([a-z_0-9.]+)'[,)]""", text)
    unknown = {one or other for one, other in used} - set(catalogue("en"))
    assert not unknown


class _Bare(HTMLParser):
    """Collects text and spoken attributes that are not from the catalogue."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if value and name in ("aria-label", "placeholder", "title", "alt")
        ]

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_text_of_its_own(template: object) -> None:
    text = getattr(template, "read_text")("utf-8")  # noqa: B009
    text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", text, flags=re.S)
    parser = _Bare()
    parser.feed(text)
    units = {"km", "h", "B", "s", "%"}
    bare = [word for part in parser.found for word in re.findall(r"[^\W\d_]+", part) if word not in units]
    assert not bare


@pytest.mark.parametrize("login", ["manager", "jingli"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_in_both_languages(installation: Installation, login: str, path: str) -> None:
    scene = installation.scene
    answer = installation.browser(login).get(path.format(at_work=scene.at_work, settled=scene.settled))
    assert answer.status_code == 200, answer.text[:500]
    assert f'<html lang="{"zh" if login == "jingli" else "en"}">' in answer.text
    assert "</html>" in answer.text


def test_the_order_says_in_plain_words_why_it_was_opened(installation: Installation) -> None:
    path = f"/orders/{installation.scene.at_work}"
    english = installation.browser("manager").get(path).text
    assert "Bearing vibration rose to 5.6 mm/s, where 2.2 mm/s is usual for this machine." in english
    assert english.count('<svg class="chart"') == 2
    assert "轴承振动升至 5.6 mm/s" in installation.browser("jingli").get(path).text


def test_the_login_page_shows_the_demo_accounts_and_the_banner_the_simulated_time(
    installation: Installation,
) -> None:
    page = installation.client().get("/login", headers={"Accept-Language": "zh-CN"}).text
    assert 'data-login="manager"' in page
    assert "模拟时间" in page
    assert "2026年3月6日 10:00" in page


def test_an_engineers_page_offers_the_next_step_and_a_form_takes_it(installation: Installation) -> None:
    scene = installation.scene
    browser = installation.browser(f"engineer{scene.other_engineer}")
    page = browser.get(f"/my/{scene.visit_planned}").text
    action = f"/visits/{scene.visit_planned}/do/confirm"
    assert f'action="{action}"' in page
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf
    sent = {"csrf": csrf[1], "back": f"/my/{scene.visit_planned}", "version": "1"}
    answer = browser.post(action, data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/my/{scene.visit_planned}")
    stale = browser.post(action, data=sent)
    assert stale.status_code == 409
    assert "<h1>That did not work</h1>" in stale.text


def test_a_page_that_is_not_for_a_role_says_so(installation: Installation) -> None:
    answer = installation.browser("client").get("/ingest")
    assert answer.status_code == 403
    assert "Your role may not do this." in answer.text
    assert installation.browser("client").get(f"/orders/{installation.scene.settled}").status_code == 404


def test_money_and_spans_and_numbers_read_well() -> None:
    assert format.money(Decimal("1234.5"), "CNY") == "¥1,234.50"
    assert format.money(Decimal("-3"), "CHF") == "−3.00 CHF"
    assert format.span(timedelta(days=1, hours=4, minutes=5), "en") == "1 d 4 h"
    assert format.span(59.0, "zh") == "1分钟"
    assert [format.number(value) for value in (0.126, 58.0, 123.45, 12345.6)] == [
        "0.13",
        "58",
        "123.5",
        "12,346",
    ]


def test_a_chart_marks_the_detection_and_escapes_what_it_is_told() -> None:
    points = [charts.Point(T0 + timedelta(hours=hour), hour, hour - 1, hour + 1) for hour in range(48)]
    drawn = charts.line(
        charts.Chart(
            '<b>"x"', "mm/s", T0, T0 + timedelta(days=2), points, "Asia/Shanghai", "en",
            levels=[charts.Level(40, "limit", "limit")], marks=[charts.Mark(T0 + timedelta(days=1), "<now>")],
        )
    )  # fmt: skip
    assert "&lt;now&gt;" in drawn
    assert "<b>" not in drawn
    assert 'class="mark" x1="380.0"' in drawn


def test_a_chart_without_points_is_an_empty_frame() -> None:
    drawn = charts.line(charts.Chart("none", "bar", T0, T0 + timedelta(days=2), [], "UTC", "en"))
    assert '<path class="line"' not in drawn


def test_a_silence_is_drawn_as_a_gap() -> None:
    hours = [0, 1, 2, 3, 30, 31, 32]
    points = [charts.Point(T0 + timedelta(hours=hour), 1, 1, 1) for hour in hours]
    drawn = charts.line(charts.Chart("gap", "bar", T0, T0 + timedelta(days=2), points, "UTC", "en"))
    assert drawn.count('<path class="line"') == 2


def test_the_board_clips_a_visit_that_reaches_over_midnight() -> None:
    end = T0 + timedelta(days=1)
    bar = gantt.Bar(
        "/orders/1", "WO", "title", "planned", end - timedelta(hours=1), end, end + timedelta(hours=2)
    )
    drawn = gantt.draw([gantt.Row("A", "", [], [bar])], T0, end, T0, "UTC", "board")
    assert 'width="3"' in drawn


def test_words_fall_back_to_the_other_language() -> None:
    assert words("zh").pick({"name_en": "Pump", "name_zh": ""}, "name") == "Pump"
