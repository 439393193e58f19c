"""The world of the tests of pages: a real gateway over real stores that stands still, and the hand that moves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from browser import Watched
from gateway_client import Site, served
from playwright.async_api import Locator, expect
from small_world import Feed, Message, senml

from control_center.argon2_accounts import hash_password
from control_center.http_context import ReplaySpan
from control_center.http_gateway import GatewaySettings, build_gateway
from control_center.sql_accounts import SqlAccounts
from control_center.toml_walls import SHIPPED_WALLS
from sensors.system_clock import now_ms
from streams.alert import Alert
from streams.beat import Counts
from streams.catalogue import compile_catalogue
from streams.checkpoint import Checkpoint
from streams.fault import WORDS, Seen, changes, fold
from streams.live_keys import alert_texts, ledger_entry
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

DEFINITIONS = load_all()
CATALOGUE = compile_catalogue(DEFINITIONS.place, DEFINITIONS.kinds, DEFINITIONS.kpis, DEFINITIONS.rules)
PLACE = DEFINITIONS.place.code
UNITS = {unit.name: unit.code for unit in DEFINITIONS.place.units.values()}
LONGEST_UNITS = sorted(UNITS, key=len, reverse=True)[:8]
MINUTE_MS = 60_000
FIVE_MINUTES = 5 * MINUTE_MS
MORNING = ReplaySpan(1_795_478_400_000, 1_795_482_000_000, 30)
"""24 November 2026, 07:00 to 08:00 in Vietnam."""

OVERNIGHT = ReplaySpan(1_795_449_600_000, 1_795_485_600_000, 0.5)

PASSWORD = "k7mp-x3qz-9hda"
FIGURES = {
    "vn_aqi": 87.0, "air_pm25_24h": 31.9, "rain_1h": 112.4, "water_level": 2.84, "slope_rate": 1.3, "noise_leq": 61.2,
    "traffic_flow": 1204.0, "traffic_speed": 34.1, "tickets_today": 12345.0, "wait_within_15": 93.1, "wait_p90": 18.4,
    "satisfaction": 99.4,
}  # fmt: skip

LOW = Seen("còn 812\u00a0MB, cần 1024\u00a0MB", "812\u00a0MB left, 1024\u00a0MB needed")
FULL = Seen("còn 0\u00a0MB, cần 75\u00a0MB", "0\u00a0MB left, 75\u00a0MB needed")
LEDGER = {"received": 1_000_030, "accepted": 1_000_000, "duplicate": 11, "too_late": 7, "rejected": 3, "in_flight": 9}


class World:
    """One gateway with its stores, and the hand that says what happens."""

    def __init__(self, store: SqlStore, live: MemoryLive, site: Site) -> None:
        self.store, self.live, self.site = store, live, site
        self.alerts: dict[str, dict[str, Any]] = {}

    async def say(
        self, kpi: str, value: float | None, age_ms: int = 1_000, state: str = "final", revision: int = 0
    ) -> None:
        now = now_ms()
        window = {"from": now - 300_000, "to": now, "as": now - age_ms}
        row = {"v": value, "n": 1234, "src": 14, **window, "st": state, "rev": revision}
        await self.live.publish({f"k:{kpi}@{PLACE}": msgspec.json.encode(row)})

    async def say_all(self) -> None:
        for kpi, value in FIGURES.items():
            await self.say(kpi, value)
        silent = msgspec.json.encode({f"{UNITS['Cô Tô']}/level/tide-1": now_ms()})
        ledger = msgspec.json.encode(LEDGER | {"readings": 3_000_000})
        await self.live.publish({"l:0": ledger, "b:one": b'{"pending":12,"at":1}', "s:silent": silent})

    async def raise_alert(self, rule: str, unit: str = "", minutes: int = 4, **fields: Any) -> str:
        definition, now = DEFINITIONS.rules[rule], now_ms()
        scope = UNITS[unit] if unit else PLACE
        raised = now - minutes * MINUTE_MS
        due, name = raised + 30 * MINUTE_MS, f"{rule}-{scope}"
        made = Alert(name, rule, scope, "", definition.severity, "unack_active", raised, due, 125.0)
        self.alerts[made.id] = alert_texts(made, CATALOGUE) | fields
        await self.publish_alert(made.id)
        return made.id

    async def publish_alert(self, alert: str) -> None:
        await self.live.publish({f"a:{alert}": msgspec.json.encode(self.alerts[alert])})

    async def carry_out(self) -> list[str]:
        """Do what people told the workers to do."""
        told = self.store.waiting_commands()
        for command in told:
            alert = self.alerts[command.alert]
            alert["revision"] += 1
            if command.op == "acknowledge":
                alert |= {"state": "ack_active", "acked_by": command.who, "acked_at": now_ms()}
            await self.publish_alert(command.alert)
        return [command.op for command in told]

    async def ail(self, at: int, **seen: Seen) -> None:
        """Say at this time (ms UTC) that these faults stand, since four minutes ago; delete all others."""
        begun = fold({}, {what: Seen() for what in WORDS if what in seen}, at - 4 * MINUTE_MS)
        told = fold(begun, {what: seen[what] for what in WORDS if what in seen}, at)
        await self.live.publish(changes({}, told) | {f"f:{what}": None for what in WORDS if what not in seen})

    def commit(self, **parts: Any) -> None:
        assert self.store.commit(Checkpoint(0, -1, 0, 0, now_ms(), b"", parts.pop("totals", Counts()), **parts))


def store_in(folder: Path) -> SqlStore:
    """A history of its own, with one operator."""
    made = SqlStore(f"sqlite:///{folder / 'history.sqlite'}")
    made.migrate()
    SqlAccounts(made.engine).add_account("truc-ban", hash_password(PASSWORD), "operator", now_ms())
    return made


@asynccontextmanager
async def world_of(store: SqlStore, settings: GatewaySettings, **options: Any) -> AsyncIterator[World]:
    live = MemoryLive(f"epoch-{now_ms()}")
    async with served(build_gateway(settings, live, store, DEFINITIONS, **options)) as site:
        yield World(store, live, site)


def far_room(folder: Path) -> Path:
    """Definitions of a wall of half the height: its room is far away. Returns the folder."""
    (folder / "walls").mkdir()
    shipped = (SHIPPED_WALLS / "overview.toml").read_text()
    assert "height_mm = 1370" in shipped
    (folder / "walls" / "overview.toml").write_text(shipped.replace("height_mm = 1370", "height_mm = 685"))
    return folder


def tile(watched: Watched, kpi: str) -> Locator:
    return watched.page.locator(f'[data-kpi="{kpi}"]')


async def is_live(watched: Watched) -> None:
    await expect(watched.page.locator("html[data-link=live]")).to_be_visible()


async def log_in(page: Watched, password: str = PASSWORD) -> None:
    await page.page.fill("#name", "truc-ban")
    await page.page.fill("#password", password)
    await page.page.click("#enter")


async def desk_at(page: Watched, world: World, address: str) -> None:
    """Log in on the page that is open, and go to this address of the desk."""
    await log_in(page)
    await expect(page.page.locator("#me")).to_have_text("truc-ban")
    await page.page.goto(f"http://{world.site.host}{address}")


async def hear_trouble(world: World, now: int) -> None:
    """A partition that hears a rain gauge which lost messages and sent one too late, and two clocks that are off."""
    feed, unit = Feed(CATALOGUE, now=now, number=1), UNITS["Bãi Cháy"]

    def told(kind: str, source: str, ago_ms: int, skew_ms: int, seq: int) -> Message:
        quantity, value = ("rain", 1.5) if kind == "rain" else ("speed", 31.0)
        at = now - ago_ms
        return f"ioc/{unit}/{kind}/{source}", senml(quantity, at + skew_ms, value, seq=seq), at

    minutes = [(240, 1), (40, 2), (30, 6), (20, 7), (10, 9)]
    feed.tell(*(told("rain", "rain-7", ago * MINUTE_MS, -1_000, seq) for ago, seq in minutes))
    feed.tell(*(told("traffic", "cam-fast", ago * MINUTE_MS, 70_000, 10 - ago) for ago in (9, 8, 7)))
    feed.tell(*(told("traffic", "cam-slow", ago * MINUTE_MS, -8 * MINUTE_MS, 10 - ago) for ago in (6, 5, 4)))
    feed.tell(told("rain", "rain-7", MINUTE_MS, -3 * 3_600_000, 10), (f"ioc/{unit}/rain/rain-8", b"{", now - 1))
    feed.partition.evaluate(now)
    checkpoint = feed.partition.checkpoint(now)
    assert world.store.commit(checkpoint)
    done, waiting = feed.ordinal, 5
    key, row = ledger_entry(1, done + waiting, done + 2, done, checkpoint.totals, world.store.numbered_totals())
    await world.live.publish({key: row})
