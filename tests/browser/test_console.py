"""The console in Chromium: it can be used by keyboard and screen reader, updates itself, and fits a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
OFFICE = ("/orders", "/orders/{at_work}", "/orders/{settled}", "/devices", "/devices/pump-001", "/dispatch", "/ingest",
          "/reliability", "/reliability/group?key=pump-p100/bearing", "/orders/new")  # fmt: skip


def _serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{item['id']}: {item['nodes'][0]['html'][:120]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]


def _fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"))


@pytest.mark.parametrize(("login", "phone"), [("manager", False), ("jingli", True)])
@pytest.mark.slow
def test_the_offices_pages_have_no_serious_barrier_and_fit(visitor: Visitor, login: str, phone: bool) -> None:
    page, scene = visitor.page(login, phone=phone), visitor.installation.scene
    for path in OFFICE:
        page.goto(path.format(at_work=scene.at_work, settled=scene.settled))
        page.screenshot(path=visitor.folder / f"{path.strip('/').replace('/', '-')}.png", full_page=True)
        assert _serious(page) == [], path
        assert _fits(page), path


def test_an_engineer_does_a_whole_visit_on_the_phone(visitor: Visitor) -> None:
    scene = visitor.installation.scene
    page = visitor.page(f"engineer{scene.engineer}", phone=True)
    page.click(f'a[href="/my/{scene.visit_at_work}"]')
    page.click("text=Start travelling")
    expect(page.locator("[data-position-says]")).to_have_text("Position found.")
    page.click("button:has-text('Check in on site')")
    page.click("button:has-text('Start work')")
    expect(page.locator("button:has-text('Finish work')")).to_be_visible()
    assert _serious(page) == []
    for index in range(page.locator("button.check").count()):
        page.locator("button.check").nth(index).click()
        expect(page.locator("button.check").nth(index)).to_have_attribute("aria-pressed", "true")
    page.click("button:has-text('Use')")
    page.click("button:has-text('Return old')")
    expect(page.locator("button:has-text('Return old')")).to_have_count(0)
    page.select_option("#cause", index=1)
    page.select_option("#remedy", index=1)
    page.click("button:has-text('Save')")
    page.click("button:has-text('Write the report')")
    _draw(page)
    page.fill("#signed-by", "Mr Li")
    page.screenshot(path=visitor.folder / "sign.png", full_page=True)
    page.click("button:has-text('Sign')")
    expect(page.locator("text=Signed by Mr Li.").or_(page.locator("text=Signed by Mr Li"))).to_be_visible()
    page.click("button:has-text('Finish work')")
    expect(page.locator(".badge.done").first).to_be_visible()


def _draw(page: Page) -> None:
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + 120)
    page.mouse.down()
    for step in range(1, 12):
        page.mouse.move(box["x"] + 30 + 20 * step, box["y"] + (40 if step % 2 else 130))
    page.mouse.up()


def test_a_refusal_is_said_beside_the_button(visitor: Visitor) -> None:
    scene = visitor.installation.scene
    page = visitor.page("manager")
    page.goto(f"/orders/{scene.new}")
    visitor.installation.logged_in("manager").post(f"/api/orders/{scene.new}/accept")
    page.evaluate("for (const field of document.querySelectorAll('[name=version]')) field.value = 1")
    page.locator("form[action$='/do/accept'], form[action$='/do/hold']").first.evaluate(
        "form => form.requestSubmit()"
    )
    expect(page.get_by_role("alert").first).to_contain_text("version")


def test_while_one_button_is_at_work_the_others_wait(visitor: Visitor) -> None:
    held: list[Route] = []
    page = visitor.page("manager")
    page.goto(f"/orders/{visitor.installation.scene.at_work}")
    page.route("**/orders/*/**", lambda route: held.append(route))
    buttons = page.locator("form[data-act] button")
    before = buttons.evaluate_all("all => all.map(one => one.disabled)")
    with page.expect_request("**/orders/*/**"):
        page.locator("form[data-act]").evaluate_all(
            "forms => forms.find(form => form.checkValidity()).requestSubmit()"
        )
    expect(page.locator("form[data-act] button:enabled")).to_have_count(0)
    held[0].fulfill(status=409, json={"message": "Somebody was quicker."})
    expect(page.get_by_role("alert").first).to_have_text("Somebody was quicker.")
    assert buttons.evaluate_all("all => all.map(one => one.disabled)") == before


def test_the_board_updates_itself(visitor: Visitor) -> None:
    page = visitor.page("dispatcher")
    page.goto("/orders")
    expect(page.locator(".live.on")).to_be_visible()
    made = visitor.installation.logged_in("dispatcher").post(
        "/api/orders", json={"title": "Appears by itself", "device_uid": "pump-003"}
    )
    expect(page.get_by_role("row", name="Appears by itself")).to_be_visible(timeout=10_000)
    assert made.status_code == 201


def test_the_language_switch_changes_the_page(visitor: Visitor) -> None:
    page = visitor.page("reliability")
    page.goto("/devices")
    page.click("text=中文")
    expect(page.locator("h1")).to_have_text("设备")
    page.click("text=English")
    expect(page.locator("h1")).to_have_text("Devices")


def test_the_first_tab_stop_leads_past_the_navigation(visitor: Visitor) -> None:
    page = visitor.page("manager")
    page.goto("/devices")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
