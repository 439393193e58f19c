"""What a worker of the cluster owns is what Kafka has assigned to it, whatever Kafka says, or does not, of the rest."""

from pathlib import Path

import pytest
from faust.types import TP
from small_world import NOON, catalogue

from streams.faust_worker import REPORTS_TOPIC, ClusterWorker
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
PARTITIONS = 4
JOURNAL = "ioc.batches"


@pytest.fixture
async def worker(tmp_path: Path) -> ClusterWorker:
    """One that has all partitions and the roll-up; nothing listens at its Kafka's address."""
    store = SqlStore(f"sqlite:///{tmp_path}/history.sqlite")
    store.migrate()
    made = ClusterWorker(catalogue(), store, MemoryLive("e"), "127.0.0.1:9", PARTITIONS, lambda: NOON, JOURNAL)
    for number in range(PARTITIONS):
        await made.engine.own(number)
    await made.engine.own_roll_up()
    return made


async def test_a_worker_that_kafka_had_forgotten_keeps_only_what_it_is_assigned_when_it_joins_again(
    worker: ClusterWorker,
) -> None:
    """Kafka does not tell it what is revoked."""
    await worker.app.on_partitions_assigned.send({TP(JOURNAL, 0), TP(JOURNAL, 2)})
    assert (worker.engine.owned, worker.engine.owns_roll_up) == ([0, 2], False)
    await worker.app.on_partitions_assigned.send({TP(JOURNAL, 3), TP(REPORTS_TOPIC, 0)})
    assert (worker.engine.owned, worker.engine.owns_roll_up) == ([3], True)


async def test_what_was_recovered_while_kafka_gave_it_to_another_is_dropped(worker: ClusterWorker) -> None:
    assigned = {TP(JOURNAL, 1), TP(REPORTS_TOPIC, 0)}
    worker.keep_only(assigned)
    assert (worker.engine.owned, worker.engine.owns_roll_up) == ([1], True)
    worker.keep_only({TP(JOURNAL, 1)})
    assert (worker.engine.owned, worker.engine.owns_roll_up) == ([1], False)
    worker.keep_only(set())
    assert worker.engine.owned == []
