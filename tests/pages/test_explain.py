"""A number followed back to its messages on the desk: a real processor's history and journal, in a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser import page_at
from pages_world import DEFINITIONS, FIVE_MINUTES, MINUTE_MS, PLACE, UNITS, World, desk_at, store_in, world_of
from playwright.async_api import Browser, expect
from small_world import cloudevent, senml
from told import Message
from whole_processor import WholeProcessor

from control_center.http_gateway import GatewaySettings
from sensors.system_clock import now_ms

pytestmark = [pytest.mark.anyio, pytest.mark.long]

UNIT, OTHER = UNITS["Bãi Cháy"], UNITS["Hà Tu"]
START = now_ms() // FIVE_MINUTES * FIVE_MINUTES - 4 * FIVE_MINUTES
CLOSED = START + 2 * FIVE_MINUTES
"""The end of a window that cam-2 amended later."""


def heard(minute: int) -> list[Message]:
    """What cameras and a desk send in one minute: twice the same at first, and one reading that comes late."""
    at = START + minute * MINUTE_MS
    cam = f"ioc/{UNIT}/traffic/cam-1", senml("speed", at - 2_000, 30.0 + minute, u="km/h")
    said = [cam, cam] if minute == 6 else [cam]
    said.append((f"ioc/{OTHER}/traffic/cam-9", senml("speed", at - 1_000, 60.0, u="km/h")))
    if minute == 14:
        said.append((f"ioc/{UNIT}/traffic/cam-2", senml("speed", CLOSED - MINUTE_MS, 12.0, u="km/h")))
    ticket = {"ticket": f"A{minute}", "field": "dat_dai"}
    said.append((f"ioc/{UNIT}/queue/desk-1", cloudevent("queue", "taken", at - 1_000, 2 * minute, **ticket)))
    if minute >= 6:
        earlier = ticket | {"ticket": f"A{minute - 6}"}
        said.append((f"ioc/{UNIT}/queue/desk-1", cloudevent("queue", "called", at - 500, 2 * minute + 1, **earlier)))
    return [Message(topic, payload, at, False) for topic, payload in said]


async def process(folder: Path) -> None:
    """Twenty minutes of a real processor, over files in `folder`."""
    processor = WholeProcessor(DEFINITIONS, folder, START, 2)
    for minute in range(1, 20):
        now = START + minute * MINUTE_MS
        await processor.live(heard(minute), now)
        for pause in (20_000, 40_000):
            await processor.live([], now + pause)
    await processor.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    await process(tmp_path)
    settings = GatewaySettings(journal=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    async with world_of(store_in(tmp_path), settings) as made:
        await made.say_all()
        yield made


async def test_a_linked_number_is_told_from_its_value_to_its_messages(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, f"/desk#kpi/traffic_speed@{UNIT}?t={CLOSED}")
        told = desk.page.locator(".explain.page")
        await expect(told.locator("h2")).to_have_text("Tốc độ trung bình của dòng xe, 5 phút · Phường Bãi Cháy")
        await expect(told.locator(".value b")).to_have_text("33,7")
        await expect(told.locator(".value .state")).to_have_text("đã sửa lần 1")
        await expect(told.locator(".again")).to_have_attribute("data-matches", "true")
        await expect(told.locator(".again")).to_contain_text("Tính lại từ thông điệp: khớp")
        await expect(told.locator(".origin").first).to_contain_text("6 số đo từ 2 nguồn")
        await expect(told.locator(".bounds")).to_contain_text("Giao thông ùn ứ")
        shares = told.locator(".shares li")
        await expect(shares).to_have_count(2)
        await expect(told.locator('.shares [data-source="cam-1"] .share')).to_have_text("83,3 %")
        await expect(told.locator("details.messages > p").first).to_be_hidden()
        await told.locator("details.messages > summary").click()
        twice = told.locator('.message[data-outcome="duplicate"]')
        await expect(twice).to_have_count(1)
        await twice.locator("summary").click()
        await expect(twice.locator("pre")).to_contain_text('"v": 36.0')
        await expect(twice).to_contain_text("phân vùng")
        await expect(told.locator(".message", has_text="cam-2")).to_contain_text("được tính")


async def test_the_whole_place_leads_to_its_units_and_they_to_their_sources(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/login?lang=en") as desk:
        await desk_at(desk, world, f"/desk?lang=en#kpi/traffic_speed@{PLACE}?t={CLOSED}")
        units = desk.page.locator(".shares [data-unit]")
        await expect(units).to_have_count(2)
        await units.filter(has_text="Hà Tu").locator("a").click()
        await expect(desk.page.locator(".explain h2")).to_have_text("Mean traffic speed, 5 minutes · Phường Hà Tu")
        await expect(desk.page.locator(".explain .value b")).to_have_text("60.0")
        assert await desk.page.evaluate("location.hash") == f"#kpi/traffic_speed@{OTHER}?t={CLOSED}"
        await desk.page.go_back()
        await expect(units).to_have_count(2)
        await desk.page.keyboard.press("Escape")
        await expect(desk.page.locator(".queue")).to_be_visible()


async def test_an_alerts_number_is_followed_back_where_the_alert_is(world: World, browser: Browser) -> None:
    alert = await world.raise_alert("wait_long", "Bãi Cháy")
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, f"/desk#alert/{alert}")
        lineage = desk.page.locator("#detail .lineage")
        await lineage.locator("> summary").click()
        await expect(lineage.locator(".again")).to_contain_text("Tính lại từ thông điệp: khớp")
        await lineage.locator("details.messages > summary").click()
        called = lineage.locator('.message[data-outcome="counted"]').first
        await called.locator("summary").click()
        await expect(called).to_contain_text("Cùng phiếu")
        await expect(called.locator("pre")).to_have_count(2)
        then = desk.page.locator("#detail .moments a").nth(1)
        raised = world.alerts[alert]["raised_at"]
        await expect(then).to_have_attribute("href", f"#kpi/wait_p90@{UNIT}?t={raised}")


async def test_what_cannot_be_explained_is_said_in_words(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/login") as desk:
        await desk_at(desk, world, f"/desk#kpi/nope@{UNIT}")
        await expect(desk.page.locator('[data-explained="error"]')).to_have_text("không có chỉ tiêu nope")


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (3840, 2160), (390, 844)])
async def test_an_explanation_is_no_wider_than_the_screen(
    world: World, browser: Browser, width: int, height: int
) -> None:
    async with page_at(browser, world.site.host, "/login", width, height) as desk:
        await desk_at(desk, world, f"/desk#kpi/traffic_speed@{PLACE}")
        await expect(desk.page.locator(".explain .value b")).to_be_visible()
        await desk.page.locator("details.messages > summary").click()
        assert await desk.page.evaluate("document.documentElement.scrollWidth") <= width
        work = "() => { const work = document.querySelector('#work'); return work.scrollWidth - work.clientWidth; }"
        assert await desk.page.evaluate(work) <= 0
