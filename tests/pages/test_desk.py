"""The desk in a real browser over a real gateway: alerts taken and commented, rejections, and who may log in."""

import pytest
from browser import page_at
from pages_world import DEFINITIONS, PASSWORD, World, log_in
from playwright.async_api import Browser, expect

from sensors.system_clock import now_ms
from streams.beat import Rejection

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def test_an_alert_is_shown_as_taken_only_when_the_worker_has_heard_of_it(world: World, browser: Browser) -> None:
    newest = await world.raise_alert("wait_long", "Bãi Cháy", minutes=2)
    worst = await world.raise_alert("slope_alarm", "Mông Dương", minutes=9)
    async with page_at(browser, world.site.host, "/login") as desk:
        await log_in(desk)
        rows = desk.page.locator(".queue tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_have_attribute("data-alert", worst)
        await desk.page.keyboard.press("ArrowDown")
        await expect(rows.first).to_have_attribute("data-chosen", "true")
        await expect(desk.page.locator("#detail .response")).to_have_text(DEFINITIONS.rules["slope_alarm"].response_vi)
        await expect(desk.page.locator("#me")).to_have_text("truc-ban")
        async with desk.page.expect_response("**/acknowledge"):
            await desk.page.keyboard.press("a")
            await expect(rows.first.locator(".state.waiting")).to_be_visible()
        await expect(rows.first).to_have_attribute("data-state", "unack_active")
        assert await world.carry_out() == ["acknowledge"]
        taken = desk.page.locator(f'tr[data-alert="{worst}"]')
        await expect(taken).to_have_attribute("data-state", "ack_active")
        await expect(taken).to_contain_text("truc-ban")
        await expect(rows.first).to_have_attribute("data-alert", newest)


async def test_a_comment_is_written_by_key_and_an_error_is_said_in_words(world: World, browser: Browser) -> None:
    alert = await world.raise_alert("heavy_rain", "Bãi Cháy")
    async with page_at(browser, world.site.host, "/login") as desk:
        await log_in(desk)
        await expect(desk.page.locator(".queue tbody tr")).to_have_count(1)
        await desk.page.goto(f"http://{world.site.host}/desk#alert/{alert}")
        await expect(desk.page.locator("#detail h2")).to_contain_text("Mưa 125,0 mm")
        await desk.page.keyboard.press("c")
        await expect(desk.page.locator(".comment textarea")).to_be_focused()
        await desk.page.keyboard.type("Đã gọi cho phường")
        await desk.page.click(".comment button")
        await expect(desk.page.locator(".comment textarea")).to_have_value("")
        assert [command.text for command in world.store.waiting_commands()] == ["Đã gọi cho phường"]
        world.alerts[alert] |= {"state": "closed"}
        await world.publish_alert(alert)
        await expect(desk.page.locator(f'tr[data-alert="{alert}"]')).to_have_attribute("data-state", "closed")
        await desk.page.fill(".comment textarea", "Muộn rồi")
        await desk.page.click(".comment button")
        await expect(desk.page.locator("#error")).to_have_text("cảnh báo đã đóng")


async def test_the_desk_lists_what_was_rejected_and_logs_out(world: World, browser: Browser) -> None:
    world.commit(rejections=[Rejection(0, 7, 0, now_ms(), "ioc/x", "bad_topic", "chủ đề lạ", b'{"v":<b>1</b>}')])
    async with page_at(browser, world.site.host, "/login") as desk:
        await log_in(desk)
        await desk.page.click('[data-tab="rejections"]')
        row = desk.page.locator(".rejections tbody tr")
        await expect(row).to_contain_text("chủ đề lạ")
        await expect(row).to_contain_text('{"v":<b>1</b>}')
        await expect(desk.page.locator('.ledger [data-cell="received"] b')).to_have_text("1.000.030")
        await desk.page.click("#logout")
        await expect(desk.page.locator("#enter")).to_be_visible()
        await desk.page.goto(f"http://{world.site.host}/desk")
        await expect(desk.page.locator("#enter")).to_be_visible()


async def test_a_wrong_password_is_said_and_too_many_make_one_wait(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/login") as login:
        for _ in range(5):
            await log_in(login, "wrong")
            await expect(login.page.locator("#error")).to_have_text("Sai tên hoặc mật khẩu.")
        await log_in(login, PASSWORD)
        await expect(login.page.locator("#error")).to_contain_text("Thử lại sau")
        await expect(login.page.locator("#enter")).to_be_disabled()
