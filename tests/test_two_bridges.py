"""Two bridges of one name on one journal: the broker lets them in by turns, and nothing acknowledged is passed over."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from journal_shelf import PARTITIONS, Shelf, shelf_of
from mqtt_brokers import Broker, Publisher, start_mosquitto
from servers import running
from small_world import A, B, C, catalogue, nothing, senml

from sensors.batch import decode
from sensors.journal import JournalReader, Record
from sensors.mqtt_bridge import MqttAddress, MqttBridge
from sensors.system_clock import now_ms
from streams.partition import Partition

pytestmark = [pytest.mark.anyio, pytest.mark.long]

ROUND = 60
UNJOURNALED = 200


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running(start_mosquitto) as made:
        yield made


@pytest.fixture(params=["sqlite", "kafka"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    made = shelf_of(request, tmp_path)
    yield made
    await made.close()


class Followed:
    """The journal as it grows, by the worker's rule: messages at ordinals that were there before are passed over."""

    def __init__(self, reader: JournalReader) -> None:
        self.records: list[Record] = []
        self.taken: set[bytes] = set()
        self.written = self.overtaken = 0
        self._reader = reader
        self._offset = dict.fromkeys(range(PARTITIONS), 0)
        self._next_ordinal = dict.fromkeys(range(PARTITIONS), 0)

    async def until(self, count: int, overtaken: int = 0) -> None:
        """Until so many different messages have been taken, and a bridge has said that it was overtaken so often."""
        async with asyncio.timeout(60):
            while len(self.taken) < count or self.overtaken < overtaken:
                for number in range(PARTITIONS):
                    self._take(await self._reader.read(number, self._offset[number], 1_000))
                await asyncio.sleep(0.02)

    def _take(self, records: list[Record]) -> None:
        for record in records:
            batch = decode(record.batch)
            self.taken.update(batch.payloads[max(0, self._next_ordinal[batch.partition] - batch.first) :])
            self.written += len(batch.topics)
            self.overtaken = max(self.overtaken, batch.overtaken)
            self._next_ordinal[batch.partition] = max(self._next_ordinal[batch.partition], batch.after)
            self._offset[batch.partition] = record.offset + 1
        self.records += records


class Device:
    """80 sources over three units, each message with a time of its own, and different from all others."""

    def __init__(self, publisher: Publisher) -> None:
        self.published: list[bytes] = []
        self._publisher = publisher
        self._start = now_ms() - 400_000

    async def tell(self) -> None:
        """Publish a round of messages, and wait until the broker has all of them."""
        for number in range(len(self.published), len(self.published) + ROUND):
            source, step = number % 80, number // 80
            payload = senml("speed", self._start + step * 1_000 + source, 10 + number % 50)
            self._publisher.publish(f"ioc/{(A, B, C)[source % 3]}/traffic/s{source}", payload)
            self.published.append(payload)
        await asyncio.to_thread(self._publisher.settle)


@pytest.fixture
def device(broker: Broker) -> Iterator[Device]:
    publisher = Publisher(broker.port)
    yield Device(publisher)
    publisher.close()


@asynccontextmanager
async def bridging(broker: Broker, shelf: Shelf) -> AsyncIterator[MqttBridge]:
    journal, stop = await shelf.writer(), asyncio.Event()
    bridge = MqttBridge(MqttAddress.parse(broker.url), journal, now_ms, "twin", PARTITIONS)
    running = asyncio.create_task(bridge.run(stop))
    try:
        async with asyncio.timeout(20):
            await bridge.subscribed.wait()
        yield bridge
    finally:
        stop.set()
        await running


async def test_two_bridges_that_kick_each_other_out_lose_nothing_and_nothing_is_counted_twice(
    broker: Broker, shelf: Shelf, device: Device
) -> None:
    followed = Followed(await shelf.reader())
    async with bridging(broker, shelf) as first:
        await device.tell()
        await followed.until(ROUND)
        async with bridging(broker, shelf) as second:
            async with asyncio.timeout(60):
                while min(first.overtaken, second.overtaken) < 3:
                    await device.tell()
                    await followed.until(len(device.published) - UNJOURNALED)
            await followed.until(len(device.published) - UNJOURNALED, overtaken=3)
        await device.tell()
        await followed.until(len(device.published))
    assert followed.taken == set(device.published)
    assert followed.overtaken <= max(first.overtaken, second.overtaken)
    accepted = received = settled = 0
    for number in range(PARTITIONS):
        partition = Partition(number, catalogue(), nothing(), now_ms())
        for record in followed.records:
            if record.partition == number:
                partition.observe(record)
        totals = partition.evaluate(now_ms()).totals
        accepted, received, settled = accepted + totals.accepted, received + totals.received, settled + totals.settled
        assert totals.received == totals.accepted + totals.duplicate
    assert accepted == len(device.published)
    assert settled == received >= accepted


async def test_an_old_bridge_that_comes_back_numbers_anew_what_it_still_held(
    broker: Broker, shelf: Shelf, device: Device
) -> None:
    followed = Followed(await shelf.reader())
    async with bridging(broker, shelf) as old:
        await device.tell()
        await followed.until(ROUND)
        async with bridging(broker, shelf):
            await device.tell()
            await followed.until(2 * ROUND)
        # The broker lets the old one in again, which stands where it stood before the other came.
        async with asyncio.timeout(30):
            await old.subscribed.wait()
        await device.tell()
        await followed.until(3 * ROUND, overtaken=1)
        assert followed.overtaken <= old.overtaken
    assert followed.taken == set(device.published)
