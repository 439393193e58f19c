"""The cluster on real servers: two workers on Kafka, one killed in mid-load; figures equal an undisturbed run's."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
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
from replay_process import replayed
from servers import running

from sensors.system_clock import now_ms
from streams.beat import Value
from streams.beat_engine import UNWRITTEN_MAX
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import ROLL_UP
from streams.journal_lineage import open_reader
from streams.journal_replay import Reel, Replay, load_reel
from streams.past_store import PastStore
from streams.redis_live import RedisLive
from streams.span import MS_MAX
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

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


def told_by(store: SqlStore | PastStore, kpis: Iterable[str]) -> dict[str, Any]:
    """Every closed value of every scope, every alert with its steps, and the ledger."""
    told: dict[str, Any] = {kpi: store.windows(kpi, 0, MS_MAX, 1_000_000) for kpi in kpis}
    for alert in store.alerts(False, 10_000):
        told[alert.id] = alert, store.alert_steps(alert.id)
    return told | {"ledger": store.ledger_totals(), "numbered": store.numbered_totals(), "sources": store.sources()}


def it_is_made_again(made: Cluster) -> None:
    """A replay of nearly all of it, at full speed; then by the command, beside the running cluster."""
    loaded, store = load_all(None), SqlStore(made.database)
    kept = store.kept()
    assert kept.keys() == {ROLL_UP, *range(PARTITIONS)}
    begin = kept[ROLL_UP][0]
    told, end = told_by(store, loaded.kpis), 0

    def stands() -> bool:
        """Nothing has been told for so long that all of what was told before `end` is in the database."""
        nonlocal told, end
        now, known = now_ms(), told_by(store, loaded.kpis)
        if known != told or not end:
            told, end = known, now
        return now > end + 3_000

    made.until(stands, "nothing new is told")
    end += 2_000
    reel = load_reel(store, PARTITIONS, begin, end)
    catalogue = compile_catalogue(loaded.place, loaded.kinds, loaded.kpis, loaded.rules)
    own, again = asyncio.run(made_again(made, catalogue, reel, begin, store))
    different = [name for name in {**told, **again} if told.get(name) != again.get(name)]
    assert not different, {name: (told.get(name), again.get(name)) for name in different}
    fresh = {(value.kpi, value.scope, value.end) for values in own.values() for value in values}
    fresh -= {(value.kpi, value.scope, value.end) for state in reel.states.values() for value in state.values}
    assert {scope for kpi, scope, _ in fresh if kpi == "traffic_speed"} >= {*UNITS, "22"}, "made anew, not kept"
    options = ("--database", made.database, "--journal", made.journal, "--partitions", str(PARTITIONS))
    with replayed(made.folder / "replay.log", begin, end, "--speed", "1000", *options) as past:
        past.ready()
        now, then = made.ask("/api/ledger"), past.settled(MESSAGES)
        assert {name: then[name] for name in ("accepted", "received", "readings")} == {
            name: now[name] for name in ("accepted", "received", "readings")
        }  # fmt: skip


async def made_again(
    made: Cluster, catalogue: Catalogue, reel: Reel, begin: int, store: SqlStore
) -> tuple[dict[str, list[Value]], dict[str, Any]]:
    """The closed values in the replay's own store, and what is told when it is over."""

    async def no_wait(now: int) -> None:
        pass

    async with open_reader(made.journal) as reader:
        shown = Replay(catalogue, reel, reader, begin)
        await shown.open()
        await shown.run(no_wait)
    told = told_by(PastStore(store, shown.store, lambda: shown.now), catalogue.kpis)
    own = {kpi: shown.store.windows(kpi, 0, MS_MAX, 1_000_000) for kpi in catalogue.kpis}
    shown.close()
    return own, told


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


def epilogue(made: Cluster) -> None:
    it_is_made_again(made)
    what_waits_in_kafka_is_told(made)


def test_two_workers_one_killed_in_mid_load_give_the_figures_of_an_undisturbed_run(tmp_path: Path) -> None:
    start = int(time.time()) // 300 * 300 - 80
    undisturbed = run(tmp_path / "undisturbed", start, epilogue=epilogue)
    disturbed = run(tmp_path / "disturbed", start, kill_once_it_works, it_is_made_again)
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
