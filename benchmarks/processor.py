"""The processor alone, journal → KPI, beside a textbook Faust app and plain Python loops, in one run.

    python benchmarks/processor.py [--messages 400000]

Every contender counts and sums the same trace by unit and 10 s of event time. `ours` does it with ledger, duplicate
check, checkpoints (SQLite, fsync) and recovery data on; the others keep nothing. CPU is of the process, all threads.
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

import msgspec
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from speed_trace import WINDOW_MS, Message, batches, expected, messages

from sensors.journal import Record
from sensors.kind import Kind
from streams.catalogue import Catalogue, compile_catalogue
from streams.kpi import Kpi
from streams.partition import Partition
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

BEAT_MESSAGES = 20_000
CHECKPOINT_BEATS = 2
Cells = dict[tuple[str, int], tuple[int, int]]


def bench_catalogue() -> Catalogue:
    """The shipped place and the traffic kind, with one KPI: mean speed over 10 s (its cells hold count and sum)."""
    loaded = load_all(None)
    kinds: dict[str, Kind] = {"traffic": loaded.kinds["traffic"]}
    name = "speed"
    kpi = Kpi(name, name, name, name, name, "traffic", "mean", 10, 10, 10, "km/h", "high", "", 60, quantity="speed")
    return compile_catalogue(loaded.place, kinds, {"speed": kpi}, {})


def ours(trace: list[Message], encoded: list[tuple[int, bytes]], partitions: int) -> Cells:
    """Observe, evaluate and checkpoint, as the engine does, as fast as it goes."""
    catalogue = bench_catalogue()
    cells: Cells = {}
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{folder}/history.sqlite")
        store.migrate()
        now = trace[0].time
        held = {number: Partition(number, catalogue, store.recover(number), now) for number in range(partitions)}
        offsets = dict.fromkeys(held, 0)
        taken, beats = 0, 0
        for number, batch in [*encoded, (-1, b"")]:
            if number >= 0:
                held[number].observe(Record(number, offsets[number], batch))
                offsets[number] += 1
                taken += 1
            if taken * 500 >= BEAT_MESSAGES or number < 0:
                taken, beats = 0, beats + 1
                now = trace[-1].time + 600_000 if number < 0 else now
                for partition in held.values():
                    for value in partition.evaluate(now).closed:
                        cells[value.scope, value.start] = (value.n, round((value.value or 0) * value.n * 10))
                    if beats % CHECKPOINT_BEATS == 0 or number < 0:
                        assert store.commit(partition.checkpoint(now))
    return cells


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


def measured(name: str, count: int, run: Callable[[], Cells], truth: Cells) -> tuple[str, float, float, int, float]:
    """Name, messages/s, µs of CPU a message, windows wrong or missing, peak RSS in MB."""
    wall, cpu = time.perf_counter(), time.process_time()
    cells = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    wrong = sum(cells.get(key) != value for key, value in truth.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return name, count / wall, cpu / count * 1e6, wrong, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=400_000)
    parser.add_argument("--faust-messages", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    from textbook_faust import textbook_faust

    trace = messages(options.messages)
    truth = expected(trace)
    encoded = list(batches(trace, options.partitions))
    short = trace[: options.faust_messages]
    rows = [
        measured(
            "textbook Faust (windowed table)", len(short), lambda: asyncio.run(textbook_faust(short)), expected(short)
        ),
        measured("json + dict loop", len(trace), lambda: json_dict_loop(trace), truth),
        measured("msgspec + dict loop", len(trace), lambda: msgspec_dict_loop(trace), truth),
        measured("ours", len(trace), lambda: ours(trace, encoded, options.partitions), truth),
    ]
    table = Table("contender", "messages/s", "µs CPU/message", "windows wrong", "× textbook", "peak RSS MB so far")
    for name, rate, cpu, wrong, peak in rows:
        table.add_row(name, f"{rate:,.0f}", f"{cpu:.2f}", str(wrong), f"{rate / rows[0][1]:.1f}", f"{peak:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
