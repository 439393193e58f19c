"""Hours at 500 messages a second: no process grows, nor does a wall's heap; every message is accounted for.

IOC_SOAK_MINUTES says how long (2 by default; CI 10; the issue's soak 120). The run prints its figures as a table.
"""

import json
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from browser import chromium
from growth import Growth, growth
from mqtt_brokers import Publisher
from playwright.async_api import CDPSession, expect
from up_process import Centre

from streams.toml_catalogue import load_all

pytestmark = [pytest.mark.long, pytest.mark.anyio]

MINUTES = float(os.environ.get("IOC_SOAK_MINUTES", "2"))
A_SECOND = 500
TURN_S = 0.02
"""How often the devices get their turn."""

SAMPLES_MOST = 240
SAMPLE_LEAST_S = 3.0
UNACKNOWLEDGED = 2_000
KINDS = {"traffic": ("speed", "km/h", 40), "noise": ("laeq", "dB", 55)}

IDENTITY_BYTES = 24
"""What the engine may keep of a message until its lateness is over, so that it knows a duplicate."""

SHARE_MOST = 0.03
"""A rise over the second half that is called flat: 3 % of the level, or MB_MOST, whichever is more …"""

MB_MOST = {"supervisor": 1.5, "broker": 4.0, "engine": 4.0, "bridge": 3.0}
"""… allocators and garbage collectors hold what they had at their busiest; the broker is Go."""

HEAP_MB_MOST = 0.25
NODES_MOST = 5.0


class Soak(NamedTuple):
    samples: dict[str, list[tuple[float, float]]]
    published: int
    acknowledged: int


class Devices:
    """500 devices, one message a second each for MINUTES, every one different; by the clock, and later where the
    machine was too busy: paho looks through all that it has queued at every PUBACK, and would never catch up.

    `told_all` is set when they end.
    """

    def __init__(self, port: int) -> None:
        units = sorted(load_all().place.units)
        kinds = sorted(KINDS)
        self._topics = [
            (f"ioc/{units[number % len(units)]}/{kinds[number % 2]}/s{number}", KINDS[kinds[number % 2]])
            for number in range(A_SECOND)
        ]
        self._publisher = Publisher(port, "devices", UNACKNOWLEDGED)
        self.told_all = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        started = time.monotonic()
        told, all_of_them = 0, int(MINUTES * 60 * A_SECOND)
        try:
            while told < all_of_them and not self.told_all.wait(TURN_S):
                due = min(all_of_them, int((time.monotonic() - started) * A_SECOND))
                for number in range(told, due):
                    topic, (quantity, unit, level) = self._topics[number % A_SECOND]
                    record = {"n": quantity, "u": unit, "t": time.time(), "v": level + number % 9}
                    record["seq"] = number // A_SECOND
                    self._publisher.publish_paced(topic, json.dumps([record]).encode(), UNACKNOWLEDGED)
                told = due
        finally:
            self.told_all.set()

    def end(self) -> tuple[int, int]:
        """What was published and what was acknowledged; ends them where they have not ended."""
        self.told_all.set()
        self._thread.join()
        self._publisher.settle(120)
        self._publisher.close()
        return self._publisher.published, self._publisher.acknowledged


def resident_mb(pid: int) -> float:
    """RSS of a process, in MB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024


@asynccontextmanager
async def wall_at(port: int) -> AsyncIterator[CDPSession]:
    """A headless wall, and the line to its engine room."""
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 1920, "height": 1080})
        await page.goto(f"http://127.0.0.1:{port}/wall")
        await expect(page.locator("html[data-link=live]")).to_be_visible(timeout=30_000)
        yield await page.context.new_cdp_session(page)


async def of_wall(devtools: CDPSession) -> dict[str, float]:
    """Heap in MB after a collection, DOM nodes and listeners."""
    await devtools.send("HeapProfiler.collectGarbage")
    heap = await devtools.send("Runtime.getHeapUsage")
    counters = await devtools.send("Memory.getDOMCounters")
    return {
        "wall heap": heap["usedSize"] / 2**20, "wall nodes": counters["nodes"],
        "wall listeners": counters["jsEventListeners"],
    }  # fmt: skip


async def soaked(centre: Centre) -> Soak:
    """Run for MINUTES, looking at everything every few seconds."""
    pids = {"supervisor": centre.process.pid}
    for name, word in (("broker", "nats-server"), ("engine", "engine"), ("bridge", "bridge")):
        pid = centre.pid(word)
        assert pid is not None, f"no {name}"
        pids[name] = pid
    every_s = max(SAMPLE_LEAST_S, MINUTES * 60 / SAMPLES_MOST)
    samples: dict[str, list[tuple[float, float]]] = {}
    async with wall_at(centre.port) as devtools:
        devices = Devices(centre.mqtt_port)
        started = time.monotonic()
        try:
            while not await anyio.to_thread.run_sync(devices.told_all.wait, every_s):
                elapsed = time.monotonic() - started
                seen: dict[str, float] = {name: resident_mb(pid) for name, pid in pids.items()}
                seen |= await of_wall(devtools)
                for name, value in seen.items():
                    samples.setdefault(name, []).append((elapsed, value))
                assert not centre.ended()
        finally:
            published, acknowledged = await anyio.to_thread.run_sync(devices.end)
    assert pids["engine"] == centre.pid("engine"), "the engine was started again"
    assert pids["bridge"] == centre.pid("bridge"), "the bridge was started again"
    return Soak(samples, published, acknowledged)


def allowed(name: str, found: Growth) -> float:
    """The rise over the second half that is called flat."""
    if name == "wall heap":
        return HEAP_MB_MOST
    if name.startswith("wall"):
        return NODES_MOST
    horizon_s = max(load_all().kinds[kind].lateness_s for kind in KINDS)
    filling_s = max(0.0, min(MINUTES * 60, horizon_s) - MINUTES * 30)
    identities_mb = A_SECOND * filling_s * IDENTITY_BYTES / 2**20 if name == "engine" else 0.0
    return max(SHARE_MOST * found.mean, MB_MOST[name]) + identities_mb


def table(found: dict[str, Growth]) -> str:
    """For docs/measurements.md."""
    rows = [f"| {MINUTES:g} min at {A_SECOND}/s | first | last | mean, 2nd half | rise, 2nd half | ± | allowed |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name, one in found.items():
        rows.append(
            f"| {name} | {one.first:.2f} | {one.last:.2f} | {one.mean:.2f} | {one.rise:+.2f} | {one.error:.2f} "
            f"| {allowed(name, one):.2f} |"
        )
    return "\n".join(rows)


async def test_nothing_grows_and_every_message_is_accounted_for(tmp_path: Path) -> None:
    with Centre(tmp_path / "data", "--no-simulate") as centre:
        centre.ready()
        soak = await soaked(centre)
        assert soak.acknowledged == soak.published >= 0.9 * MINUTES * 60 * A_SECOND
        ledger: dict[str, Any] = await anyio.to_thread.run_sync(centre.settled, soak.published)
    found = {name: growth(samples) for name, samples in soak.samples.items()}
    print(f"\n{table(found)}\n{soak.published} published and acknowledged; ledger {ledger}")
    assert (ledger["accepted"], ledger["rejected"], ledger["too_late"]) == (soak.published, 0, 0)
    assert (ledger["in_flight"], ledger["difference"]) == (0, 0)
    assert ledger["received"] == ledger["accepted"] + ledger["duplicate"]
    grown = {name: one for name, one in found.items() if one.rise > allowed(name, one)}
    assert not grown, f"grown:\n{table(grown)}"
