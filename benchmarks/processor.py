"""The processor alone, journal → KPI, beside a textbook Faust app and plain Python loops, in one run.

    python benchmarks/processor.py [--messages 400000] [--with-contenders]

Every contender counts and sums the same trace by unit and 10 s of event time. `ours` reads a SQLite journal and does it
with ledger, duplicate check, checkpoints (SQLite, fsync) and recovery data on; the loops keep nothing. Textbook Faust
runs on a real Kafka where one is installed (tests/servers.py), and on a channel. CPU is of this process, all threads.
`--with-contenders` installs Quix Streams and Bytewax into throw-away environments and runs them as processes of their
own. The trace has late messages and such that come twice (speed_trace.py); the last columns say what each made of them.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]
# ruff: noqa: E402
import contender_venv
import textbook_faust
from servers import Absent, start_kafka
from speed_trace import WINDOW_MS, Message, batches, messages
from speed_verdict import Verdict, judge

from sensors.batch import decode
from sensors.kind import Kind
from sensors.sqlite_journal import SqliteJournal
from streams.beat_engine import calm_collector
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import Checkpoint
from streams.kpi import Kpi
from streams.partition import Partition
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

BEAT_RECORDS = 10
CHECKPOINT_BEATS = 2
Cells = dict[tuple[str, int], tuple[int, int]]


def bench_catalogue() -> Catalogue:
    """The shipped place and the traffic kind, with one KPI: mean speed over 10 s (its cells hold count and sum)."""
    loaded = load_all(None)
    kinds: dict[str, Kind] = {"traffic": loaded.kinds["traffic"]}
    name = "speed"
    kpi = Kpi(name, name, name, name, name, "traffic", "mean", 10, 10, 10, "km/h", "high", "", 60, quantity="speed")
    return compile_catalogue(loaded.place, kinds, {"speed": kpi}, {})


async def filled(path: Path, trace: list[Message], partitions: int) -> None:
    """A journal with the whole trace in it."""
    journal = SqliteJournal.open(path, partitions)
    made = [decode(batch) for _, batch in batches(trace, partitions)]
    for start in range(0, len(made), 100):
        await journal.append(made[start : start + 100])
    await journal.close()


def write_all(store: SqlStore, checkpoints: list[Checkpoint]) -> bool:
    return len(store.commit_all(checkpoints)) == len(checkpoints)


async def ours(trace: list[Message], folder: Path, partitions: int) -> tuple[Cells, float, float]:
    """Read the journal, observe, evaluate and checkpoint, as the engine does, as fast as it goes.

    Cells, and seconds by the clock and of CPU from the first record on: definitions and tables are there before.
    """
    catalogue = bench_catalogue()
    cells: Cells = {}
    journal = SqliteJournal.open(folder / "journal.sqlite", partitions)
    store = SqlStore(f"sqlite:///{folder}/history.sqlite")
    store.migrate()
    calm_collector()
    started, cpu = time.perf_counter(), time.process_time()
    now = trace[0].time
    held = {number: Partition(number, catalogue, store.recover(number), now) for number in range(partitions)}
    beats, is_over = 0, False
    writing: list[asyncio.Task[bool]] = []
    while not is_over:
        is_over = True
        for number, partition in held.items():
            records = await journal.read(number, partition.offset, BEAT_RECORDS)
            is_over &= not records
            for record in records:
                partition.observe(record)
        assert all([await task for task in writing])
        beats += 1
        now = trace[-1].time + 600_000 if is_over else now
        for partition in held.values():
            for value in partition.evaluate(now).closed:
                cells[value.scope, value.start] = (value.n, round((value.value or 0) * value.n * 10))
        if beats % CHECKPOINT_BEATS == 0 or is_over:
            # As in the engine: written on a thread, while the loop takes more records in.
            checkpoints = [partition.checkpoint(now) for partition in held.values()]
            writing = [asyncio.create_task(asyncio.to_thread(write_all, store, checkpoints))]
    assert all([await task for task in writing])
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    await journal.close()
    store.close()
    return cells, took, cpu


def json_dict_loop(trace: list[Message]) -> Cells:
    counts: dict[tuple[str, int], int] = defaultdict(int)
    sums: dict[tuple[str, int], float] = defaultdict(float)
    for message in trace:
        record = json.loads(message.payload)[0]
        key = (message.topic.split("/")[1], int(record["t"] * 1000) // WINDOW_MS * WINDOW_MS)
        counts[key] += 1
        sums[key] += record["v"]
    return {key: (counts[key], round(sums[key] * 10)) for key in counts}


class _Record(msgspec.Struct):
    t: float
    v: float


def msgspec_dict_loop(trace: list[Message]) -> Cells:
    decode = msgspec.json.Decoder(list[_Record]).decode
    counts: dict[tuple[str, int], int] = defaultdict(int)
    sums: dict[tuple[str, int], float] = defaultdict(float)
    for message in trace:
        record = decode(message.payload)[0]
        key = (message.unit, int(record.t * 1000) // WINDOW_MS * WINDOW_MS)
        counts[key] += 1
        sums[key] += record.v
    return {key: (counts[key], round(sums[key] * 10)) for key in counts}


def timed(run: Callable[[], Cells]) -> tuple[Cells, float, float]:
    started, cpu = time.perf_counter(), time.process_time()
    return run(), time.perf_counter() - started, time.process_time() - cpu


def with_cpu(run: Callable[[], tuple[Cells, float]]) -> tuple[Cells, float, float]:
    """A contender whose start cannot be told apart: all of its CPU, a small part of it for starting."""
    cpu = time.process_time()
    return *run(), time.process_time() - cpu


class Result(NamedTuple):
    """One contender: messages/s, µs of its process's CPU a message, and how right its windows are."""

    name: str
    rate: float
    cpu_us: float
    verdict: Verdict


def measured(name: str, trace: list[Message], run: Callable[[], tuple[Cells, float, float]]) -> Result:
    cells, took, cpu = run()
    return Result(name, len(trace) / took, cpu / len(trace) * 1e6, judge(trace, cells))


def on_a_real_kafka(trace: list[Message], folder: str) -> Result | None:
    try:
        server = start_kafka()
    except Absent as absent:
        print(f"SKIPPED: textbook Faust on Kafka: {absent}")
        return None
    try:
        run = lambda: asyncio.run(textbook_faust.on_kafka(trace, server.address, folder))  # noqa: E731
        return measured("textbook Faust on Kafka", trace, lambda: with_cpu(run))
    finally:
        server.remove()


def in_environments_of_their_own(trace: list[Message], folder: Path) -> list[Result]:
    contenders = {
        "Quix Streams 3.28 on Kafka": contender_venv.quix,
        "Bytewax 0.21, input in memory": contender_venv.bytewax,
    }
    results = []
    for name, run in contenders.items():
        try:
            results.append(measured(name, trace, lambda run=run: run(trace, folder)))  # type: ignore[misc]
        except Absent as absent:
            print(f"SKIPPED: {name}: {absent}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=400_000)
    parser.add_argument("--faust-messages", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--with-contenders", action="store_true", help="also Quix Streams and Bytewax, by pip")
    parser.add_argument("--contender-messages", type=int, default=100_000)
    options = parser.parse_args()
    trace = messages(options.messages)
    short = trace[: options.faust_messages]
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(filled(Path(folder) / "journal.sqlite", trace, options.partitions))
        results = [
            on_a_real_kafka(short, folder),
            measured(
                "textbook Faust on a channel (no Kafka)", short,
                lambda: with_cpu(lambda: asyncio.run(textbook_faust.on_a_channel(short))),
            ),
            *(
                in_environments_of_their_own(trace[: options.contender_messages], Path(folder))
                if options.with_contenders else []
            ),
            measured("json + dict loop", trace, lambda: timed(lambda: json_dict_loop(trace))),
            measured("msgspec + dict loop", trace, lambda: timed(lambda: msgspec_dict_loop(trace))),
            measured("ours", trace, lambda: asyncio.run(ours(trace, Path(folder), options.partitions))),
        ]  # fmt: skip
    shown = [result for result in results if result is not None]
    table = Table(
        "contender", "messages/s", "µs CPU/message", f"× {shown[0].name}", "windows missing / wrong", "late handled",
        "duplicates counted",
    )  # fmt: skip
    for result in shown:
        ratio = result.rate / shown[0].rate
        table.add_row(result.name, f"{result.rate:,.0f}", f"{result.cpu_us:.2f}", f"{ratio:.1f}", *result.verdict.row())
    console = Console(width=150)
    console.print(table)
    console.print(f"peak RSS of the whole run {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
