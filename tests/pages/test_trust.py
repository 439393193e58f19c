"""The wall tells the truth: what was sent and never came, what may still change, and what was corrected."""

import msgspec
import pytest
from browser import Watched, page_at
from pages_world import FIVE_MINUTES, LEDGER, PLACE, World, tile
from playwright.async_api import Browser, expect

from sensors.system_clock import now_ms
from streams.beat import State, Value

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def tell_ledger(world: World, **counts: int) -> None:
    await world.live.publish({"l:0": msgspec.json.encode(LEDGER | {"readings": 3_000_000} | counts)})


def closed(kpi: str, ends: list[tuple[int, State, int]]) -> list[Value]:
    """Windows of five minutes: end, state and revision."""
    return [
        Value(kpi, PLACE, end - FIVE_MINUTES, end, 1_100.0, 5, 1, state, revision, end - 1)
        for end, state, revision in ends
    ]


async def shape_of(page: Watched, selector: str) -> str:
    found = await page.page.locator(f"{selector} .mark .shape").get_attribute("d")
    return found or ""


async def test_the_wall_says_what_was_sent_and_marks_what_never_came(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/wall") as wall:
        figures = wall.page.locator("[data-ledger]")
        await expect(wall.page.locator('[data-ledger="received"]')).to_have_text("1.000.030")
        await expect(wall.page.locator('[data-ledger="sent"]')).to_have_text("–")
        await expect(wall.page.locator('[data-ledger="missing"]')).to_have_text("–")
        await tell_ledger(world, numbered=912, unreadable=3, missing=0)
        await expect(wall.page.locator('[data-ledger="missing"]')).to_have_text("0")
        assert await shape_of(wall, '[data-cell="missing"]') == "", "nothing is marked where nothing is missing"
        await tell_ledger(world, numbered=912, unreadable=3, missing=37)
        for name, text in {"sent": "952", "arrived": "915", "missing": "37"}.items():
            await expect(wall.page.locator(f'[data-ledger="{name}"]')).to_have_text(text)
        await expect(wall.page.locator('[data-cell="missing"] .mark')).to_have_attribute("data-sev", "warning")
        await expect(wall.page.locator('[data-cell="missing"] .label')).to_have_text("Thiếu")
        assert await shape_of(wall, '[data-cell="missing"]') != ""
        await expect(wall.page.locator("#ledger")).to_have_attribute("data-balanced", "true")
        await world.live.publish({"l:1": b'{"received":5,"accepted":3}'})
        await expect(wall.page.locator('[data-cell="difference"] .mark')).to_have_attribute("data-sev", "critical")
        await expect(figures).to_have_count(12)


async def test_a_tile_says_whether_its_value_may_still_change_or_was_changed(world: World, browser: Browser) -> None:
    await world.say("traffic_flow", 1204.0, state="provisional")
    await world.say("noise_leq", 61.2, state="corrected", revision=3)
    async with page_at(browser, world.site.host, "/wall") as wall:
        await expect(tile(wall, "traffic_flow").locator(".trust")).to_have_text("tạm tính")
        await expect(tile(wall, "noise_leq").locator(".trust")).to_have_text("đã sửa lần 3")
        await expect(tile(wall, "satisfaction").locator(".value")).to_have_text("99,4")
        await expect(tile(wall, "satisfaction").locator(".trust")).to_be_empty()
        await world.say("traffic_flow", 1204.0, state="final")
        await expect(tile(wall, "traffic_flow").locator(".trust")).to_be_empty()


async def test_a_closed_window_that_was_corrected_is_told_though_another_is_open(
    world: World, browser: Browser
) -> None:
    end = now_ms() // FIVE_MINUTES * FIVE_MINUTES
    ends: list[tuple[int, State, int]] = [(end - 2 * FIVE_MINUTES, "corrected", 4), (end - FIVE_MINUTES, "final", 0)]
    world.commit(values=closed("traffic_flow", [*ends, (end, "corrected", 2)]))
    await world.say("traffic_flow", 1204.0, state="provisional")
    async with page_at(browser, world.site.host, "/wall", 7680, 2160) as wall:
        await expect(tile(wall, "traffic_flow").locator(".trust")).to_have_text("đã sửa lần 2")
        await expect(tile(wall, "traffic_flow")).to_have_attribute("data-corrected", "2")
        told = wall.page.locator(".trend .trust")
        await expect(told).to_have_text("kỳ mới chốt đã sửa lần 2 · tạm tính · vạch: đã sửa")


async def test_an_older_answer_does_not_undo_a_newer_correction(world: World, browser: Browser) -> None:
    script = """async () => {
      const { OPEN, Series, revisionOf } = await import('/static/series.js');
      const series = new Series(3, 1000);
      series.put(1000, 5, revisionOf('final', 0));
      series.put(1000, 7, revisionOf('corrected', 2));
      series.put(1000, 6, revisionOf('corrected', 1));
      const corrected = series.correctedLast();
      series.put(2000, 8, revisionOf('provisional', 0));
      series.put(2000, 9, revisionOf('provisional', 0));
      const open = [series.isOpen(), series.correctedLast()];
      series.put(2000, 10, revisionOf('final', 0));
      series.put(3000, 11, OPEN);
      series.put(4000, 12, OPEN);
      return [corrected, ...open, series.correctedLast(), [...series.values], [...series.revisions]];
    }"""
    async with page_at(browser, world.site.host, "/wall") as wall:
        assert await wall.page.evaluate(script) == [2, True, 2, 0, [10, 11, 12], [0, -1, -1]]
