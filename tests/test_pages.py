"""The pages in a real browser over a real gateway: wall, desk, leaders' page, login."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from browser import CUT_OFF, chromium, keeping, line_to, page_at
from pages_world import (
    DEFINITIONS,
    LEDGER,
    LONGEST_UNITS,
    MINUTE_MS,
    PASSWORD,
    PLACE,
    UNITS,
    World,
    is_live,
    log_in,
    store_in,
    tile,
    world_of,
)
from playwright.async_api import Browser, expect

from control_center.http_gateway import GatewaySettings
from control_center.toml_walls import SHIPPED_WALLS
from control_center.wall import FONT_REM
from sensors.system_clock import now_ms
from streams.beat import Rejection, Value
from streams.checkpoint import SummaryRow
from streams.fault import WORDS, Fault, Seen, changes, fold
from streams.sql_store import SqlStore
from streams.summary import Decision, Facts, Figure, Note

pytestmark = [pytest.mark.anyio, pytest.mark.long]


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return store_in(tmp_path)


@pytest.fixture
async def world(store: SqlStore) -> AsyncIterator[World]:
    async with world_of(store, GatewaySettings()) as made:
        await made.say_all()
        yield made


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as made:
        yield made


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=20_000)


# The wall


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
        async with asyncio.timeout(20):
            while sum(frame["t"] == "hash" for frame in wall.frames) < 2:
                await asyncio.sleep(0.1)
        await expect(wall.page.locator("html")).to_have_attribute("data-disproved", "0")
        assert sum(frame["t"] == "meta" for frame in wall.frames) == 1


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


async def test_a_room_far_away_is_shown_the_four_worst(store: SqlStore, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "walls").mkdir()
    shipped = (SHIPPED_WALLS / "overview.toml").read_text()
    (tmp_path / "walls" / "overview.toml").write_text(shipped.replace("height_mm = 1370", "height_mm = 685"))
    async with world_of(store, GatewaySettings(overlay=tmp_path)) as world:
        await world.say_all()
        await world.say("satisfaction", 91.0)
        await world.raise_alert("slope_alarm", LONGEST_UNITS[0])
        async with page_at(browser, world.site.host, "/wall") as wall:
            await expect(wall.page.locator("html")).to_have_attribute("data-layout", "far")
            await expect(wall.page.locator(".tile:visible")).to_have_count(4)
            await expect(tile(wall, "slope_rate")).to_be_visible()
            await expect(tile(wall, "satisfaction")).to_be_visible()
            assert await wall.page.evaluate(CUT_OFF) == []
            await ail(world, disk_full=FULL, bridge_silent=Seen())
            await expect(wall.page.locator("#faults b")).to_be_visible()
            assert await wall.page.evaluate(CUT_OFF) == []


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


# What ails the centre itself


async def ail(world: World, **seen: Seen) -> None:
    """Say these faults, since four minutes ago; delete all others."""
    now = now_ms()
    begun = fold({}, {what: Seen() for what in WORDS if what in seen}, now - 4 * MINUTE_MS)
    told = fold(begun, {what: seen[what] for what in WORDS if what in seen}, now)
    await world.live.publish(changes({}, told) | {f"f:{what}": None for what in WORDS if what not in seen})


LOW = Seen("còn 812\u00a0MB, cần 1024\u00a0MB", "812\u00a0MB left, 1024\u00a0MB needed")
FULL = Seen("còn 0\u00a0MB, cần 75\u00a0MB", "0\u00a0MB left, 75\u00a0MB needed")


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
        await ail(world, disk_low=LOW)
        await expect(strip).to_contain_text("Cảnh báo hệ thống: Đĩa sắp đầy – còn 812")
        await expect(strip.locator(".mark")).to_have_attribute("data-sev", "warning")
        await ail(world, bridge_overtaken=Seen("ioc-bridge-1, ioc-bridge-2", "ioc-bridge-1, ioc-bridge-2"))
        await expect(strip).to_contain_text("Cảnh báo hệ thống: Hai cầu nối cùng phần chia tranh nhau – ioc-bridge-1")
        assert await wall.page.evaluate(CUT_OFF) == []
        await ail(world, disk_full=FULL, bridge_silent=Seen(), checkpoint_waits=Seen(detail="database or disk is full"))
        await expect(strip).to_contain_text("Lỗi hệ thống: Đĩa đầy: ngừng xác nhận – còn 0")
        await expect(strip).to_contain_text("4 phút · và 2 lỗi nữa")
        await expect(strip.locator(".mark")).to_have_attribute("data-sev", "critical")
        if width / height < 2.5:
            await expect(wall.page.locator("#alerts-more")).to_have_text(f"và {len(LONGEST_UNITS) - rows + 2} mục nữa")
        assert await wall.page.evaluate(CUT_OFF) == []
        await ail(world)
        await expect(strip).to_be_hidden()
        await expect(wall.page.locator(".alert:visible")).to_have_count(rows)


async def test_desk_and_phone_name_the_centres_faults_and_what_a_dead_process_said_is_not_believed(
    world: World, browser: Browser
) -> None:
    await ail(world, disk_full=FULL, bridge_silent=Seen())
    beats = keeping(lambda: ail(world, disk_full=FULL, bridge_silent=Seen()), 2.0)
    async with page_at(browser, world.site.host, "/login") as desk, beats:
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


async def test_a_walls_token_goes_with_all_that_it_asks(store: SqlStore, browser: Browser) -> None:
    async with world_of(store, GatewaySettings(wall_token="the-token")) as world:
        await world.say_all()
        async with page_at(browser, world.site.host, "/wall?token=the-token") as wall:
            await is_live(wall)
            await expect(wall.page.locator("path.cell")).to_have_count(54)
        async with page_at(browser, world.site.host, "/wall") as stranger:
            await expect(stranger.page.locator("#enter")).to_be_visible()


# The desk


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


# The leaders' page


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


async def test_history_before_the_page_was_opened_gives_the_change_of_one_hour(world: World, browser: Browser) -> None:
    end = now_ms() // 300_000 * 300_000
    ends = range(end - 3 * 3_600_000, end + 1, 300_000)
    rows = [Value("traffic_speed", PLACE, at - 300_000, at, 30.0, 5, 1, "final", 0, at - 1) for at in ends]
    world.commit(values=rows)
    beats = keeping(lambda: world.say("traffic_speed", 34.5), 0.5)
    async with beats, page_at(browser, world.site.host, "/wall") as wall:
        await expect(tile(wall, "traffic_speed").locator(".change")).to_have_text("▲ 4,5/1h")
