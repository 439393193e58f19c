"""The pages tell that a replay is one, and let nobody act in it."""

import re
from pathlib import Path
from typing import Any

import pytest
from browser import CUT_OFF, page_at
from pages_world import LONGEST_UNITS, MORNING, OVERNIGHT, World, desk_at, far_room, world_of
from playwright.async_api import Browser, expect

from control_center.http_gateway import GatewaySettings
from control_center.wall import FONT_REM
from sensors.system_clock import now_ms
from streams.sql_store import SqlStore

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def test_a_replay_is_unmistakable_on_the_wall_and_no_outage(store: SqlStore, browser: Browser) -> None:
    start = now_ms()
    shift = MORNING.begin - start

    def replayed() -> int:
        return start + shift + 30 * (now_ms() - start)

    async with world_of(store, GatewaySettings(replay=MORNING), clock=replayed) as world:
        await world.say_all()
        async with page_at(browser, world.site.host, "/wall") as wall:
            band = wall.page.locator("#replay .plate")
            await expect(band).to_have_text("PHÁT LẠI·24/11/2026 07:00–08:00 · ×30")
            await expect(wall.page.locator(".replay-frame")).to_be_visible()
            await expect(wall.page.locator("#link-word")).to_have_text("Phát lại")
            await expect(wall.page.locator("#day")).to_have_text("giờ phát lại · 24/11/2026")
            await expect(wall.page.locator("#clock")).to_have_text(re.compile("^0[78]:"))
            await expect(wall.page.locator("#banner")).to_be_hidden()
            letters = "(element) => parseFloat(getComputedStyle(element).fontSize)"
            assert await band.evaluate(letters) / (1080 / 90) > FONT_REM["standard"]["name"]
            box = await wall.page.locator(".replay-frame").bounding_box()
            assert box == {"x": 0, "y": 0, "width": 1920, "height": 1080}
        async with page_at(browser, world.site.host, "/wall?lang=en&theme=day") as wall:
            await expect(wall.page.locator("#replay .plate")).to_have_text("REPLAY·24/11/2026 07:00–08:00 · ×30")


async def test_the_clock_of_a_replay_runs_at_its_speed(world: World, browser: Browser) -> None:
    script = """async () => {
      const { ServerClock } = await import('/static/server_clock.js');
      let steady = 0;
      const clock = new ServerClock(() => steady);
      clock.heard(1_000_000);
      clock.runAt(30);
      const before = clock.now();
      clock.heard(5_000);
      steady = 100;
      const replayed = clock.now();
      clock.heard(6_000);
      const newest = clock.now();
      clock.runAt(1);
      clock.heard(70_000);
      steady = 350;
      return [Number.isNaN(before), replayed, newest, clock.now()];
    }"""
    async with page_at(browser, world.site.host, "/wall") as wall:
        assert await wall.page.evaluate(script) == [True, 8_000, 6_000, 70_250]


async def test_a_replay_in_a_far_room_shows_what_has_room(store: SqlStore, browser: Browser, tmp_path: Path) -> None:
    async with world_of(store, GatewaySettings(overlay=far_room(tmp_path), replay=OVERNIGHT)) as world:
        await world.say_all()
        for unit in LONGEST_UNITS[:4]:
            await world.raise_alert("slope_alarm", unit)
        async with page_at(browser, world.site.host, "/wall") as wall:
            await expect(wall.page.locator("html")).to_have_attribute("data-layout", "far")
            told = "PHÁT LẠI·23/11 23:00 – 24/11/2026 09:00 · ×0,5"
            await expect(wall.page.locator("#replay .plate")).to_have_text(told)
            await expect(wall.page.locator(".alert:visible")).to_have_count(2)
            await expect(wall.page.locator("#link-word")).to_have_text("Phát lại")
            assert await wall.page.evaluate(CUT_OFF) == []


async def test_nothing_can_be_done_on_the_desk_in_a_replay(store: SqlStore, browser: Browser) -> None:
    async with world_of(store, GatewaySettings(replay=MORNING)) as world:
        await world.say_all()
        worst = await world.raise_alert("slope_alarm", "Mông Dương")
        async with page_at(browser, world.site.host, "/login") as desk:
            sent: list[str] = []
            desk.page.on("request", lambda request: sent.append(request.method))
            await desk_at(desk, world, f"/desk#alert/{worst}")
            await expect(desk.page.locator("#replay .plate")).to_contain_text("PHÁT LẠI")
            await expect(desk.page.locator(".read-only")).to_have_text("Đang phát lại: chỉ xem, không thao tác được")
            await expect(desk.page.locator("button.take, .comment")).to_have_count(0)
            await expect(desk.page.locator("#sound")).to_be_disabled()
            await expect(desk.page.locator(".clock")).to_contain_text("giờ phát lại")
            sent.clear()
            await desk.page.keyboard.press("a")
            await desk.page.keyboard.press("Escape")
            await expect(desk.page.locator("#detail .empty")).to_be_visible()
            assert "POST" not in sent
            assert world.store.waiting_commands() == []


async def test_a_replay_stays_in_sight_on_the_phone(store: SqlStore, browser: Browser) -> None:
    async with world_of(store, GatewaySettings(replay=MORNING)) as world:
        await world.say_all()
        for unit in LONGEST_UNITS:
            await world.raise_alert("heavy_rain", unit)
        async with page_at(browser, world.site.host, "/leader", 390, 844) as leader:
            await expect(leader.page.locator(".card")).to_have_count(len(LONGEST_UNITS))
            await expect(leader.page.locator(".link")).to_contain_text("Phát lại")
            await leader.page.locator(".card").last.scroll_into_view_if_needed()
            await expect(leader.page.locator("#replay .what")).to_be_in_viewport()
            assert await leader.page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_page_that_is_live_says_nothing_of_a_replay(world: World, browser: Browser) -> None:
    pages: dict[str, Any] = {"/wall": "#clock", "/leader": "#sentence"}
    for path, told in pages.items():
        async with page_at(browser, world.site.host, path) as page:
            await expect(page.page.locator(told)).not_to_be_empty()
            await expect(page.page.locator("#replay")).to_be_hidden()
            await expect(page.page.locator(".replay-frame")).to_be_hidden()
