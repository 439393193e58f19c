"""All that stands on the wall can be read: nothing scrolls or is cut, at every size, in both languages, from afar."""

from pathlib import Path

import msgspec
import pytest
from browser import CUT_OFF, DRAWN, page_at
from pages_world import DEFINITIONS, FULL, LEDGER, LONGEST_UNITS, OVERNIGHT, World, far_room, is_live, tile, world_of
from playwright.async_api import Browser, expect

from control_center.http_context import ReplaySpan
from control_center.http_gateway import GatewaySettings
from control_center.wall import FONT_REM
from sensors.system_clock import now_ms
from streams.fault import Seen
from streams.sql_store import SqlStore

pytestmark = [pytest.mark.anyio, pytest.mark.long]


HUGE = {name: 4_000 * count for name, count in LEDGER.items()} | {
    "numbered": 3_912_345_678, "unreadable": 12, "missing": 123_456, "readings": 9_000_000_000,
}  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (3840, 2160), (7680, 2160)])
@pytest.mark.parametrize("lang", ["vi", "en"])
async def test_nothing_on_the_wall_scrolls_or_is_cut(
    world: World, browser: Browser, width: int, height: int, lang: str
) -> None:
    for rule, unit in zip(DEFINITIONS.rules.values(), LONGEST_UNITS * 4, strict=False):
        await world.raise_alert(rule.id, unit if rule.scope == "unit" else "", minutes=45)
    async with page_at(browser, world.site.host, f"/wall?lang={lang}", width, height) as wall:
        await is_live(wall)
        await expect(tile(wall, "satisfaction").locator(".value")).not_to_be_empty()
        row = wall.page.locator(".alert:visible").first
        for left in range(len(world.alerts), 0, -1):
            await expect(wall.page.locator(".alert:visible .age")).not_to_have_text([""] * min(left, 5))
            assert await wall.page.evaluate(CUT_OFF) == []
            worst = await row.get_attribute("data-alert")
            await world.live.publish({f"a:{worst}": None})
            await expect(wall.page.locator(f'.alert:visible[data-alert="{worst}"]')).to_have_count(0)


async def test_letters_have_the_sizes_that_the_walls_geometry_was_checked_with(world: World, browser: Browser) -> None:
    await world.raise_alert("heavy_rain", "Bãi Cháy")
    async with page_at(browser, world.site.host, "/wall") as wall:
        await is_live(wall)
        script = "(selector) => parseFloat(getComputedStyle(document.querySelector(selector)).fontSize)"
        rem = await wall.page.evaluate(script, "html")
        assert rem == pytest.approx(1080 / 90)
        found = [(".tile .value", "value"), (".tile .name", "name"), (".tile .detail", "detail"), (".headline", "name")]
        for selector, text in found:
            size = await wall.page.evaluate(script, selector)
            assert size / rem == pytest.approx(FONT_REM["standard"][text], abs=0.01), selector


async def test_a_room_far_away_is_shown_the_four_worst(store: SqlStore, browser: Browser, tmp_path: Path) -> None:
    async with world_of(store, GatewaySettings(overlay=far_room(tmp_path))) as world:
        await world.say_all()
        await world.say("satisfaction", 91.0)
        await world.raise_alert("slope_alarm", LONGEST_UNITS[0])
        async with page_at(browser, world.site.host, "/wall") as wall:
            await expect(wall.page.locator("html")).to_have_attribute("data-layout", "far")
            await expect(wall.page.locator(".tile:visible")).to_have_count(4)
            await expect(tile(wall, "slope_rate")).to_be_visible()
            await expect(tile(wall, "satisfaction")).to_be_visible()
            assert await wall.page.evaluate(CUT_OFF) == []
            await world.ail(now_ms(), disk_full=FULL, bridge_silent=Seen())
            await expect(wall.page.locator("#faults b")).to_be_visible()
            assert await wall.page.evaluate(CUT_OFF) == []


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (3840, 2160), (7680, 2160)])
@pytest.mark.parametrize("replay", [None, OVERNIGHT], ids=["live", "replay"])
async def test_nothing_is_cut_where_counts_are_huge_and_everything_was_corrected(
    store: SqlStore, browser: Browser, width: int, height: int, replay: ReplaySpan | None
) -> None:
    async with world_of(store, GatewaySettings(replay=replay)) as world:
        await world.say_all()
        await world.live.publish({"l:0": msgspec.json.encode(HUGE)})
        for kpi in ("traffic_flow", "tickets_today", "satisfaction"):
            await world.say(kpi, 12_345.0, state="corrected", revision=12)
        for kpi in ("vn_aqi", "rain_1h", "wait_p90"):
            await world.say(kpi, 88.8, state="provisional")
        for rule, unit in zip(DEFINITIONS.rules.values(), LONGEST_UNITS * 4, strict=False):
            await world.raise_alert(rule.id, unit if rule.scope == "unit" else "", minutes=45)
        for lang in ("vi", "en"):
            async with page_at(browser, world.site.host, f"/wall?lang={lang}", width, height) as wall:
                await is_live(wall)
                await expect(wall.page.locator('[data-ledger="sent"]')).not_to_have_text("–")
                await expect(tile(wall, "traffic_flow").locator(".trust")).not_to_be_empty()
                await expect(wall.page.locator(".alert:visible .age").first).not_to_be_empty()
                await expect(wall.page.locator("#replay")).to_be_visible(visible=replay is not None)
                assert await wall.page.evaluate(CUT_OFF) == []
                await world.ail(now_ms(), disk_full=FULL)
                await expect(wall.page.locator("#faults")).to_be_visible()
                await wall.page.evaluate(DRAWN)
                assert await wall.page.evaluate(CUT_OFF) == []
                await world.ail(now_ms())
                await expect(wall.page.locator("#faults")).to_be_hidden()
