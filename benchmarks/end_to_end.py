"""End to end on this machine: MQTT (QoS 1) → broker → bridge → journal → agents → live store → a websocket client.

    python benchmarks/end_to_end.py [--rate 5000] [--seconds 30]

It starts `ioc up --no-simulate` on a folder of its own. The generator (generator.py) speaks MQTT over a raw socket and
sends at an even rate, every reading stamped with the moment of sending. A message counts as shown when a frame brings
the place's mean flow with an `as` (newest observed time) that is not older. Printed: messages/s by PUBACK and by the
ledger, p50 and p99 of publish → frame, CPU and RSS of each process and of this one, generator and client, under load,
idle, and at 200 messages/s.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]
# ruff: noqa: E402
from generator import TICK_S, Generator
from up_process import Centre

KEY = "k:traffic_flow@22"
PROCESSES = {"broker": "nats-server", "bridge": "bridge", "engine": "engine"}
SHOWN_WAIT_S = 20.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Wall:
    """A websocket client that notes when each newest observed time was shown."""

    def __init__(self, port: int) -> None:
        self._url = f"ws://127.0.0.1:{port}/live?wall=overview"
        self.shown: list[tuple[int, int]] = []
        self.frames = 0

    async def run(self) -> None:
        async with connect(self._url, proxy=None, compression=None, max_size=None) as socket:
            await socket.send('{"t":"hello","v":1,"epoch":"","seq":0}')
            async for text in socket:
                now = time.time_ns() // 1_000_000
                frame: dict[str, Any] = json.loads(text)
                self.frames += 1
                value = frame.get("d", {}).get(KEY) if frame["t"] == "d" else None
                if value is not None:
                    self.shown.append((value["as"], now))


def latencies(sent_at: list[int], shown: list[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For every message, ms from sending to the first frame that is not older."""
    newest = np.maximum.accumulate(np.array([observed for observed, _ in shown]))
    at = np.array([now for _, now in shown])
    sent = np.array(sent_at)
    place = np.searchsorted(newest, sent)
    is_shown = place < len(at)
    return at[place[is_shown]] - sent[is_shown]


def usage(centre: Centre) -> dict[str, tuple[float, float]]:
    """CPU seconds so far and RSS in MB, by process."""
    found = {}
    processes = {name: centre.pid(word) for name, word in PROCESSES.items()}
    for name, pid in {**processes, "generator": os.getpid()}.items():
        assert pid is not None
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        found[name] = ((int(fields[11]) + int(fields[12])) / _CLOCK_TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    return found


async def until_shown(wall: Wall, last: int) -> None:
    while not wall.shown or wall.shown[-1][0] < last:  # noqa: ASYNC110 - the wall only notes
        await asyncio.sleep(TICK_S)


async def phase(
    table: Table, name: str, centre: Centre, wall: Wall, generator: Generator, rate: float, seconds: float
) -> None:
    before, started, first, seen = usage(centre), time.perf_counter(), generator.sent, len(wall.shown)
    if rate:
        await generator.run(rate, seconds)
    else:
        await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    after = usage(centre)
    count = generator.sent - first
    cells = [name, f"{count / took:,.0f}" if count else "–"]
    if count:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until_shown(wall, generator.sent_at[-1]), SHOWN_WAIT_S)
        late = latencies(generator.sent_at[first:], wall.shown[seen:])
        half, most = np.percentile(late, (50, 99))
        cells += [f"{half:.0f}", f"{most:.0f}", f"{len(late):,}/{count:,}"]
    else:
        cells += ["–", "–", "–"]
    for process, (seconds_after, rss) in after.items():
        used = seconds_after - before[process][0]
        each = f" / {used / count * 1e6:.0f} µs" if count else ""
        cells.append(f"{used / took * 100:.0f} %{each} / {rss:.0f} MB")
    table.add_row(*cells)


async def measure(centre: Centre, rates: list[float], seconds: float) -> Table:
    used = [f"{name}: CPU / a message / RSS" for name in (*PROCESSES, "generator")]
    table = Table("phase", "messages/s", "p50 ms", "p99 ms", "shown/sent", *used)
    generator, wall = Generator(), Wall(centre.port)
    await generator.open(centre.mqtt_port)
    watching = asyncio.create_task(wall.run())
    await phase(table, "idle, before", centre, wall, generator, 0, 20)
    for rate in rates:
        await phase(table, f"{rate:,.0f}/s offered", centre, wall, generator, rate, seconds)
    await phase(table, "idle, after", centre, wall, generator, 0, 20)
    ledger = await asyncio.to_thread(centre.settled, 0)
    while ledger["received"] < generator.sent or ledger["in_flight"]:
        ledger = await asyncio.to_thread(centre.settled, 0)
    console = Console(width=180)
    console.print(f"published and acknowledged {generator.acknowledged:,}; ledger: {ledger}")
    watching.cancel()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, action="append", help="messages a second; may be given several times")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Centre(Path(folder) / "data", "--no-simulate") as centre:
        centre.ready()
        table = asyncio.run(measure(centre, options.rate or [200, 5_000], options.seconds))
        Console(width=180).print(table)


if __name__ == "__main__":
    main()
