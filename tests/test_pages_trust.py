"""The pages tell the truth: what is missing, what was corrected, which clocks are off, that a replay is one."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browser import CUT_OFF, Watched, chromium, page_at
from pages_world import (
    DEFINITIONS,
    LEDGER,
    LONGEST_UNITS,
    MINUTE_MS,
    PLACE,
    World,
    hear_trouble,
    is_live,
    log_in,
    store_in,
    tile,
    world_of,
)
from playwright.async_api import Browser, expect

from control_center.http_context import ReplaySpan
from control_center.http_gateway import GatewaySettings
from control_center.toml_walls import SHIPPED_WALLS
from control_center.wall import FONT_REM
from sensors.system_clock import now_ms
from streams.beat import State, Value
from streams.sql_store import SqlStore

pytestmark = [pytest.mark.anyio, pytest.mark.long]

FIVE_MINUTES = 5 * MINUTE_MS
MORNING = ReplaySpan(1_795_478_400_000, 1_795_482_000_000, 30)
"""24 November 2026, 07:00 to 08:00 in Vietnam."""

OVERNIGHT = ReplaySpan(1_795_449_600_000, 1_795_485_600_000, 0.5)
HUGE = {name: 4_000 * count for name, count in LEDGER.items()} | {
    "numbered": 3_912_345_678, "unreadable": 12, "missing": 123_456, "readings": 9_000_000_000,
}  # fmt: skip


DRAWN = """() => new Promise((done) => {
  const next = (frames) => requestAnimationFrame(() => (frames ? next(frames - 1) : done()));
  next(3);
})"""
"""What changed size is measured in the next frame, and drawn in the one after."""


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


async def tell_ledger(world: World, **counts: int) -> None:
    await world.live.publish({"l:0": msgspec.json.encode(LEDGER | {"readings": 3_000_000} | counts)})


async def say_fault(world: World) -> None:
    detail = "ngừng xác nhận – còn 0 MB, cần 75 MB"
    words = {"vi": f"Đĩa đầy: {detail}", "en": f"Disk full: {detail}", "detail": detail}
    fault = {"what": "disk_full", "since": now_ms(), "at": now_ms()} | words
    await world.live.publish({"f:disk_full": msgspec.json.encode(fault)})


def closed(kpi: str, ends: list[tuple[int, State, int]]) -> list[Value]:
    """Windows of five minutes: end, state and revision."""
    return [
        Value(kpi, PLACE, end - FIVE_MINUTES, end, 1_100.0, 5, 1, state, revision, end - 1)
        for end, state, revision in ends
    ]


async def shape_of(page: Watched, selector: str) -> str:
    found = await page.page.locator(f"{selector} .mark .shape").get_attribute("d")
    return found or ""


# What was sent and never came


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
                await say_fault(world)
                await expect(wall.page.locator("#faults")).to_be_visible()
                await wall.page.evaluate(DRAWN)
                assert await wall.page.evaluate(CUT_OFF) == []
                await world.live.publish({"f:disk_full": None})
                await expect(wall.page.locator("#faults")).to_be_hidden()


# What is provisional, and what was corrected


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


# The desk


async def desk_at(browser_page: Watched, world: World, address: str) -> None:
    await log_in(browser_page)
    await expect(browser_page.page.locator("#me")).to_have_text("truc-ban")
    await browser_page.page.goto(f"http://{world.site.host}{address}")


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


# A replay


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
    (tmp_path / "walls").mkdir()
    shipped = (SHIPPED_WALLS / "overview.toml").read_text()
    (tmp_path / "walls" / "overview.toml").write_text(shipped.replace("height_mm = 1370", "height_mm = 685"))
    async with world_of(store, GatewaySettings(overlay=tmp_path, replay=OVERNIGHT)) as world:
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
