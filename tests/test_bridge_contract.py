"""The bridge's contract, on NATS and on Mosquitto: acknowledged means journaled, and nothing is lost or reordered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from mqtt_brokers import Broker, Publisher, start_mosquitto, start_nats
from paho.mqtt import subscribe
from servers import Absent

from sensors.batch import Batch, decode
from sensors.errors import SettingsError, Unavailable
from sensors.mqtt_bridge import MqttAddress, MqttBridge
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms
from sensors.topic import partition_of

pytestmark = [pytest.mark.anyio, pytest.mark.long]

PARTITIONS = 4
UNITS = [f"{code:05d}" for code in range(6652, 6700, 5)]


@pytest.fixture(scope="module", params=["nats", "mosquitto", "mosquitto, MQTT 5"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    try:
        made = start_nats(ack_pending=1_000) if request.param == "nats" else start_mosquitto()
    except Absent as absent:
        pytest.skip(str(absent))
    made.protocol = 5 if "5" in request.param else 3  # type: ignore[attr-defined]
    yield made
    made.remove()


class Slow:
    """A journal that can be made not to answer; otherwise the real one."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.answers = asyncio.Event()
        self.answers.set()
        self.refused = asyncio.Event()

    async def append(self, batches: Sequence[Batch]) -> None:
        if not self.answers.is_set():
            self.refused.set()
            raise Unavailable("not now")
        await self.journal.append(batches)

    async def next_ordinals(self) -> dict[int, int]:
        return await self.journal.next_ordinals()

    async def close(self) -> None:
        await self.journal.close()


class Desk:
    """A bridge into a journal of its own, and what the journal holds."""

    def __init__(self, broker: Broker, path: Path, name: str) -> None:
        self.broker = broker
        self.path = path
        self.name = name

    @asynccontextmanager
    async def bridge(self, share: int = 1, shares: int = 1) -> AsyncIterator[tuple[MqttBridge, Slow]]:
        journal = Slow(SqliteJournal.open(self.path, PARTITIONS))
        bridge = MqttBridge(
            MqttAddress.parse(self.broker.url), journal, now_ms, f"{self.name}-{share}", PARTITIONS, share, shares,
            UNITS, self.broker.protocol,  # type: ignore[attr-defined]
        )  # fmt: skip
        stop = asyncio.Event()
        running = asyncio.create_task(bridge.run(stop))
        try:
            async with asyncio.timeout(20):
                await bridge.subscribed.wait()
            yield bridge, journal
        finally:
            stop.set()
            await running
            await journal.close()

    async def batches(self) -> list[Batch]:
        journal = SqliteJournal.open(self.path, PARTITIONS)
        found = [
            decode(record.batch) for number in range(PARTITIONS) for record in await journal.read(number, 0, 100_000)
        ]
        await journal.close()
        return found

    async def until(self, holds: Callable[[list[Batch]], bool]) -> list[Batch]:
        async with asyncio.timeout(40):
            while not holds(found := await self.batches()):
                await asyncio.sleep(0.05)
        return found


@pytest.fixture
def desk(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(broker, tmp_path / "journal.sqlite", f"b{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture
def device(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker.port)
    yield made
    made.close()


def retained(port: int, topic: str) -> bytes:
    """The retained message of a topic."""
    message = subscribe.simple(topic, 1, hostname="127.0.0.1", port=port)
    assert isinstance(message, mqtt.MQTTMessage)
    return bytes(message.payload)


def payloads(batches: list[Batch]) -> list[bytes]:
    return [payload for batch in batches for payload in batch.payloads]


def numbered(count: int, prefix: str = "") -> list[tuple[str, bytes]]:
    return [(f"ioc/{UNITS[n % len(UNITS)]}/air/s{n % 7}", f"{prefix}{n}".encode()) for n in range(count)]


async def test_every_message_is_journaled_in_order_of_its_source_with_topic_and_time(
    desk: Desk, device: Publisher
) -> None:
    messages = numbered(3_000)
    async with desk.bridge():
        await asyncio.to_thread(device.publish_all, messages)
        await asyncio.to_thread(device.settle)
        batches = await desk.until(lambda found: len(payloads(found)) >= 3_000)
    assert sorted(payloads(batches)) == sorted(payload for _, payload in messages)
    for topic in {topic for topic, _ in messages}:
        told = [p for batch in batches for t, p in zip(batch.topics, batch.payloads, strict=True) if t == topic]
        assert told == [payload for t, payload in messages if t == topic]
    for batch in batches:
        assert all(partition_of(topic, PARTITIONS) == batch.partition for topic in batch.topics)
        assert all(abs(at - batch.sealed_at) < 5_000 for at in batch.received_at)


async def test_ordinals_have_no_gap_through_a_restart_of_the_bridge(desk: Desk, device: Publisher) -> None:
    for part in range(2):
        async with desk.bridge():
            await asyncio.to_thread(device.publish_all, numbered(500, f"{part}-"))
            batches = await desk.until(lambda found, part=part: len(payloads(found)) >= 500 * (part + 1))  # type: ignore[misc]
    for number in range(PARTITIONS):
        at = 0
        for batch in batches:
            if batch.partition == number:
                assert batch.first == at
                at = batch.after


async def test_what_is_said_while_the_bridge_is_away_is_there_when_it_comes_back(
    desk: Desk, device: Publisher
) -> None:
    async with desk.bridge():
        await desk.until(lambda found: any(not batch.topics for batch in found))
    await asyncio.to_thread(device.publish_all, numbered(200))
    await asyncio.to_thread(device.settle)
    async with desk.bridge():
        batches = await desk.until(lambda found: len(payloads(found)) >= 200)
    assert len(set(payloads(batches))) == 200


async def test_nothing_is_acknowledged_while_the_journal_does_not_answer_and_nothing_is_lost(
    desk: Desk, device: Publisher
) -> None:
    async with desk.bridge() as (bridge, journal):
        journal.answers.clear()
        await asyncio.to_thread(device.publish_all, numbered(300))
        await asyncio.to_thread(device.settle)
        await journal.refused.wait()
        assert bridge.journaled == 0
    # The bridge went without having journaled anything: the broker still has all of it.
    async with desk.bridge():
        batches = await desk.until(lambda found: len(set(payloads(found))) >= 300)
    assert len(set(payloads(batches))) == 300


async def test_a_bridge_says_online_and_offline_as_a_retained_status(desk: Desk, broker: Broker) -> None:
    async with desk.bridge() as (bridge, _):
        online = await asyncio.to_thread(retained, broker.port, bridge.status_topic)
    assert online == b"online"
    assert await asyncio.to_thread(retained, broker.port, bridge.status_topic) == b"offline"


async def test_two_bridges_share_the_units_and_each_message_is_journaled_once(desk: Desk, device: Publisher) -> None:
    async with desk.bridge(1, 2), desk.bridge(2, 2):
        await desk.until(lambda found: len({batch.bridge for batch in found}) == 2)
        await asyncio.to_thread(device.publish_all, numbered(1_000))
        batches = await desk.until(lambda found: len(payloads(found)) >= 1_000)
    assert sorted(payloads(batches)) == sorted(payload for _, payload in numbered(1_000))
    writers = {batch.partition: batch.bridge for batch in batches if batch.topics}
    assert {name[-1] for number, name in writers.items() if number % 2 == 0} <= {"1"}
    assert {name[-1] for number, name in writers.items() if number % 2 == 1} <= {"2"}


@pytest.mark.parametrize("url", ["", "localhost", "http://x:1", "mqtt://", "mqtt://x:port", "mqtt://x/path"])
def test_a_wrong_address_is_named_with_what_was_expected(url: str) -> None:
    with pytest.raises(SettingsError, match="mqtt://host:port"):
        MqttAddress.parse(url)


def test_an_address_carries_user_password_and_tls() -> None:
    assert MqttAddress.parse("mqtts://ioc:s%40cret@broker") == MqttAddress("broker", 8883, "ioc", "s@cret", True)
