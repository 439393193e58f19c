"""The cluster's faults that are no full disk: a bridge of three that dies or is slow, a slow Kafka, a deaf broker.

The city has a Mosquitto of its own, three bridges share its units, and two workers the partitions.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster_processes import Cluster, start_cluster_kafka, start_cluster_postgres, start_cluster_redis
from disasters import suspended
from mqtt_brokers import Broker, start_mosquitto
from servers import Server, running
from slow_syncs import slow_calls

from streams.bridge import SILENT_MS

pytestmark = pytest.mark.long

PARTITIONS = 8
TOLD_S = 30.0
CALL_S = 4
STILL_S = 4.0


class Stage:
    """The cluster with its bridges, by shares."""

    def __init__(self, cluster: Cluster, broker: Broker, kafka: Server) -> None:
        self.cluster, self.broker, self.kafka = cluster, broker, kafka

    def start_bridges(self, *shares: str) -> None:
        for share in shares:
            mqtt = ("--mqtt", self.broker.url, "--journal", self.cluster.journal)
            self.cluster.start(f"bridge-{share[0]}", "bridge", *mqtt, "--partitions", str(PARTITIONS), "--share", share)

    def told(self, what: str, since: float = 0.0) -> Any:
        """What the wall shows of this fault, once it is told (again, after `since`, s UTC)."""

        def look() -> Any:
            fault = self.cluster.on_the_wall().get(what)
            return fault if fault and fault["at"] > since * 1000 and what in self.cluster.reasons() else None

        return self.cluster.until(look, f"{what} is told", TOLD_S)

    def is_well(self, for_s: float = 0.0) -> None:
        """Return when nothing is told (any more), and has not been for so long."""
        well_since = time.monotonic()

        def look() -> bool:
            nonlocal well_since
            if self.cluster.reasons():
                well_since = time.monotonic()
                return False
            return time.monotonic() - well_since >= for_s

        self.cluster.until(look, f"it is ready again, and nothing is told for {for_s:.0f} s", 90)
        assert self.cluster.on_the_wall() == {}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        broker = stack.enter_context(running(start_mosquitto))
        kafka = stack.enter_context(running(start_cluster_kafka))
        postgres = stack.enter_context(running(start_cluster_postgres))
        redis = stack.enter_context(running(start_cluster_redis))
        cluster = Cluster(folder, broker, kafka, postgres, redis)
        stack.callback(cluster.stop)
        made = Stage(cluster, broker, kafka)
        made.start_bridges("1/3", "2/3", "3/3")
        for name in ("worker-1", "worker-2"):
            cluster.start_worker(name, PARTITIONS, "--mqtt", broker.url)
        cluster.start_gateway(PARTITIONS)
        cluster.ready()
        made.is_well()
        yield made


def test_a_bridge_whose_every_write_takes_seconds_is_told_by_its_name_as_long_as_it_is_slow(
    stage: Stage, tmp_path: Path
) -> None:
    cluster = stage.cluster
    with slow_calls("write,writev", CALL_S, tmp_path, cluster.processes["bridge-2"].pid):
        fault = stage.told("journal_slow")
        assert fault["vi"] == "Nhật ký thông điệp ghi chậm – ioc-bridge-2-3"
        assert fault["en"] == "Message journal is slow – ioc-bridge-2-3"
        again = stage.told("journal_slow", since=time.time() + 2 * CALL_S)
        assert again["since"] == fault["since"], "told all the time, not by fits"
    stage.is_well()


@contextmanager
def standing_still_by_fits(server: Server) -> Iterator[None]:
    """Inside, it stands still for seconds, goes on for one, and so on."""
    is_over = threading.Event()
    send = server.process.send_signal

    def run() -> None:
        while not is_over.wait(1.0):
            suspended(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT), STILL_S)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_kafka_that_stands_still_by_fits_is_told_as_a_slow_journal(stage: Stage) -> None:
    with standing_still_by_fits(stage.kafka):
        stage.told("journal_slow")
    stage.is_well()


def test_a_broker_of_the_city_that_stands_still_is_told_and_no_bridge_is_blamed(stage: Stage) -> None:
    stage.broker.process.send_signal(signal.SIGSTOP)
    try:
        stage.told("broker_deaf")
        assert stage.cluster.reasons() == {"broker_deaf"}
    finally:
        stage.broker.process.send_signal(signal.SIGCONT)
    stage.is_well()


def test_a_dead_bridge_of_three_is_told_by_its_name_until_others_have_taken_its_units_over(stage: Stage) -> None:
    cluster = stage.cluster
    cluster.kill("bridge-2")
    fault = stage.told("bridge_silent")
    assert fault["vi"] == "Cầu nối MQTT im lặng – ioc-bridge-2-3"
    assert fault["en"] == "MQTT bridge is silent – ioc-bridge-2-3"
    for name in ("worker-1", "worker-2"):  # one of them is the one that tells it
        cluster.kill(name)
        assert stage.told("bridge_silent", since=time.time() + 12)["vi"] == fault["vi"]
        cluster.again(name)
        cluster.until(lambda: cluster.reasons() == {"bridge_silent"}, "both workers have their partitions", 90)
    for name in ("bridge-1", "bridge-3"):
        assert cluster.leave(name) == 0
    stage.start_bridges("1/2", "2/2")
    stage.is_well(for_s=SILENT_MS / 1000 + 5)
