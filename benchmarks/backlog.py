"""A backlog drained by `ioc up` while live data comes in: how long it takes, and how old the live figure is meanwhile.

    python benchmarks/backlog.py [--messages 900000] [--live 500]

The journal of a fresh data folder is filled as a bridge fills it, with the last three minutes at 5,000 messages a
second, while no engine runs. Then `ioc up --no-simulate` is started, and devices publish at `--live` messages a second
from the moment the broker listens. Drained: less than a second's live messages are unaccounted. Both by a websocket
client, every 100 ms: how long a message published then took until a figure with it was shown; and the age of what is
shown, now − newest observed time of the place's mean flow, which is that of the backlog until it is drained.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]
# ruff: noqa: E402
from end_to_end import Wall, usage
from generator import Generator, Packets
from up_process import Centre

from control_center.embedded_settings import PARTITIONS
from sensors.packet import PacketReader
from sensors.packing import Packer
from sensors.sqlite_journal import SqliteJournal

STEP = 500
STEP_MS = 100
FRESH_MS = 5_000
DEADLINE_S = 600.0


async def fill(path: Path, count: int) -> None:
    """Journal `count` messages whose times end now, without a bridge."""
    path.parent.mkdir(parents=True, mode=0o700)
    journal = SqliteJournal.open(path, PARTITIONS)
    packer, packets, reader = Packer("bench-fill", PARTITIONS, {}), Packets(), PacketReader(is_five=False)
    begin = time.time_ns() // 1_000_000 - count // STEP * STEP_MS
    for number in track(range(count // STEP), "nhật ký / filling the journal", transient=True):
        at = begin + number * STEP_MS
        publishes, _ = reader.feed(packets.take(number * STEP, STEP, at))
        packer.add(publishes, at)
        if number % 4 == 3 or number == count // STEP - 1:
            await journal.append(packer.seal(at))
    await journal.close()


class Drained(NamedTuple):
    """Seconds from the start of `ioc up`: until ready, until drained; the ledger then."""

    ready_s: float
    drained_s: float
    ledger: dict[str, Any]


async def drained(centre: Centre, started: float, count: int, live: float) -> Drained:
    ready_s = 0.0
    while time.perf_counter() - started < DEADLINE_S:
        ready_s = ready_s or (time.perf_counter() - started if await asyncio.to_thread(centre.tries, "/ready") else 0)
        ledger = await asyncio.to_thread(centre.tries, "/api/ledger")
        if ledger and ledger["received"] - ledger["in_flight"] >= count and ledger["in_flight"] <= live:
            return Drained(ready_s, time.perf_counter() - started, ledger)
        await asyncio.sleep(0.2)
    raise AssertionError(f"not drained in {DEADLINE_S:.0f} s: {ledger}\n{centre.logs()}")


async def until_open(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        await asyncio.sleep(0.05)


def ages(shown: list[tuple[int, int]], begin: int, end: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Every 100 ms from `begin` to `end` (ms UTC): how old the newest figure shown by then is."""
    at = np.arange(begin, end, 100)
    seen_at = np.array([now for _, now in shown])
    newest = np.maximum.accumulate(np.array([observed for observed, _ in shown]))
    place = np.searchsorted(seen_at, at, side="right") - 1
    return at[place >= 0] - newest[place[place >= 0]]


def delays(shown: list[tuple[int, int]], begin: int, end: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Every 100 ms from `begin` to `end` (ms UTC): how long until what was observed then, or later, was shown."""
    at = np.arange(begin, end, 100)
    newest = np.maximum.accumulate(np.array([observed for observed, _ in shown]))
    place = np.searchsorted(newest, at, side="left")
    return np.array([now for _, now in shown])[place] - at


async def measure(centre: Centre, count: int, live: float) -> Table:
    started = time.perf_counter()
    centre.start()
    generator, wall = Generator(), Wall(centre.port)
    await until_open(centre.mqtt_port)
    await generator.open(centre.mqtt_port)
    publishing = asyncio.create_task(generator.run(live, DEADLINE_S))
    begin = time.time_ns() // 1_000_000
    await until_open(centre.port)
    watching = asyncio.create_task(wall.run())
    done = await drained(centre, started, count, live)
    drained_at = time.time_ns() // 1_000_000
    memory = usage(centre)["engine"][1]
    await asyncio.sleep(3)
    publishing.cancel()
    watching.cancel()
    during = ages(wall.shown, begin, drained_at)
    until_shown = delays(wall.shown, begin, drained_at)
    table = Table(
        "backlog",
        "ready s",
        "drained s",
        "messages/s",
        "live shown after: p50 s",
        "most s",
        "age of what is shown > 5 s",
    )
    table.add_row(
        f"{count:,}", f"{done.ready_s:.1f}", f"{done.drained_s:.1f}", f"{count / done.drained_s:,.0f}",
        f"{np.percentile(until_shown, 50) / 1000:.1f}", f"{until_shown.max() / 1000:.1f}",
        f"{(during > FRESH_MS).mean() * (drained_at - begin) / 1000:.1f} s of {(drained_at - begin) / 1000:.1f}",
    )  # fmt: skip
    after = ages(wall.shown, drained_at + 1_000, drained_at + 3_000)
    table.caption = (
        f"after: at most {after.max() / 1000:.1f} s old; engine {memory:.0f} MB; "
        f"{generator.sent:,} live messages, {generator.acknowledged:,} acknowledged; ledger {done.ledger}"
    )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=900_000)
    parser.add_argument("--live", type=float, default=500, help="live messages a second meanwhile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        centre = Centre(Path(folder) / "data", "--no-simulate")
        asyncio.run(fill(centre.data / "journal.sqlite", options.messages))
        try:
            Console(width=150).print(asyncio.run(measure(centre, options.messages, options.live)))
        finally:
            centre.stop()


if __name__ == "__main__":
    main()
