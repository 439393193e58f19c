"""What the desk says of trust: the ledger by kind, bridges, what never came, clocks, and what was not counted."""

import msgspec
import pytest
from browser import page_at
from pages_world import World, desk_at, hear_trouble
from playwright.async_api import Browser, expect

from sensors.system_clock import now_ms

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def test_the_ledger_of_the_last_hour_stands_by_kind_and_can_be_linked(world: World, browser: Browser) -> None:
    await hear_trouble(world, now_ms())
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, "/desk#ledger")
        rain = desk.page.locator('.kinds tr[data-kind="rain"] .count')
        await expect(rain).to_have_text(["6", "4", "0", "1", "1"])
        await expect(desk.page.locator('.kinds tr[data-kind="traffic"] .count').first).to_have_text("6")
        await expect(desk.page.locator('.ledger [data-cell="sent"] b')).to_have_text("16")
        for stage, count in {"bridge": "12", "journal": "12", "checkpoint": "2"}.items():
            await expect(desk.page.locator(f'.ledger [data-cell="held-{stage}"] b')).to_have_text(count)
        await expect(desk.page.locator('nav [data-tab="ledger"]')).to_have_attribute("aria-pressed", "true")
        await desk.page.click('nav [data-tab="open"]')
        await expect(desk.page.locator(".queue")).to_be_visible()
        assert await desk.page.evaluate("location.hash") == ""


async def test_each_bridge_says_what_came_to_it_and_how_often_another_overtook_it(
    world: World, browser: Browser
) -> None:
    now = now_ms()
    await hear_trouble(world, now)
    twin = {"pending": 2, "arrived": 1_800, "repeated": 4, "overtaken": 5, "overtaken_at": now - 60_000, "at": now}
    await world.live.publish({"b:twin": msgspec.json.encode(twin)})
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, "/desk#ledger")
        rows = desk.page.locator(".bridges tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.nth(0).locator(".count")).to_have_text(["0", "0", "12", "0"])
        await expect(rows.nth(0).locator(".mark")).to_have_count(0)
        told = desk.page.locator('.bridges tr[data-bridge="twin"]')
        await expect(told.locator(".count")).to_contain_text(["1.800", "4", "2", "5"])
        await expect(told.locator(".mark")).to_have_attribute("data-sev", "warning")
        await expect(desk.page.locator(".trust .note").last).to_contain_text("mỗi phần chia chỉ nên có một cầu nối")


async def test_what_is_missing_is_listed_by_source_with_the_times_of_its_gaps(world: World, browser: Browser) -> None:
    noon = (now_ms() // 86_400_000) * 86_400_000 + 5 * 3_600_000
    await hear_trouble(world, noon)
    async with page_at(browser, world.site.host, "/login?lang=en") as desk:
        await desk_at(desk, world, "/desk?lang=en#missing")
        await expect(desk.page.locator('nav [data-tab="missing"] b')).to_have_text("4")
        row = desk.page.locator('.missing tr[data-source="06673/rain/rain-7"]')
        await expect(row.locator(".count")).to_have_text(["10", "6", "440.00 %", "0"])
        await expect(row.locator(".lost .mark")).to_have_attribute("data-sev", "warning")
        gaps = row.locator(".gaps li")
        await expect(gaps.nth(0)).to_contain_text("№ 8 1 lost")
        await expect(gaps.nth(1)).to_contain_text("№ 3–5 3 lost")
        await expect(gaps.nth(1)).to_contain_text("11:19:59 and")
        await expect(desk.page.locator(".trust .note")).to_contain_text("sent = arrived + missing")


async def test_clocks_ahead_and_behind_are_shown_and_explained(world: World, browser: Browser) -> None:
    await hear_trouble(world, now_ms())
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, "/desk#clocks")
        rows = desk.page.locator(".clocks tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.nth(0)).to_have_attribute("data-clock", "ahead")
        await expect(rows.nth(0)).to_contain_text("nhanh 1 phút")
        await expect(rows.nth(1)).to_contain_text("chậm 8 phút")
        await expect(rows.nth(1)).to_contain_text("xem giờ thiết bị và đường truyền")


async def test_what_came_too_late_is_among_what_was_not_counted(world: World, browser: Browser) -> None:
    await hear_trouble(world, now_ms())
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, "/desk#rejections")
        rows = desk.page.locator(".rejections tbody tr")
        await expect(rows).to_have_count(2)
        await desk.page.click('.reasons [data-reason="too_late"]')
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("Quá muộn")
        await expect(rows).to_contain_text("ioc/06673/rain/rain-7")


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080), (390, 844)])
@pytest.mark.parametrize("pane", ["ledger", "missing", "clocks", "rejections"])
async def test_no_pane_of_the_desk_is_wider_than_the_screen(
    world: World, browser: Browser, width: int, height: int, pane: str
) -> None:
    await hear_trouble(world, now_ms())
    async with page_at(browser, world.site.host, "/login", width, height) as desk:
        await desk_at(desk, world, f"/desk#{pane}")
        await expect(desk.page.locator(f'.trust[data-pane="{pane}"] table tbody tr').first).to_be_visible()
        assert await desk.page.evaluate("document.documentElement.scrollWidth") <= width
