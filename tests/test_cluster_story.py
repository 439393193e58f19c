"""The cluster on real servers: two workers on Kafka, one killed in mid-load; figures equal an undisturbed run's."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster_processes import (
    Cluster,
    start_cluster_broker,
    start_cluster_kafka,
    start_cluster_postgres,
    start_cluster_redis,
)
from mqtt_brokers import Publisher
from servers import running

from streams.beat_engine import UNWRITTEN_MAX
from streams.redis_live import RedisLive

pytestmark = pytest.mark.long

PARTITIONS = 8
UNITS = ["06658", "06661", "06673", "06994", "07069", "06712", "06793", "06838", "06652", "06676", "07192", "06811"]
MESSAGES = 8_000
WAITING = 5_000
FLOOD = UNWRITTEN_MAX + WAITING
"""Of one unit: a partition takes in no more than UNWRITTEN_MAX while nothing can be written."""


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    folder.mkdir()
    with ExitStack() as stack:
        starts = (start_cluster_broker, start_cluster_kafka, start_cluster_postgres, start_cluster_redis)
        servers = [stack.enter_context(running(start)) for start in starts]
        made = Cluster(folder, *servers)  # type: ignore[arg-type]
        stack.callback(made.stop)
        made.start_bridge(PARTITIONS)
        made.start_worker("worker-1", PARTITIONS)
        made.start_worker("worker-2", PARTITIONS)
        made.start_gateway(PARTITIONS)
        made.ready()
        yield made


def run(
    folder: Path, start: int, disaster: Callable[[Cluster], None] | None = None,
    epilogue: Callable[[Cluster], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Publish the same messages into a fresh cluster; returns its ledger and every closed window."""
    with cluster(folder) as made:
        device = Publisher(made.broker.port, inflight=300)
        for number in range(MESSAGES):
            if number == MESSAGES // 2 and disaster is not None:
                disaster(made)
            source, step = number % 120, number // 120
            record = {"n": "speed", "u": "km/h", "t": start + step, "v": 10 + number % 50}
            device.publish(f"ioc/{UNITS[source % 12]}/traffic/s{source}", json.dumps([record]).encode())
            if number % 100 == 99:
                time.sleep(0.05)
        device.settle(60)
        device.close()

        ledger = made.settled(MESSAGES)

        def windows(scope: str) -> list[Any]:
            told: list[Any] = made.ask(f"/api/kpis/traffic_speed/history?unit={scope}")
            return [{name: window[name] for name in ("value", "n", "sources", "from", "to")} for window in told]

        def closed(*scopes: str) -> bool:
            return sum(window["n"] for scope in scopes for window in windows(scope)) == MESSAGES

        made.until(lambda: closed("22") and closed(*UNITS), "the windows of the units and of the place are closed")
        told = {"ledger": ledger, "windows": {scope: windows(scope) for scope in [*UNITS, "22"]}}
        if epilogue is not None:
            epilogue(made)
        return told


def what_waits_in_kafka_is_told(made: Cluster) -> None:
    """While the database is away a worker reads on for a while; of the rest the ledger knows by Kafka's end alone."""
    begin = int(time.time()) - 600
    made.postgres.stop()
    device = Publisher(made.broker.port, "flood", inflight=1_000)
    for number in range(FLOOD):
        source, step = number % 60, number // 60
        device.publish(f"ioc/{UNITS[0]}/traffic/f{source}", b'[{"n":"speed","t":%d,"v":40}]' % (begin + step))
    device.settle(120)
    device.close()
    # Its last record may bring a batch more than that in.
    made.until(lambda: in_journal(made) > WAITING - 500, "what waits in the journal is told")
    made.postgres.start()
    ledger = made.settled(MESSAGES + FLOOD)
    assert (ledger["held"], ledger["difference"]) == ({"bridge": 0, "journal": 0, "checkpoint": 0}, 0)


def in_journal(made: Cluster) -> int:
    """`held.journal` by the live store: the API asks the database too, and that is away."""

    async def ask() -> int:
        live = RedisLive(made.redis.url)
        try:
            told = (await live.since("", 0)).changes
        finally:
            await live.close()
        rows = [json.loads(value) for key, value in told.items() if key.startswith("l:") and value is not None]
        return sum(row["in_flight"] - row["unwritten"] for row in rows)

    return asyncio.run(ask())


def kill_once_it_works(made: Cluster) -> None:
    """kill -9 of worker-1 when it has partitions: the other may have been ready, and all of it, seconds before."""
    log = made.folder / "worker-1.log"
    made.until(lambda: "partition recovered" in log.read_text(), "worker-1 has partitions")
    made.kill("worker-1")


def test_two_workers_one_killed_in_mid_load_give_the_figures_of_an_undisturbed_run(tmp_path: Path) -> None:
    start = int(time.time()) // 300 * 300 - 80
    undisturbed = run(tmp_path / "undisturbed", start, epilogue=what_waits_in_kafka_is_told)
    disturbed = run(tmp_path / "disturbed", start, kill_once_it_works)
    assert disturbed["windows"] == undisturbed["windows"]
    # Both worked, and the one that was left took over the other's partitions.
    logs = [(tmp_path / "disturbed" / f"worker-{number}.log").read_text() for number in (1, 2)]
    taken = [{int(number) for number in re.findall(r"partition recovered' partition=(\d)", log)} for log in logs]
    assert taken[0], "worker-1 had partitions when it was killed"
    assert taken[1] == set(range(PARTITIONS))
    for ledger in (disturbed["ledger"], undisturbed["ledger"]):
        assert (ledger["accepted"], ledger["readings"], ledger["difference"]) == (MESSAGES, MESSAGES, 0)
        assert (ledger["rejected"], ledger["too_late"]) == (0, 0)
        # What the broker told twice is received twice, and counted once.
        assert ledger["received"] == MESSAGES + ledger["duplicate"]
