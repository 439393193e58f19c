"""The wall in a real browser over a real gateway: what it shows, what becomes of it, and what it does in an outage."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from browser import line_to, page_at
from pages_world import LEDGER, MINUTE_MS, PLACE, UNITS, World, is_live, tile, world_of
from playwright.async_api import Browser, expect

from control_center.http_gateway import GatewaySettings
from sensors.system_clock import now_ms
from streams.beat import Value
from streams.sql_store import SqlStore

pytestmark = [pytest.mark.anyio, pytest.mark.long]


async def test_the_wall_shows_each_indicator_and_what_becomes_of_it(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/wall") as wall:
        await is_live(wall)
        await expect(wall.page.locator(".tile")).to_have_count(12)
        await expect(tile(wall, "air_pm25_24h").locator(".value")).to_have_text("31,9")
        await expect(tile(wall, "air_pm25_24h").locator(".goal")).to_have_text("≤ 45 µg/m³")
        await expect(tile(wall, "air_pm25_24h").locator(".count")).to_have_text("n 1.234")
        await expect(tile(wall, "satisfaction")).to_have_attribute("data-state", "normal")
        await world.say("satisfaction", 98.2)
        await expect(tile(wall, "satisfaction")).to_have_attribute("data-state", "missed")
        await expect(tile(wall, "satisfaction").locator(".value")).to_have_text("98,2")
        await expect(tile(wall, "satisfaction").locator(".mark")).to_have_attribute("data-sev", "warning")


async def test_a_value_past_its_freshness_is_hatched_and_says_how_old_it_is(world: World, browser: Browser) -> None:
    await world.say("water_level", 2.84, age_ms=44 * MINUTE_MS)
    await world.say("slope_rate", None)
    async with page_at(browser, world.site.host, "/wall") as wall:
        await expect(tile(wall, "water_level")).to_have_attribute("data-state", "stale")
        await expect(tile(wall, "water_level").locator(".age")).to_have_text("cũ 44 phút")
        await expect(tile(wall, "slope_rate")).to_have_attribute("data-state", "none")
        await expect(tile(wall, "slope_rate").locator(".value")).to_have_text("–")


async def test_alerts_stand_in_list_map_and_counts_and_say_who_has_them(world: World, browser: Browser) -> None:
    await world.raise_alert("slope_alarm", "Mông Dương")
    late = await world.raise_alert("heavy_rain", "Bãi Cháy", minutes=41)
    for unit in ("Hà Tu", "Cao Xanh", "Hồng Gai", "Việt Hưng"):
        await world.raise_alert("wait_long", unit)
    async with page_at(browser, world.site.host, "/wall") as wall:
        rows = wall.page.locator(".alert:visible")
        await expect(rows).to_have_count(5)
        await expect(wall.page.locator("#alerts-more")).to_have_text("và 1 mục nữa")
        await expect(rows.first).to_have_attribute("data-sev", "critical")
        await expect(rows.first.locator(".headline")).to_have_text("Bãi thải dịch chuyển 125,0 mm/ngày")
        row = wall.page.locator(f'[data-alert="{late}"]')
        await expect(row.locator(".age")).to_have_text("quá 11 phút")
        await expect(row.locator(".who")).to_have_text("Chưa nhận")
        cell = wall.page.locator(f'.cell[data-unit="{UNITS["Mông Dương"]}"]')
        await expect(cell).to_have_attribute("data-sev", "critical")
        await expect(wall.page.locator('.cell[data-sev="nodata"]')).to_have_count(1)
        await expect(wall.page.locator('#counts [data-count="notice"] b')).to_have_text("4")
        world.alerts[late] |= {"state": "ack_active", "acked_by": "binh", "revision": 1}
        await world.publish_alert(late)
        await expect(row.locator(".who")).to_have_text("binh")
        await expect(row).to_have_attribute("data-claimed", "true")
        await world.live.publish({f"a:{late}": None})
        await expect(wall.page.locator(f'.alert:visible[data-alert="{late}"]')).to_have_count(0)


async def test_the_ledger_adds_up_and_says_so_when_it_does_not(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/wall") as wall:
        shown = {name: f"{count:,}".replace(",", ".") for name, count in LEDGER.items()}
        for name, text in (shown | {"difference": "0", "pending": "12", "silent": "1"}).items():
            await expect(wall.page.locator(f'[data-ledger="{name}"]')).to_have_text(text)
        await expect(wall.page.locator("#ledger")).to_have_attribute("data-balanced", "true")
        await world.live.publish({"l:1": b'{"received":5,"accepted":3}'})
        await expect(wall.page.locator('[data-ledger="difference"]')).to_have_text("2")
        await expect(wall.page.locator("#ledger")).to_have_attribute("data-balanced", "false")


@pytest.mark.parametrize("fault", ["cut", "freeze"])
async def test_an_outage_is_said_and_only_what_was_missed_is_sent_after_it(
    world: World, browser: Browser, fault: str
) -> None:
    async with line_to(world.site.host) as line, page_at(browser, line.host, "/wall") as wall:
        await is_live(wall)
        await expect(tile(wall, "rain_1h").locator(".value")).to_have_text("112,4")
        getattr(line, fault)()
        await expect(wall.page.locator("html[data-link=slow]")).to_be_visible()
        await expect(wall.page.locator("html[data-link=down]")).to_be_visible()
        await expect(wall.page.locator("#banner")).to_contain_text("số liệu trên màn hình là của")
        await world.say("rain_1h", 55.5)
        heard = len(wall.frames)
        line.mend()
        await is_live(wall)
        await expect(tile(wall, "rain_1h").locator(".value")).to_have_text("55,5")
        resumed = wall.frames[heard:]
        assert {frame["t"] for frame in resumed} <= {"d", "hash"}, "a wall that was away is not sent everything again"
        assert [list(frame["d"]) for frame in resumed if frame.get("d")] == [[f"k:rain_1h@{PLACE}"]]


async def test_the_wall_proves_that_it_holds_what_the_server_holds(world: World, browser: Browser) -> None:
    strange = {"v": 1e21, "n": 1e-7, "é": 'Bãi Cháy \u2028 "\\', "many": [0.1, -0.0, 1e300, None, True]}
    await world.live.publish({"b:strange": msgspec.json.encode(strange), "b:gone": b"{}"})
    async with page_at(browser, world.site.host, "/wall") as wall:
        await is_live(wall)
        await world.live.publish({"b:gone": None})
        await wall.until(lambda: sum(frame["t"] == "hash" for frame in wall.frames) >= 2, "two proofs of the state")
        await expect(wall.page.locator("html")).to_have_attribute("data-disproved", "0")
        assert sum(frame["t"] == "meta" for frame in wall.frames) == 1


async def test_the_wall_speaks_english(world: World, browser: Browser) -> None:
    await world.raise_alert("heavy_rain", "Bãi Cháy", minutes=41)
    async with page_at(browser, world.site.host, "/wall?lang=en&theme=day") as wall:
        await expect(tile(wall, "rain_1h").locator(".name")).to_have_text("Rain, 1 h")
        await expect(tile(wall, "rain_1h").locator(".value")).to_have_text("112.4")
        await expect(wall.page.locator(".alert:visible .headline")).to_have_text("125.0 mm of rain in 1 hour")
        await expect(wall.page.locator(".alert:visible .age")).to_have_text("11 min late")
        await expect(wall.page.locator("#map-note")).to_have_text("Schematic – not administrative boundaries")


@pytest.mark.parametrize(("day", "name"), [(31, "Tỉnh Quảng Ninh"), (32, "Thành phố Quảng Ninh")])
async def test_clock_and_title_follow_the_servers_time_in_the_places_zone(
    store: SqlStore, browser: Browser, day: int, name: str
) -> None:
    midday = datetime(2026, 8, 1, 5, 0, tzinfo=UTC) + timedelta(days=day - 1)
    shift = int(midday.timestamp() * 1000) - now_ms()
    async with world_of(store, GatewaySettings(), clock=lambda: now_ms() + shift) as world:
        await world.say_all()
        async with page_at(browser, world.site.host, "/wall") as wall:
            await expect(wall.page.locator("#title")).to_have_text(name)
            await expect(wall.page.locator("#clock")).to_contain_text("12:0")


async def test_a_thousand_changes_leave_the_dom_as_large_as_it_was(world: World, browser: Browser) -> None:
    async with page_at(browser, world.site.host, "/wall") as wall:
        await is_live(wall)
        await expect(wall.page.locator("path.cell")).to_have_count(54)
        await expect(tile(wall, "traffic_flow").locator(".value")).to_have_text("1.204")
        before = await wall.page.locator("*").count()
        for number in range(1000):
            await world.say("traffic_flow", float(number))
            if number % 100 == 0:
                await world.raise_alert("wait_long", list(UNITS)[number // 100])
        await expect(tile(wall, "traffic_flow").locator(".value")).to_have_text("999")
        await expect(wall.page.locator(".alert:visible")).to_have_count(5)
        assert await wall.page.locator("*").count() == before


async def test_a_walls_token_goes_with_all_that_it_asks(store: SqlStore, browser: Browser) -> None:
    async with world_of(store, GatewaySettings(wall_token="the-token")) as world:
        await world.say_all()
        async with page_at(browser, world.site.host, "/wall?token=the-token") as wall:
            await is_live(wall)
            await expect(wall.page.locator("path.cell")).to_have_count(54)
        async with page_at(browser, world.site.host, "/wall") as stranger:
            await expect(stranger.page.locator("#enter")).to_be_visible()


async def test_history_before_the_page_was_opened_gives_the_change_of_one_hour(world: World, browser: Browser) -> None:
    end = now_ms() // 300_000 * 300_000
    ends = range(end - 3 * 3_600_000, end + 1, 300_000)
    rows = [Value("traffic_speed", PLACE, at - 300_000, at, 30.0, 5, 1, "final", 0, at - 1) for at in ends]
    world.commit(values=rows)
    await world.say("traffic_speed", 34.5)
    async with page_at(browser, world.site.host, "/wall") as wall:
        await expect(tile(wall, "traffic_speed").locator(".change")).to_have_text("▲ 4,5/1h")
