"""What a worker finds at the end of the cluster's journal, of messages and of bridges, over a real Apache Kafka."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from journal_shelf import PARTITIONS, KafkaShelf
from servers import Absent, Server, start_kafka
from small_world import NOON, A, catalogue, senml

from control_center.answer import LedgerAnswer, ledger_of_live
from sensors.batch import Batch
from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.kafka_journal import TAIL, KafkaJournalReader
from streams.beat_engine import Engine
from streams.bridge import SILENT_MS
from streams.disk_watch import ends_source
from streams.fault import Seen
from streams.kafka_ends import LOOKS_SURE, SLOW_MS, KafkaEnds
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

pytestmark = [pytest.mark.anyio, pytest.mark.long]


def batch(partition: int, first: int, count: int) -> Batch:
    """So many messages, each of a second of its own."""
    payloads = [senml("speed", NOON + (first + step) * 1000, 40) for step in range(count)]
    return Batch(partition, first, NOON, "b1", 0, [f"ioc/{A}/traffic/cam"] * count, payloads, [NOON] * count)


@pytest.fixture
async def shelf(kafka_server: Server) -> AsyncIterator[KafkaShelf]:
    made = KafkaShelf(kafka_server.address)
    yield made
    await made.close()


def ends_of(
    shelf: KafkaShelf, wanted: Callable[[], Mapping[int, int]] = dict, judges: Callable[[], bool] = lambda: False,
    clock: Callable[[], int] = lambda: NOON,
) -> KafkaEnds:  # fmt: skip
    return KafkaEnds(shelf.servers, shelf.topic, wanted, judges, clock, {}, "database")


class Worker:
    """The engine of a cluster's worker that owns partitions 1 and 2, and reads when it is told to."""

    def __init__(self, shelf: KafkaShelf, folder: Path) -> None:
        self.live = MemoryLive("epoch")
        self.store = SqlStore(f"sqlite:///{folder / 'history.sqlite'}")
        self.store.migrate()
        self.ends = ends_of(shelf, self.wanted)
        self.engine = Engine(
            catalogue(), self.store, self.live, lambda: NOON, self._report, lambda: self.ends.ordinals, is_alone=False
        )

    def wanted(self) -> dict[int, int]:
        return {number: self.engine.offset(number) for number in self.engine.owned}

    async def _report(self, report: Report) -> None:
        """The roll-up is another worker's."""

    async def own(self) -> None:
        for number in (1, 2):
            await self.engine.own(number)

    async def read(self, reader: KafkaJournalReader, partition: int, limit: int = 100) -> None:
        for record in await reader.read(partition, self.engine.offset(partition), limit):
            await self.engine.observe(record)

    async def ledger(self, now: int) -> LedgerAnswer:
        """As `/api/ledger` tells it after a beat at `now`, and its checkpoint."""
        await self.engine.beat(now, final=True)
        told = (await self.live.since("", 0)).changes
        rows = [value for key, value in told.items() if key.startswith("l:") and value is not None]
        return ledger_of_live(rows, [], 0, {})

    async def close(self) -> None:
        await self.ends.close()
        self.store.close()


@pytest.fixture
async def worker(shelf: KafkaShelf, tmp_path: Path) -> AsyncIterator[Worker]:
    made = Worker(shelf, tmp_path)
    yield made
    await made.close()


async def test_the_ledger_tells_what_waits_in_the_journal_and_nothing_once_it_is_read(
    shelf: KafkaShelf, worker: Worker
) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    await writer.append([batch(0, 0, 9), batch(1, 0, 40), batch(1, 40, 5), batch(2, 0, 3)])
    await worker.own()
    assert (await worker.ledger(NOON))["received"] == 0
    await worker.ends.look()
    ledger = await worker.ledger(NOON + 500)
    assert (ledger["held"]["journal"], ledger["received"], ledger["difference"]) == (48, 48, 0)
    await worker.read(reader, 1, limit=1)
    # Journaled since that look; the worker's own count is newer than what the look found.
    await writer.append([batch(2, 3, 4)])
    await worker.read(reader, 2)
    ledger = await worker.ledger(NOON + 1_000)
    assert (ledger["held"]["journal"], ledger["received"], ledger["difference"]) == (5, 45 + 7, 0)
    await worker.read(reader, 1)
    ledger = await worker.ledger(NOON + 1_500)
    assert (ledger["held"]["journal"], ledger["in_flight"], ledger["difference"]) == (0, 0, 0)
    assert ledger["received"] == ledger["accepted"] + ledger["duplicate"] == 52


async def test_partitions_are_looked_at_as_they_come_to_the_worker_and_as_they_are_read_to_the_end(
    shelf: KafkaShelf, worker: Worker
) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    await writer.append([batch(number, 0, 10) for number in range(PARTITIONS)])
    await worker.ends.look()
    assert worker.ends.ordinals == {}, "nothing is the worker's"
    await worker.engine.own(1)
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 10}
    await worker.read(reader, 1)
    await worker.engine.own(2)
    await writer.append([batch(1, 10, 1), batch(2, 10, 1)])
    await worker.read(reader, 1)
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 10, 2: 11}, "of 1 the worker's own count is the newer, and says it all"
    # Dropped before its checkpoint, and back: what was read is not, and the look must not rely on it.
    worker.engine.disown(1)
    await worker.engine.own(1)
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 11, 2: 11}


async def test_the_end_is_the_highest_ordinal_also_behind_an_old_writers_records_and_never_goes_back(
    shelf: KafkaShelf, worker: Worker
) -> None:
    old, new = await shelf.writer(), await shelf.writer()
    await worker.own()
    await old.next_ordinals()
    await new.append([batch(1, 0, 10)])
    with pytest.raises(Overtaken):
        await old.append([batch(1, first, 1) for first in range(8)])
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 10}
    await old.next_ordinals()
    await new.append([batch(1, 10, 1)])
    with pytest.raises(Overtaken):
        await old.append([batch(1, 9, 1)])
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 11}
    await old.next_ordinals()
    await new.append([batch(1, 11, 1)])
    await worker.ends.look()
    with pytest.raises(Overtaken):
        await old.append([batch(1, 9, 2)])
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 12}
    await old.next_ordinals()
    for first in range(12, 12 + 2 * TAIL):
        await old.append([batch(1, first, 1)])
    await worker.ends.look()
    assert worker.ends.ordinals == {1: 12 + 2 * TAIL}


@pytest.fixture
def own_kafka() -> Iterator[Server]:
    try:
        made = start_kafka()
    except Absent as absent:
        pytest.skip(str(absent))
    yield made
    made.remove()


async def test_while_kafka_is_away_the_end_is_as_last_known_and_goes_on_when_it_is_back(own_kafka: Server) -> None:
    shelf = KafkaShelf(own_kafka.address)
    writer = await shelf.writer()
    await writer.append([batch(1, 0, 10)])
    now = NOON
    ends = ends_of(shelf, lambda: {1: 0}, lambda: True, lambda: now)
    look = ends_source(ends)
    await ends.look()
    await asyncio.to_thread(own_kafka.kill)
    with pytest.raises(Unavailable):
        await ends.look()
    assert ends.ordinals == {1: 10}
    running = asyncio.create_task(ends.run())
    async with asyncio.timeout(60):
        while not ends.is_away:
            await asyncio.sleep(0.05)
    assert look(now) == {}
    now += SILENT_MS + 1
    assert look(now) == {"bridge_silent": Seen()}, "of no bridge by name: it is Kafka that does not answer"
    await asyncio.to_thread(own_kafka.start)
    async with asyncio.timeout(60):
        while True:
            try:
                await writer.append([batch(1, 10, 5)])
                break
            except Unavailable:
                continue
        while ends.ordinals != {1: 15} or ends.is_away:
            assert not running.done()
            await asyncio.sleep(0.05)
    assert look(now) == {}
    running.cancel()
    await asyncio.wait({running})
    await shelf.close()


def heartbeat(partition: int, bridge: str, sealed_at: int) -> Batch:
    return Batch(partition, 0, sealed_at, bridge, 0, [], [], [])


async def test_a_topic_that_ends_before_what_was_read_is_another_one_and_refused(
    shelf: KafkaShelf, worker: Worker
) -> None:
    writer = await shelf.writer()
    await writer.append([batch(1, 0, 5)])
    beginning = ends_of(shelf)
    await beginning.match({1: 1, 2: 0})
    with pytest.raises(SettingsError, match=rf"{shelf.topic}: .* database .*its partition 1 ends at 1, and was read"):
        await beginning.match({1: 3})
    # In a worker that is at work, it is believed when it was seen some times in a row.
    await worker.own()
    worker.engine.skip_to(1, 3)
    for _ in range(LOOKS_SURE - 1):
        await worker.ends.look()
    await writer.append([batch(1, 5, 1), batch(1, 6, 1)])
    await worker.ends.look()
    worker.engine.skip_to(1, 4)
    for _ in range(LOOKS_SURE - 1):
        await worker.ends.look()
    with pytest.raises(SettingsError):
        await worker.ends.look()


async def test_the_worker_that_judges_hears_every_bridge_whoever_reads_its_partitions(shelf: KafkaShelf) -> None:
    """Three bridges, of which the third falls silent, and then two with all of its partitions."""
    now, judges = NOON, True
    ends = ends_of(shelf, judges=lambda: judges, clock=lambda: now)
    look, writer = ends_source(ends), await shelf.writer()
    await ends.look()
    assert look(now) == {}
    await writer.append([heartbeat(number, f"b{number % 3 + 1}", now) for number in range(PARTITIONS)])
    await ends.look()
    now += SILENT_MS + 1
    await writer.append([heartbeat(number, f"b{number + 1}", now) for number in (0, 1)])
    await ends.look()
    assert look(now) == {"bridge_silent": Seen("b3", "b3")}
    judges = False
    await ends.look()
    assert look(now) == {}, "that is for another worker to say now"
    judges = True
    await ends.look()
    assert look(now) == {"bridge_silent": Seen("b3", "b3")}, "at once: this worker has run for long enough"
    await writer.append([heartbeat(number, f"new{number % 2 + 1}", now) for number in range(PARTITIONS)])
    await ends.look()
    assert look(now) == {}
    await ends.close()


async def test_a_record_that_was_under_way_for_seconds_makes_the_journal_slow_by_the_name_of_its_bridge(
    shelf: KafkaShelf,
) -> None:
    now = NOON
    ends = ends_of(shelf, judges=lambda: True, clock=lambda: now)
    look, writer = ends_source(ends), await shelf.writer()
    await writer.append([heartbeat(0, "quick", now), heartbeat(1, "slow", now)])
    await ends.look()
    now += 3_000
    await ends.look()
    await writer.append([heartbeat(0, "quick", now + 900), heartbeat(1, "slow", now - 2_000)])
    now += 1_000
    await ends.look()
    assert look(now) == {"journal_slow": Seen("slow", "slow")}
    await writer.append([heartbeat(0, "quick", now)])
    await ends.look()
    assert look(now) == {"journal_slow": Seen("slow", "slow")}
    await writer.append([heartbeat(1, "slow", now)])
    await ends.look()
    assert look(now) == {}
    await ends.close()


async def test_a_kafka_that_stands_still_for_seconds_is_a_slow_journal_and_a_worker_that_does_is_not(
    own_kafka: Server,
) -> None:
    shelf = KafkaShelf(own_kafka.address)
    await (await shelf.writer()).append([heartbeat(0, "one", NOON), heartbeat(1, "two", NOON)])
    ends = ends_of(shelf, judges=lambda: True)
    look = ends_source(ends)
    await ends.look()
    assert look(NOON) == {}

    async def look_until_slow() -> None:
        while not ends.is_slow:  # Kafka may answer once more while it is being stopped
            await ends.look()

    own_kafka.process.send_signal(signal.SIGSTOP)
    looking = asyncio.create_task(look_until_slow())
    try:
        async with asyncio.timeout(20):
            while not ends.is_slow:
                await asyncio.sleep(0.05)
        assert look(NOON) == {"journal_slow": Seen()}
        assert look(NOON + SILENT_MS + 1) == {"journal_slow": Seen(), "bridge_silent": Seen()}, "and no bridge by name"
    finally:
        own_kafka.process.send_signal(signal.SIGCONT)
    await looking
    assert look(NOON) == {"journal_slow": Seen()}, "until a look is answered quickly"
    await ends.look()
    assert look(NOON) == {}
    assert look(NOON + SILENT_MS + 1) == {"bridge_silent": Seen("one, two", "one, two")}
    looking = asyncio.create_task(ends.look())
    await asyncio.sleep(0)
    threading.Event().wait(SLOW_MS / 1000 + 1)  # nothing else runs here meanwhile
    await looking
    assert not ends.is_slow
    await ends.close()
    await shelf.close()
