"""The leaders' page on a phone: one sentence, what is open, targets, and the newest summary."""

import msgspec
import pytest
from browser import page_at
from pages_world import DEFINITIONS, MINUTE_MS, World
from playwright.async_api import Browser, expect

from sensors.system_clock import now_ms
from streams.checkpoint import SummaryRow
from streams.summary import Decision, Facts, Figure, Note

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def test_a_leader_reads_one_sentence_then_what_is_open_then_the_targets(world: World, browser: Browser) -> None:
    await world.raise_alert("slope_alarm", "Mông Dương")
    await world.raise_alert("heavy_rain", "Bãi Cháy")
    await world.say("satisfaction", 91.0)
    async with page_at(browser, world.site.host, "/leader", 390, 844) as leader:
        await expect(leader.page.locator("#sentence")).to_have_text("1 việc khẩn cấp")
        await expect(leader.page.locator('.counts [data-count="warning"] b')).to_have_text("1")
        await expect(leader.page.locator(".card").first).to_contain_text("Phường Mông Dương")
        await expect(leader.page.locator(".card").first).to_contain_text("Chưa ai nhận")
        await expect(leader.page.locator('.indicator[data-kpi="satisfaction"]')).to_have_attribute("data-met", "false")
        await expect(leader.page.locator("#made")).to_contain_text("Chưa có bản tóm tắt nào")
        assert await leader.page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_summary_says_what_changed_what_is_unknown_and_when_it_was_made(world: World, browser: Browser) -> None:
    alert = await world.raise_alert("slope_alarm", "Mông Dương")
    now = now_ms()
    wait, served_today = DEFINITIONS.kpis["wait_mean"], DEFINITIONS.kpis["served_today"]
    told = Facts(
        now - 5 * MINUTE_MS, now - 65 * MINUTE_MS, "Quảng Ninh", "Quảng Ninh",
        [Decision(alert, "", "", "", "", "", "critical", "unack_active", now, now, False, "")],
        [
            Figure("wait_mean", wait.name_vi, wait.name_en, 12.5, 321, "phút", "min", 1, now - 6 * MINUTE_MS, "final",
                   False, wait.goal, True),
            Figure("served_today", served_today.name_vi, served_today.name_en, 7210.0, 7210, "lượt", "tickets", 0,
                   now - MINUTE_MS, "final", False, None, None),
        ],
        [Note("Mưa tăng ở Bãi Cháy", "More rain in Bãi Cháy")], [Note("Trạm Cô Tô im lặng", "The gauge is silent")],
    )  # fmt: skip
    world.commit(summaries=[SummaryRow("s1", told.at, "d", msgspec.json.encode(told), "…", "…")])
    async with page_at(browser, world.site.host, "/leader?theme=dusk", 390, 844) as leader:
        await expect(leader.page.locator("section").first).to_contain_text("Cần lãnh đạo quyết")
        await expect(leader.page.locator("body")).to_contain_text("Mưa tăng ở Bãi Cháy")
        await expect(leader.page.locator("body")).to_contain_text("Trạm Cô Tô im lặng")
        await expect(leader.page.locator("#made")).to_contain_text("5 phút trước")
        await expect(leader.page.locator('[data-kpi="served_today"]')).to_contain_text("7.210")
        await leader.page.click("summary")
        details = "mục tiêu ≤ 15 phút · 321 số đo · 6 phút trước"
        await expect(leader.page.locator('[data-kpi="wait_mean"]')).to_contain_text(details)
        assert await leader.page.evaluate("document.documentElement.scrollWidth") <= 390
