"""Whether the beat goes on while the hour's state is kept (streams/snapshot_keeper.py).

    python benchmarks/hour_turn.py [--sources 100000] [--rate 1700] [--prepared DIR]

Sources in 8 partitions, all definitions as shipped: 17 of 20 count traffic every minute, the others measure rain and
slopes, whose windows of a day are kept by source. A day of these and half an hour of the others are lived through as
fast as it goes (`--prepared` keeps that for the next run), then 10 s before and 20 s after the turn of an hour at the
clock's pace, with `--rate` messages/s. The engine is this process, and so is what feeds it.
"""

import argparse
import asyncio
import pickle
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from rich.console import Console
from rich.table import Table

from sensors.batch import MESSAGES_MAX, Batch, encode
from sensors.csv_place import shipped_place
from sensors.journal import Record
from sensors.topic import partition_of
from streams.beat_engine import Engine
from streams.catalogue import compile_catalogue
from streams.checkpoint import Checkpoint
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

PARTITIONS = 8
TURN_MS = 1_790_002_800_000
BEFORE_S, AFTER_S = 10, 20
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
UNITS = 50
FEED_S = 0.05
AT_ONCE = 2_500
PAYLOADS = {
    "rain": b'[{"n":"rain","u":"mm","t":%.3f,"v":%.1f,"seq":%d}]',
    "slope": b'[{"n":"displacement","u":"mm","t":%.3f,"v":%.1f,"seq":%d}]',
    "traffic": b'[{"n":"speed","u":"km/h","t":%.3f,"v":%.1f,"seq":%d}]',
}
Span = tuple[float, float]
"""Begin and end by the performance counter, s."""


class TimedStore(SqlStore):
    """A database that notes when it was busy with what."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits: list[Span] = []
        self.keeping: list[float] = []

    def commit_all(self, checkpoints: Sequence[Checkpoint]) -> set[int]:
        begun = time.perf_counter()
        committed = super().commit_all(checkpoints)
        self.commits.append((begun, time.perf_counter()))
        return committed

    def packed_state(self, connection: sa.Connection, partition: int, horizons: Mapping[str, int]) -> bytes:
        self.keeping.append(time.perf_counter())
        return super().packed_state(connection, partition, horizons)

    def write_snapshot(self, partition: int, at: int, content: bytes) -> None:
        super().write_snapshot(partition, at, content)
        self.keeping.append(time.perf_counter())


class TimedLive(MemoryLive):
    """What a wall would see: when anything was published."""

    def __init__(self) -> None:
        super().__init__("bench")
        self.published: list[float] = []

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        self.published.append(time.perf_counter())
        return await super().publish(changes)


class Centre:
    """An engine at a time that stands until `go`, and the sources that speak to it."""

    def __init__(self, store: TimedStore, sources: int) -> None:
        definitions = load_all(None)
        made = compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
        codes = sorted(shipped_place().units)[:UNITS]
        self._kinds = ["rain" if number % 20 in (3, 9) else "slope" if number % 20 == 5 else "traffic"
                       for number in range(sources)]  # fmt: skip
        self._topics = [f"ioc/{codes[n % UNITS]}/{kind}/s-{n}" for n, kind in enumerate(self._kinds)]
        self._partitions = [partition_of(topic, PARTITIONS) for topic in self._topics]
        self.told = [0] * sources
        self.offsets, self.ordinals = [0] * PARTITIONS, [0] * PARTITIONS
        self.store, self.live, self.beats = store, TimedLive(), list[Span]()
        self.now = TURN_MS - 26 * HOUR_MS
        self._going_since = 0.0
        self.engine = Engine(made, store, self.live, self.clock, self._report)

    async def _report(self, told: Report) -> None:
        await self.engine.report(told)

    def clock(self) -> int:
        return self.now + (int((time.perf_counter() - self._going_since) * 1000) if self._going_since else 0)

    def go(self) -> None:
        self._going_since = time.perf_counter()

    async def own(self) -> None:
        for number in range(PARTITIONS):
            await self.engine.own(number)
        await self.engine.own_roll_up()

    def sources(self, *kinds: str) -> list[int]:
        return [number for number, kind in enumerate(self._kinds) if kind in kinds]

    async def give(self, sources: Sequence[int]) -> None:
        """A reading of each of these sources, of now."""
        at, parts = self.clock(), defaultdict[int, list[int]](list)
        for source in sources:
            parts[self._partitions[source]].append(source)
        for number, part in parts.items():
            for start in range(0, len(part), MESSAGES_MAX):
                await self.engine.observe(self._record(number, at, part[start : start + MESSAGES_MAX]))

    def _record(self, partition: int, at: int, sources: list[int]) -> Record:
        payloads = []
        for source in sources:
            figures = (at / 1000, random.uniform(20, 80), self.told[source])
            payloads.append(PAYLOADS[self._kinds[source]] % figures)
            self.told[source] += 1
        topics = [self._topics[source] for source in sources]
        batch = Batch(partition, self.ordinals[partition], at, "bench", 0, topics, payloads, [at] * len(topics))
        record = Record(partition, self.offsets[partition], encode(batch))
        self.ordinals[partition], self.offsets[partition] = batch.after, record.offset + 1
        return record

    async def live_through(self, now: int, *kinds: str) -> None:
        self.now = now
        chosen = self.sources(*kinds)
        for start in range(0, len(chosen), AT_ONCE):
            await self.give(chosen[start : start + AT_ONCE])
            await self.engine.beat(now)

    async def watched(self, stop: asyncio.Event) -> None:
        """`Engine.run`, with every beat timed."""
        beat = self.engine.beat

        async def timed(now: int, final: bool = False) -> None:
            begun = time.perf_counter()
            await beat(now, final)
            self.beats.append((begun, time.perf_counter()))

        self.engine.beat = timed  # type: ignore[method-assign]
        await self.engine.run(stop)


def memory_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def memory_now_mb() -> float:
    """Resident, and its peak begins anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mb("VmRSS")


async def prepare(folder: Path, sources: int) -> None:
    """A day's history in `folder`."""
    store = TimedStore(f"sqlite:///{folder / 'history.sqlite'}")
    store.migrate()
    centre = Centre(store, sources)
    await centre.own()
    for hours in range(24, 0, -1):
        await centre.live_through(TURN_MS - 30 * MINUTE_MS - hours * HOUR_MS, "rain", "slope")
    for minutes in range(30, 0, -1):
        await centre.live_through(TURN_MS - minutes * MINUTE_MS - MINUTE_MS, "traffic")
    await centre.engine.beat(centre.now, final=True)
    await centre.engine.keeper.ended()
    store.close()
    (folder / "told").write_bytes(pickle.dumps((centre.told, centre.offsets, centre.ordinals)))


async def measure(folder: Path, sources: int, rate: int) -> None:
    store = TimedStore(f"sqlite:///{folder / 'history.sqlite'}")
    centre = Centre(store, sources)
    centre.now = TURN_MS - BEFORE_S * 1_000
    centre.told, centre.offsets, centre.ordinals = pickle.loads((folder / "told").read_bytes())
    await centre.own()
    await centre.engine.beat(centre.now - 1_000)
    await centre.engine.keeper.ended()
    before = memory_now_mb()
    store.keeping.clear()
    centre.go()
    turn, stop = time.perf_counter() + BEFORE_S, asyncio.Event()
    running = asyncio.create_task(centre.watched(stop))
    spoken = 0
    while (now := time.perf_counter()) < turn + AFTER_S:
        count = int((now - turn + BEFORE_S) * rate) - spoken
        await centre.give([(spoken + number) % sources for number in range(count)])
        spoken += count
        await asyncio.sleep(FEED_S)
    stop.set()
    await running
    peak = memory_mb("VmHWM")
    report(centre, turn)
    with store.engine.connect() as connection:
        size = connection.execute(sa.text("SELECT sum(length(content)) FROM snapshot WHERE at >= :at"), {"at": TURN_MS})
        kept_mb = (size.scalar() or 0) / 2**20
    store.close()
    print(f"kept: {kept_mb:.1f} MB; resident {before:.0f} MB, at its peak {peak:.0f} MB")


def report(centre: Centre, turn: float) -> None:
    """Before the turn, and from it on until the state was kept."""
    kept_s = centre.store.keeping[-1] if centre.store.keeping else turn + AFTER_S
    table = Table("", "s", "beats", "ms a beat: median", "longest", "commit: longest", "between publishes: longest")
    for name, begin, end in (("before the turn", turn - BEFORE_S, turn), ("while the state is kept", turn, kept_s)):
        figures: list[Any] = []
        spans = (centre.beats, centre.store.commits, list(pairwise(centre.live.published)))
        beats, commits, gaps = (sorted(b - a for a, b in one if b >= begin and a < end) for one in spans)
        figures = [beats[len(beats) // 2], beats[-1], commits[-1], gaps[-1]]
        table.add_row(name, f"{end - begin:.1f}", str(len(beats)), *(f"{figure * 1000:.0f}" for figure in figures))
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=1_700)
    parser.add_argument("--prepared", type=Path)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as name:
        made = options.prepared or Path(name) / "made"
        made.mkdir(parents=True, exist_ok=True)
        if not (made / "told").exists():
            asyncio.run(prepare(made, options.sources))
        used = Path(shutil.copytree(made, Path(name) / "used"))
        asyncio.run(measure(used, options.sources, options.rate))


if __name__ == "__main__":
    sys.exit(main())
