"""The bridge alone: what a message costs it, with paho as it is and with the way in taken from it, in one run.

    python benchmarks/bridge.py [--rate 5000] [--seconds 10]

For each contender the embedded broker, a bridge in a process of its own into a SQLite journal (fsync), the generator at
an even rate with QoS 1. CPU is user and system time of the process, all its threads, from the first message to the last
acknowledgement. Every message must be in the journal once, and every batch's counts must add up.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]
# ruff: noqa: E402
from generator import Generator
from mqtt_brokers import Broker, start_nats

from sensors.batch import decode
from sensors.mqtt_bridge import MqttAddress, MqttBridge
from sensors.paho_client import FastClient, PlainClient
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms

CLIENTS = {"plain paho": PlainClient, "fast": FastClient}
PARTITIONS = 8
_TICKS = os.sysconf("SC_CLK_TCK")


async def run_bridge(url: str, path: str, client: str) -> None:
    """In the child: bridge until SIGTERM, and say when the subscription stands."""
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    journal = SqliteJournal.open(Path(path), PARTITIONS)
    bridge = MqttBridge(MqttAddress.parse(url), journal, now_ms, "bench", PARTITIONS, client=CLIENTS[client])
    running = asyncio.create_task(bridge.run(stop))
    await bridge.subscribed.wait()
    print("subscribed", flush=True)
    await running
    await journal.close()


def cpu_s(pid: int) -> tuple[float, float]:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS, int(fields[12]) / _TICKS


class Result(NamedTuple):
    """`rate` journaled messages a second; µs of CPU a message; how many messages are missing or twice."""

    name: str
    rate: float
    user_us: float
    system_us: float
    broker_us: float
    generator_us: float
    wrong: int


async def until_journaled(path: Path, count: int) -> None:
    journal = SqliteJournal.open(path, PARTITIONS)
    while sum((await journal.next_ordinals()).values()) < count:  # noqa: ASYNC110 - another process fills it
        await asyncio.sleep(0.05)
    await journal.close()


async def wrong(path: Path, count: int) -> int:
    """Messages that are not in the journal, or twice, and batches whose counts do not add up."""
    journal = SqliteJournal.open(path, PARTITIONS)
    batches = [decode(one.batch) for n in range(PARTITIONS) for one in await journal.read(n, 0, 10**6)]
    await journal.close()
    found = [(topic, payload) for batch in batches for topic, payload in zip(batch.topics, batch.payloads, strict=True)]
    last = max(batches, key=lambda batch: batch.arrived)
    off = abs(last.arrived - last.repeated - last.pending - len(found))
    return count - len(set(found)) + len(found) - len(set(found)) + off


async def measure(broker: Broker, path: Path, name: str, rate: float, seconds: float) -> Result:
    command = [sys.executable, __file__, "--child", name, "--url", broker.url, "--path", str(path)]
    bridge = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - for a few ms, unmeasured
    assert bridge.stdout is not None
    assert await asyncio.to_thread(bridge.stdout.readline) == "subscribed\n"
    generator = Generator()
    await generator.open(broker.port)
    await generator.run(min(rate, 1_000), 1)  # warm
    await until_journaled(path, generator.sent)
    first, started = generator.sent, time.perf_counter()
    before, broker_before, own_before = cpu_s(bridge.pid), sum(cpu_s(broker.process.pid)), time.process_time()
    await generator.run(rate, seconds)
    own = time.process_time() - own_before
    await until_journaled(path, generator.sent)
    took, count = time.perf_counter() - started, generator.sent - first
    after, broker_after = cpu_s(bridge.pid), sum(cpu_s(broker.process.pid))
    bridge.send_signal(signal.SIGTERM)
    bridge.wait()
    used = (after[0] - before[0], after[1] - before[1], broker_after - broker_before, own)
    return Result(name, count / took, *(one / count * 1e6 for one in used), await wrong(path, generator.sent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", choices=list(CLIENTS))
    for name in ("--child", "--url", "--path"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        import uvloop

        uvloop.run(run_bridge(options.url, options.path, options.child))
        return
    columns = ("bridge", "messages/s", "µs CPU a message", "user", "system", "broker µs", "generator µs", "wrong")
    table = Table(*columns)
    for name in [options.only] if options.only else CLIENTS:
        broker = start_nats()
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "journal.sqlite"
                one = asyncio.run(measure(broker, path, name, options.rate, options.seconds))
        finally:
            broker.remove()
        figures = (one.user_us + one.system_us, one.user_us, one.system_us, one.broker_us, one.generator_us)
        table.add_row(one.name, f"{one.rate:,.0f}", *(f"{figure:.1f}" for figure in figures), str(one.wrong))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
