"""The cluster's disks fill up, PostgreSQL's and Kafka's: acknowledging stops, everybody is told, and nothing is lost.

Each of the two servers' data lie on a small tmpfs of its own, which a filler makes full; the load goes on all the time.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from cluster_processes import (
    Cluster,
    start_cluster_broker,
    start_cluster_kafka,
    start_cluster_postgres,
    start_cluster_redis,
)
from disasters import Scene, write_rule
from servers import PostgresServer, Server, running
from small_disk import Disk, small_disk

from sensors.kafka_journal import TOPIC

pytestmark = pytest.mark.long

PARTITIONS = 8
DATABASE_MB, KAFKA_MB = 256, 128
GROUP = "ioc-worker"
TOLD_S = 15.0


class Stage:
    """The cluster under load, with the two servers whose disks are small."""

    def __init__(
        self, cluster: Cluster, scene: Scene, postgres: PostgresServer, kafka: Server, disks: dict[str, Disk]
    ) -> None:
        self.cluster, self.scene, self.postgres, self.kafka, self.disks = cluster, scene, postgres, kafka, disks

    def committed(self) -> dict[int, int]:
        """The offsets that the workers have acknowledged to Kafka, by partition."""

        async def ask() -> dict[int, int]:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.address)
            await admin.start()
            try:
                found = await admin.list_consumer_group_offsets(GROUP)
            finally:
                await admin.close()
            return {place.partition: stands.offset for place, stands in found.items() if place.topic == TOPIC}

        return asyncio.run(ask())

    def published_meanwhile(self, count: int = 480) -> None:
        """Return when so many more messages have been published."""
        before = self.scene.load.published
        self.cluster.until(lambda: self.scene.load.published >= before + count, "the load goes on")

    def told(self, what: str) -> None:
        """Return when `/ready` and the wall tell of this fault."""
        self.cluster.until(lambda: what in self.cluster.reasons(), f"{what} is told", TOLD_S)
        assert what in self.cluster.on_the_wall()

    def is_well(self) -> None:
        """No fault is told any more, and everything is counted exactly once."""
        self.cluster.until(lambda: not self.cluster.reasons(), "it is ready again")
        assert self.cluster.on_the_wall() == {}
        self.scene.check()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        # Not below pytest's own folder: PostgreSQL's user may not enter that.
        root = Path(tempfile.mkdtemp(prefix="ioc-disks-"))
        root.chmod(0o755)
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        disks = {
            "postgres": stack.enter_context(small_disk(root / "postgres", DATABASE_MB)),
            "kafka": stack.enter_context(small_disk(root / "kafka", KAFKA_MB)),
        }
        broker = stack.enter_context(running(start_cluster_broker))
        kafka = stack.enter_context(running(partial(start_cluster_kafka, disks["kafka"].folder / "log")))
        postgres = stack.enter_context(running(partial(start_cluster_postgres, disks["postgres"].folder)))
        redis = stack.enter_context(running(start_cluster_redis))
        cluster = Cluster(folder, broker, kafka, postgres, redis, write_rule(folder / "definitions"))
        stack.callback(cluster.stop)
        cluster.begin(PARTITIONS)
        cluster.keep()
        scene = Scene(cluster, broker.port, PARTITIONS)
        stack.callback(scene.close)
        yield Stage(cluster, scene, postgres, kafka, disks)


def test_workers_acknowledge_nothing_while_the_database_s_disk_is_full_and_go_on_when_there_is_room(
    stage: Stage,
) -> None:
    with stage.scene.disaster("a full disk of the database", random.Random("database")):
        stage.disks["postgres"].leave(0)
        stage.told("checkpoint_waits")
        stood = stage.committed()
        assert len(stood) == PARTITIONS
        stage.published_meanwhile()
        assert stage.committed() == stood
        stage.disks["postgres"].make_room()
    stage.is_well()


def test_a_database_that_died_of_its_full_disk_is_started_again_and_nothing_is_lost(stage: Stage) -> None:
    postgres = stage.postgres

    def is_dead() -> bool:
        """PostgreSQL panics when it has no room for its next file of WAL; so it is asked for one."""
        with suppress(psycopg.Error), psycopg.connect(f"postgresql://ioc@{postgres.address}/postgres") as connection:
            connection.execute("SELECT pg_logical_emit_message(false, 'story', 'more')")
            connection.execute("SELECT pg_switch_wal()")
        return postgres.process.poll() is not None

    with stage.scene.disaster("a database that died of its full disk", random.Random("panic")):
        stage.disks["postgres"].leave(0)
        stage.cluster.until(is_dead, "PostgreSQL ends itself", 60)
        stage.told("checkpoint_waits")
        assert "the database không trả lời / does not answer" in stage.cluster.reasons()
        stood = stage.committed()
        stage.published_meanwhile()
        assert stage.committed() == stood
        stage.disks["postgres"].make_room()
        postgres.start()
    stage.is_well()


def test_a_kafka_that_died_of_its_full_disk_is_told_of_also_by_new_workers_and_nothing_is_lost(stage: Stage) -> None:
    cluster, kafka = stage.cluster, stage.kafka
    with stage.scene.disaster("a Kafka that died of its full disk", random.Random("kafka")):
        stage.disks["kafka"].leave(0)
        cluster.until(lambda: kafka.process.poll() is not None, "Kafka halts: its only log folder has failed", 30)
        stage.told("bridge_silent")
        log = cluster.folder / "bridge.log"
        refused = "journal does not answer; nothing is acknowledged meanwhile"
        cluster.until(lambda: refused in log.read_text(), "the bridge says so in its log", TOLD_S)
        # What it held dies with it: had it acknowledged any of that, nobody would tell it again.
        cluster.kill("bridge")
        cluster.again("bridge")
        stage.published_meanwhile()
        assert "bridge_silent" in cluster.reasons()
        for name in ("worker-1", "worker-2"):
            cluster.kill(name)
            cluster.again(name)
        stage.told("journal_waits")
        stage.disks["kafka"].make_room()
        kafka.start()
    stage.is_well()
