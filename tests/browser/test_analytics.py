"""The analytics pages in Chromium: rules tried and put in force, and a what-if from the form to the time line."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from analytics.whatif import worker as jobs
from kit.database import connect
from tests.browser.conftest import Visitor
from tests.browser.test_console import _fits, _serious

pytestmark = pytest.mark.browser
PAGES = ("/analytics/alarms", "/analytics/rules", "/analytics/backtests", "/analytics/backtests/new",
         "/analytics/models", "/analytics/costs", "/orders/{at_work}/explanation")  # fmt: skip


@pytest.mark.parametrize(("login", "phone"), [("manager", False), ("jingli", True)])
@pytest.mark.slow
def test_the_analytics_pages_have_no_serious_barrier_and_fit(
    visitor: Visitor, login: str, phone: bool
) -> None:
    page = visitor.page(login, phone=phone)
    for path in PAGES:
        page.goto(path.format(at_work=visitor.installation.scene.at_work))
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert _serious(page) == [], path
        assert _fits(page), path


def test_rules_are_changed_refused_and_taken_back(visitor: Visitor) -> None:
    page = visitor.page("reliability")
    page.goto("/analytics/rules")
    page.click("details.rule:has([name='shift.limit']) > summary")
    page.fill("[name='shift.limit']", "6.5")
    page.fill("#note", "too many visits")
    page.click("button:has-text('Put in force')")
    expect(page.locator("ol.changes")).to_contain_text("too many visits")
    expect(page.locator("pre").first).to_have_text("[shift]\nlimit = 6.5\n")
    page.click("details:has(#toml) > summary")
    page.fill("#toml", "[shift]\nlimit = 500")
    page.click("button:has-text('Put in force')")
    expect(page.get_by_role("alert")).to_contain_text("shift.limit must be a number from 1 to 100")
    page.reload()
    page.click("button:has-text('Back to the defaults')")
    expect(page.locator("text=The defaults are in force.").first).to_be_visible()


@pytest.mark.slow
def test_a_what_if_goes_from_the_rules_on_the_page_to_its_result_by_itself(visitor: Visitor) -> None:
    page = visitor.page("manager")
    page.goto("/analytics/rules")
    page.click("details.rule:has([name='on.spike']) > summary")
    page.uncheck("[name='on.spike']")
    page.click("button:has-text('Try in a what-if')")
    expect(page.locator(".badge:has-text('Waiting')")).to_be_visible()
    with connect(visitor.installation.dsn, role="meantime_analytics", autocommit=True) as conn:
        assert jobs.work(conn) == 1
    expect(page.locator("h2:has-text('Side by side')")).to_be_visible(timeout=15_000)
    expect(page.locator("pre")).to_have_text("[spike]\noff = true\n")
    assert _serious(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert _fits(page)
    page.click("button:has-text('Put in force')")
    expect(page.locator("ol.changes")).to_contain_text("backtest")
    page.click("button:has-text('Back to the defaults')")
