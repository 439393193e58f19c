"""Whether a message costs the same however many sources there are, and what a source costs in memory.

    python benchmarks/sources.py [--messages 300000]

For 1,000, 10,000 and 100,000 sources: a journal in which each source speaks once, and then `--messages` more at 5,000
a second of event time, late ones and repeated ones among them. A process of its own drives streams.partition over it as
the engine does, with checkpoints. `first` is the cost of a source's first message, `then` of the later ones. Memory is
resident memory above that of the same process before its first record.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]
# ruff: noqa: E402
from processor import BEAT_RECORDS, CHECKPOINT_BEATS, bench_catalogue, filled, write_all
from speed_trace import MESSAGES_PER_SECOND, START_MS, Cells, messages
from speed_verdict import judge

from sensors.sqlite_journal import SqliteJournal
from sensors.topic import partition_of
from streams.beat_engine import calm_collector
from streams.partition import Partition
from streams.sql_store import SqlStore

SOURCES = (1_000, 10_000, 100_000)
PARTITIONS = 4
FLUSH_MS = 600_000


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Drive:
    """Partitions over a journal, as fast as it goes; one beat for every 10 records of each."""

    def __init__(self, journal: SqliteJournal, store: SqlStore) -> None:
        catalogue = bench_catalogue()
        self._journal = journal
        self._store = store
        self._partitions = [
            Partition(number, catalogue, store.recover(number), START_MS) for number in range(PARTITIONS)
        ]
        self._beats = 0
        self.cells: Cells = {}

    @property
    def done(self) -> int:
        """Messages taken in so far."""
        return sum(partition.next_ordinal for partition in self._partitions)

    async def until(self, counts: list[int]) -> None:
        """Take in so many messages of each partition, or a beat's worth more."""
        while any(one.next_ordinal < count for one, count in zip(self._partitions, counts, strict=True)):
            for number, partition in enumerate(self._partitions):
                for record in await self._journal.read(number, partition.offset, BEAT_RECORDS):
                    partition.observe(record)
            self.beat(START_MS + self.done * 1_000 // MESSAGES_PER_SECOND)

    def beat(self, now: int) -> None:
        self._beats += 1
        for partition in self._partitions:
            for value in partition.evaluate(now).closed:
                self.cells[value.scope, value.start] = (value.n, round((value.value or 0) * value.n * 10))
        if self._beats % CHECKPOINT_BEATS == 0:
            checkpoints = [partition.checkpoint(now) for partition in self._partitions]
            assert write_all(self._store, checkpoints)


async def drive(folder: Path, firsts: list[int]) -> dict[str, object]:
    """In the child: cells, µs of CPU for first and later messages, MB above the start. `firsts` are the numbers of
    first messages by partition."""
    journal = SqliteJournal.open(folder / "journal.sqlite", PARTITIONS)
    store = SqlStore(f"sqlite:///{folder}/history.sqlite")
    store.migrate()
    calm_collector()
    one = Drive(journal, store)
    before = resident_mb()
    marks = [(0, time.process_time())]
    ends = journal.ends_ordinals()
    for target in (firsts, [ends[number] for number in range(PARTITIONS)]):
        await one.until(target)
        marks.append((one.done, time.process_time()))
    after = resident_mb()
    one.beat(START_MS + one.done * 1_000 // MESSAGES_PER_SECOND + FLUSH_MS)
    await journal.close()
    store.close()
    first, then = ((end[1] - start[1]) / (end[0] - start[0]) * 1e6 for start, end in pairwise(marks))
    cells = [(*key, *value) for key, value in one.cells.items()]
    return {"cells": cells, "first_us": first, "then_us": then, "mb": after - before}


def measure(table: Table, sources: int, count: int) -> tuple[float, float]:
    """One row; µs a later message, and MB."""
    trace = messages(sources + count, sources=sources)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(filled(folder / "journal.sqlite", trace, PARTITIONS))
        firsts = Counter(partition_of(message.topic, PARTITIONS) for message in trace[:sources])
        told = json.dumps([firsts[number] for number in range(PARTITIONS)])
        command = [sys.executable, __file__, "--child", name, "--firsts", told]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = {(unit, start): (n, s) for unit, start, n, s in said["cells"]}
    figures = (f"{said['first_us']:.2f}", f"{said['then_us']:.2f}", f"{said['mb']:.0f}")
    table.add_row(f"{sources:,}", *figures, *judge(trace, found).row())
    return said["then_us"], said["mb"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--firsts", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(asyncio.run(drive(Path(options.child), json.loads(options.firsts)))))
        return
    table = Table(
        "sources", "µs CPU: first", "then", "MB", "windows missing / wrong", "late handled", "duplicates counted"
    )
    results = [measure(table, sources, options.messages) for sources in SOURCES]
    console = Console(width=130)
    console.print(table)
    costs, memory = [cost for cost, _ in results], results[-1][1] - results[0][1]
    console.print(
        f"a message costs between {min(costs) / costs[0]:.2f} and {max(costs) / costs[0]:.2f} of what it costs with "
        f"{SOURCES[0]:,} sources; 100,000 sources take {memory * 1e5 / (SOURCES[-1] - SOURCES[0]):.0f} MB"
    )


if __name__ == "__main__":
    main()
