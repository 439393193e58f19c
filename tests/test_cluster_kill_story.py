"""The cluster on real servers, under load all the time, while everything in it is killed, stopped and joined.

One cluster for all tests of this module; each strikes, and then finds every figure as if nothing had happened.
"""

import asyncio
import itertools
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from cluster_processes import Cluster, cluster_servers
from disasters import Scene, moments, rounds, suspended, write_rule
from servers import Server

from streams.redis_live import RedisLive
from streams.sql_store import SqlStore

pytestmark = pytest.mark.long

PARTITIONS = 8
PROCESSES = ["bridge", "worker-1", "gateway"]
SERVERS = ["broker", "kafka", "redis", "postgres"]
PAIRS = list(itertools.combinations([*PROCESSES, *SERVERS], 2))
STOPPED_S = 20.0


class Stage:
    """The cluster, its servers by name, and the scene in it."""

    def __init__(self, cluster: Cluster, servers: dict[str, Server], scene: Scene) -> None:
        self.cluster, self.servers, self.scene = cluster, servers, scene

    def kill(self, *names: str) -> None:
        """kill -9 of all of them at once; then each is started again as an orchestrator would."""
        for name in names:
            if name in self.servers:
                self.servers[name].kill()
            else:
                self.cluster.kill(name)
        for name in names:
            if name in self.servers:
                self.servers[name].start()
        for name in names:
            if name not in self.servers:
                self.cluster.again(name)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        servers = stack.enter_context(cluster_servers())
        cluster = Cluster(folder, *servers, write_rule(folder / "definitions"))
        stack.callback(lambda: print(f"ended by themselves and started again: {cluster.fallen}"))
        stack.callback(cluster.stop)
        cluster.begin(PARTITIONS)
        cluster.keep()
        scene = Scene(cluster, servers.broker.port, PARTITIONS)
        stack.callback(scene.close)
        yield Stage(cluster, servers._asdict(), scene)


@pytest.mark.parametrize(("name", "moment"), rounds([*PROCESSES, *SERVERS]))
def test_kill_9_of_one_in_mid_load(stage: Stage, name: str, moment: int) -> None:
    with stage.scene.disaster(name, random.Random(f"one {name} {moment}")):
        stage.kill(name)
    stage.scene.check()


@pytest.mark.parametrize("moment", range(moments(2)))
def test_kill_9_of_two_at_once_in_mid_load(stage: Stage, moment: int) -> None:
    order = random.Random("pairs").sample(PAIRS, len(PAIRS))
    pair = order[moment % len(order)]
    with stage.scene.disaster(" and ".join(pair), random.Random(f"two {moment}")):
        stage.kill(*pair)
    stage.scene.check()


@pytest.mark.parametrize(("name", "moment"), rounds(["worker-2", "bridge"]))
def test_one_that_stood_still_for_20_s_goes_on_and_does_no_harm(stage: Stage, name: str, moment: int) -> None:
    """The worker still believes that it owns partitions which the other has taken over meanwhile."""
    cluster = stage.cluster
    other = cluster.partitions_taken("worker-1")
    with stage.scene.disaster(f"SIGSTOP of {name}", random.Random(f"still {name} {moment}")):
        suspended(lambda: cluster.signal(name, signal.SIGSTOP), lambda: cluster.signal(name, signal.SIGCONT), STOPPED_S)
    if name != "bridge":
        assert cluster.partitions_taken("worker-1") > other, "the other took its partitions over"
    stage.scene.check()


@pytest.mark.parametrize("moment", range(moments()))
def test_a_worker_joins_leaves_in_order_joins_again_and_is_killed(stage: Stage, moment: int) -> None:
    chance = random.Random(f"rebalance {moment}")
    cluster, scene = stage.cluster, stage.scene

    def join() -> None:
        before = cluster.partitions_taken("worker-3") if "worker-3" in cluster.arguments else 0
        if "worker-3" in cluster.arguments:
            cluster.again("worker-3")
        else:
            cluster.start_worker("worker-3", PARTITIONS)
        cluster.until(lambda: cluster.partitions_taken("worker-3") > before, "worker-3 has partitions")

    with scene.disaster("a worker joins", chance):
        join()
    with scene.disaster("a worker leaves in order", chance):
        assert cluster.leave("worker-3") == 0
    with scene.disaster("a worker joins", chance):
        join()
    with scene.disaster("kill -9 of the worker that joined", chance):
        cluster.kill("worker-3")
    scene.check()


def test_an_empty_live_store_is_filled_again_also_with_what_does_not_change(stage: Stage) -> None:
    """Redis keeps nothing over its death: what nobody has spoken of since must be shown all the same."""
    scene = stage.scene
    scene.load.go()
    scene.check()
    before = live_keys(stage)
    stage.kill("redis")
    stage.cluster.until(lambda: before <= live_keys(stage), "everything that was in the live store is there again", 60)
    scene.until_alerts_stand()


def test_a_wall_finds_the_new_gateway_and_holds_what_the_gateway_holds(stage: Stage) -> None:
    scene = stage.scene
    connections = scene.wall.connections
    with scene.disaster("gateway", random.Random("wall")):
        stage.kill("gateway")
    scene.check()
    assert scene.wall.connections > connections


def test_the_database_holds_what_was_said(stage: Stage) -> None:
    sent = stage.scene.load.pause(60)
    stage.cluster.settled(sent)
    store = SqlStore(stage.cluster.database)
    counts = store.ledger_totals()
    store.close()
    assert (counts.accepted, counts.readings) == (sent, sent)
    assert counts.received == counts.accepted + counts.duplicate


def live_keys(stage: Stage) -> set[str]:
    """Keys of values and alerts in the live store."""

    async def ask() -> set[str]:
        live = RedisLive(stage.cluster.redis.url)
        try:
            return {key for key in (await live.since("", 0)).changes if key[:2] in ("k:", "a:")}
        finally:
            await live.close()

    return asyncio.run(ask())
