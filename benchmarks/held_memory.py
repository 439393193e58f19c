"""What the engine holds after minutes and after hours, part by part, in a time of its own.

    python benchmarks/held_memory.py [--hours 2.2]

500 sources of two kinds, one message a second each, all definitions as shipped, a beat every 200 ms and the hour's
state kept as in a running centre: the load of the two-hour soak, as fast as it goes. Every quarter of an hour: resident
memory, and the bytes of all that the engine refers to, by the part that holds it. What resident memory has more,
allocators have; what it has less are columns that were laid out and not touched yet.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import structlog
from hour_turn import memory_mb
from rich.console import Console
from rich.table import Table

from sensors.batch import Batch, encode
from sensors.journal import Record
from sensors.topic import partition_of
from streams.beat_engine import Engine, calm_collector
from streams.catalogue import compile_catalogue
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

PARTITIONS, SOURCES = 8, 500
BEAT_MS, LOOK_MS, HOUR_MS = 200, 900_000, 3_600_000
START_MS = 1_790_002_801_000
"""A second after the turn of an hour."""

KINDS = (("noise", "laeq", "dB", 55), ("traffic", "speed", "km/h", 40))
OURS = ("streams", "sensors", "numpy", "builtins", "collections", "msgspec")
PARTS = {
    "_seen": "identities of messages", "_sources": "sources", "_routes": "topics", "_rings": "panes",
    "closed": "closed windows", "_windows": "the place's windows", "_state": "live values", "_ledger": "ledger",
}  # fmt: skip
"""By the attribute that holds them; the rest is told as such."""


class City:
    """The messages of every beat, in records of their partitions."""

    def __init__(self) -> None:
        units = sorted(load_all(None).place.units)
        self._topics = [f"ioc/{units[n % len(units)]}/{KINDS[n % 2][0]}/s{n}" for n in range(SOURCES)]
        self._partitions = [partition_of(topic, PARTITIONS) for topic in self._topics]
        self._ordinals, self._offsets, self._told = [0] * PARTITIONS, [0] * PARTITIONS, 0

    def records(self, now: int) -> Iterator[Record]:
        """Of one beat that ends at `now` (ms UTC)."""
        told = defaultdict[int, list[tuple[str, bytes]]](list)
        for place in range(SOURCES * BEAT_MS // 1000):
            number, value = self._told % SOURCES, self._told % 997 / 100
            _, quantity, unit, level = KINDS[number % 2]
            time = (now - place) / 1000
            figures = f'"t":{time:.3f},"v":{level + value:.2f},"seq":{self._told // SOURCES}'
            payload = f'[{{"n":"{quantity}","u":"{unit}",{figures}}}]'.encode()
            told[self._partitions[number]].append((self._topics[number], payload))
            self._told += 1
        for partition, messages in told.items():
            topics, payloads = (list(column) for column in zip(*messages, strict=True))
            first, times = self._ordinals[partition], [now] * len(topics)
            batch = Batch(partition, first, now, "bench", 0, topics, payloads, times)
            yield Record(partition, self._offsets[partition], encode(batch))
            self._ordinals[partition] += len(topics)
            self._offsets[partition] += 1


def held(root: object) -> dict[str, int]:
    """Bytes of all objects that `root` refers to, by part; each counts where it is found first."""
    found, seen = defaultdict[str, int](int), set[int]()
    waiting: list[tuple[Any, str]] = [(root, "")]
    while waiting:
        one, part = waiting.pop()
        is_ours = type(one).__module__.partition(".")[0] in OURS and not callable(one)
        if id(one) in seen or not is_ours or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        found[part or "the rest"] += sys.getsizeof(one)
        if isinstance(one, dict):
            waiting += [(each, part) for pair in one.items() for each in pair]
        elif isinstance(one, list | tuple | set | frozenset) or type(one).__name__ == "deque":
            waiting += [(each, part) for each in one]
        elif isinstance(one, np.ndarray):
            waiting.append((one.base, part))
        else:
            waiting += [(value, part or PARTS.get(name, "")) for name, value in attributes(one)]
    return found


def attributes(one: object) -> Iterator[tuple[str, Any]]:
    yield from getattr(one, "__dict__", {}).items()
    for kind in type(one).__mro__:
        for names in (getattr(kind, "__slots__", ()), getattr(kind, "__struct_fields__", ())):
            if isinstance(names, tuple | list):
                yield from ((name, getattr(one, name)) for name in names if hasattr(one, name))


async def lived(folder: Path, hours: float) -> list[tuple[int, float, dict[str, int]]]:
    """(minute, resident MB, bytes by part) of every look."""
    definitions = load_all(None)
    made = compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
    store = SqlStore(f"sqlite:///{folder / 'history.sqlite'}")
    store.migrate()
    live, now, city = MemoryLive("bench"), START_MS, City()

    async def report(told: Report) -> None:
        await engine.report(told)

    engine = Engine(made, store, live, lambda: now, report)
    for number in range(PARTITIONS):
        await engine.own(number)
    await engine.own_roll_up()
    calm_collector()
    looks = []
    while now < START_MS + hours * HOUR_MS:
        now += BEAT_MS
        for record in city.records(now):
            await engine.observe(record)
        await engine.beat(now)
        if (now - START_MS) % LOOK_MS == 0:
            await engine.keeper.ended()
            gc.collect()
            looks.append(((now - START_MS) // 60_000, memory_mb("VmRSS"), held([engine, live])))
    store.close()
    return looks


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--hours", type=float, default=2.2)
    hours = asked.parse_args().hours
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as folder, console.status(f"{hours:g} hours, some 7 minutes of CPU each"):
        looks = asyncio.run(lived(Path(folder), hours))
    parts = sorted({part for *_, parts in looks for part in parts})
    table = Table("minute", "resident MB", *parts, title="what the engine holds, kB")
    for minute, mb, sizes in looks:
        table.add_row(f"{minute}", f"{mb:.2f}", *(f"{sizes.get(part, 0) / 1024:,.0f}" for part in parts))
    console.print(table)


if __name__ == "__main__":
    main()
