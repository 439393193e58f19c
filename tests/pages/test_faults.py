"""What ails the centre itself, on the wall, the desk and the phone."""

import msgspec
import pytest
from browser import CUT_OFF, page_at
from pages_world import FULL, LONGEST_UNITS, LOW, MINUTE_MS, World, is_live, log_in
from playwright.async_api import Browser, expect

from sensors.system_clock import now_ms
from streams.fault import Fault, Seen, changes, fold

pytestmark = [pytest.mark.anyio, pytest.mark.long]


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (3840, 2160), (7680, 2160)])
async def test_a_fault_of_the_centre_takes_a_strip_of_its_own_and_nothing_is_cut(
    world: World, browser: Browser, width: int, height: int
) -> None:
    for unit in LONGEST_UNITS:
        await world.raise_alert("wait_long", unit)
    async with page_at(browser, world.site.host, "/wall", width, height) as wall:
        await is_live(wall)
        strip = wall.page.locator("#faults")
        await expect(strip).to_be_hidden()
        await expect(wall.page.locator(".alert:visible").first).to_be_visible()
        rows = await wall.page.locator(".alert:visible").count()
        await world.ail(now_ms(), disk_low=LOW)
        await expect(strip).to_contain_text("Cảnh báo hệ thống: Đĩa sắp đầy – còn 812")
        await expect(strip.locator(".mark")).to_have_attribute("data-sev", "warning")
        await world.ail(now_ms(), bridge_overtaken=Seen("ioc-bridge-1, ioc-bridge-2", "ioc-bridge-1, ioc-bridge-2"))
        await expect(strip).to_contain_text("Cảnh báo hệ thống: Hai cầu nối cùng phần chia tranh nhau – ioc-bridge-1")
        assert await wall.page.evaluate(CUT_OFF) == []
        await world.ail(
            now_ms(), disk_full=FULL, bridge_silent=Seen(), checkpoint_waits=Seen(detail="database or disk is full")
        )
        await expect(strip).to_contain_text("Lỗi hệ thống: Đĩa đầy: ngừng xác nhận – còn 0")
        await expect(strip).to_contain_text("4 phút · và 2 lỗi nữa")
        await expect(strip.locator(".mark")).to_have_attribute("data-sev", "critical")
        if width / height < 2.5:
            await expect(wall.page.locator("#alerts-more")).to_have_text(f"và {len(LONGEST_UNITS) - rows + 2} mục nữa")
        assert await wall.page.evaluate(CUT_OFF) == []
        await world.ail(now_ms())
        await expect(strip).to_be_hidden()
        await expect(wall.page.locator(".alert:visible")).to_have_count(rows)


async def test_desk_and_phone_name_the_centres_faults_and_what_a_dead_process_said_is_not_believed(
    world: World, browser: Browser
) -> None:
    # Said a minute ahead, so that it is news for as long as the test looks at it.
    await world.ail(now_ms() + MINUTE_MS, disk_full=FULL, bridge_silent=Seen())
    async with page_at(browser, world.site.host, "/login") as desk:
        await log_in(desk)
        faults = desk.page.locator(".fault")
        await expect(faults).to_have_count(2)
        await expect(faults.first).to_contain_text("Đĩa đầy: ngừng xác nhận – còn 0")
        await expect(faults.last).to_contain_text("Cầu nối MQTT im lặng")
        async with page_at(browser, world.site.host, "/leader?lang=en", 390, 844) as leader:
            fault = leader.page.locator("#fault")
            await expect(fault).to_have_text(f"System fault: Disk full: acknowledging stopped – {FULL.en}")
            assert await leader.page.evaluate("document.documentElement.scrollWidth") <= 390
    old = Fault("disk_full", 1, now_ms() - 16_000, "Đĩa đầy", "Disk full")
    async with page_at(browser, world.site.host, "/login") as desk:
        await world.live.publish({"f:disk_full": msgspec.json.encode(old), "f:bridge_silent": None})
        await log_in(desk)
        await expect(desk.page.locator("#me")).to_have_text("truc-ban")
        await expect(desk.page.locator(".fault")).to_have_count(0)


async def test_what_two_workers_tell_is_shown_once_and_stays_while_one_of_them_sees_it(
    world: World, browser: Browser
) -> None:
    at = now_ms() + MINUTE_MS
    await world.ail(at, checkpoint_waits=Seen(detail="away"))
    other = fold({}, {"checkpoint_waits": Seen(detail="no answer")}, at)
    await world.live.publish(changes({}, other, "worker-2"))
    async with page_at(browser, world.site.host, "/wall") as wall:
        await is_live(wall)
        strip = wall.page.locator("#faults")
        await expect(strip).to_contain_text("Lỗi hệ thống: Không ghi được cơ sở dữ liệu3 phút")
        await expect(strip).not_to_contain_text("nữa")
        await world.ail(at)
        await expect(strip).to_contain_text("Không ghi được cơ sở dữ liệu0 giây")
        await world.live.publish(changes(other, {}, "worker-2"))
        await expect(strip).to_be_hidden()
