"""The bridge's contract, on NATS and on Mosquitto: acknowledged means journaled, and nothing is lost or reordered."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from mqtt_brokers import SAVES_SELDOM, Broker, Publisher, start_mosquitto, start_nats
from paho.mqtt import subscribe
from scripted_broker import ScriptedBroker, publish
from servers import running

from sensors.batch import Batch, decode
from sensors.errors import SettingsError, Unavailable
from sensors.mqtt_bridge import MqttAddress, MqttBridge
from sensors.packet import Publish
from sensors.packing import Counts
from sensors.paho_client import FastClient, PlainClient
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms
from sensors.topic import partition_of
from streams.asyncio_signal import Signal

pytestmark = [pytest.mark.anyio, pytest.mark.long]

PARTITIONS = 4
UNITS = [f"{code:05d}" for code in range(6652, 6700, 5)]


@pytest.fixture(scope="module", params=["nats", "mosquitto", "mosquitto, MQTT 5"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    start = partial(start_nats, 1_000) if request.param == "nats" else partial(start_mosquitto, SAVES_SELDOM)
    with running(start) as made:
        made.protocol = 5 if "5" in request.param else 3  # type: ignore[attr-defined]
        made.resends = request.param == "nats"  # type: ignore[attr-defined]
        yield made


class Slow:
    """A journal that can be made not to answer; otherwise the real one. `appended` is raised when it has more."""

    def __init__(self, journal: SqliteJournal, appended: Signal) -> None:
        self.journal = journal
        self.appended = appended
        self.answers = asyncio.Event()
        self.answers.set()
        self.refused = asyncio.Event()

    async def append(self, batches: Sequence[Batch]) -> None:
        if not self.answers.is_set():
            self.refused.set()
            raise Unavailable("not now")
        await self.journal.append(batches)
        self.appended.raise_()

    async def next_ordinals(self) -> dict[int, int]:
        return await self.journal.next_ordinals()

    async def close(self) -> None:
        await self.journal.close()


class Watched(MqttBridge):
    """A bridge that says when something has arrived; what it does with it is the bridge's own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.arrived = Signal()

    def _on_publishes(self, publishes: list[Publish]) -> None:
        super()._on_publishes(publishes)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.arrived.raise_)

    async def until(self, holds: Callable[[Counts], bool]) -> None:
        """Return when the counts are so."""
        async with asyncio.timeout(20):
            arrived = self.arrived.next()
            while not holds(self.counts()):
                await arrived.wait()
                arrived = self.arrived.next()


class Desk:
    """A bridge into a journal of its own, and what the journal holds."""

    def __init__(
        self, broker: Broker | ScriptedBroker, path: Path, name: str, client: type[PlainClient] | None = None
    ) -> None:
        self.broker = broker
        self.path = path
        self.name = name
        self.client = client
        self.appended = Signal()

    @asynccontextmanager
    async def bridge(
        self, share: int = 1, shares: int = 1, clock: Callable[[], int] = now_ms
    ) -> AsyncIterator[tuple[Watched, Slow]]:
        journal = Slow(SqliteJournal.open(self.path, PARTITIONS), self.appended)
        bridge = Watched(
            MqttAddress.parse(self.broker.url), journal, clock, f"{self.name}-{share}", PARTITIONS, share, shares,
            UNITS, self.broker.protocol, self.client,  # type: ignore[union-attr]
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
        """What a bridge has journaled, once it is so; looked at whenever there is more."""
        async with asyncio.timeout(40):
            appended = self.appended.next()
            while not holds(found := await self.batches()):
                await appended.wait()
                appended = self.appended.next()
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


async def test_what_is_said_while_the_bridge_is_away_is_there_when_it_comes_back(desk: Desk, device: Publisher) -> None:
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


async def test_payloads_of_nothing_and_of_a_mebibyte_arrive_whole(desk: Desk, device: Publisher) -> None:
    # NATS counts what it adds, topic and flags, into its limit of 1 MiB.
    most = 2**20 - (1_000 if desk.broker.resends else 0)  # type: ignore[union-attr]
    sizes = [0, 1, most, 0, 126, 16_300, most, 1]
    async with desk.bridge():
        for size in sizes:
            device.publish(f"ioc/{UNITS[0]}/air/s1", b"x" * size)
        batches = await desk.until(lambda found: len(payloads(found)) >= len(sizes))
    assert [len(payload) for payload in payloads(batches)] == sizes


async def test_every_batch_says_how_many_messages_arrived_and_nothing_is_unaccounted(
    desk: Desk, device: Publisher
) -> None:
    async with desk.bridge() as (bridge, journal):
        await asyncio.to_thread(device.publish_all, numbered(300))
        await desk.until(lambda found: len(payloads(found)) >= 300)
        # The broker sends again what it has no answer to, while the bridge holds it.
        journal.answers.clear()
        await asyncio.to_thread(device.publish_all, numbered(100, "held"))
        if desk.broker.resends:  # type: ignore[union-attr]
            await bridge.until(lambda counts: counts.repeated > 0)
        journal.answers.set()
        batches = await desk.until(lambda found: len(payloads(found)) >= 400 and not found[-1].pending)
    assert_accounted(batches)
    assert max(batch.arrived for batch in batches) >= 400


def assert_accounted(batches: list[Batch]) -> None:
    """arrived = journaled + pending + repeated, for every batch, with all that were sealed with it or before."""
    for batch in batches:
        journaled = batch.arrived - batch.repeated - batch.pending
        before = [one for one in batches if one.arrived - one.repeated - one.pending <= journaled]
        assert sum(len(one.topics) for one in before) == journaled


# What no real broker can be told to do


@pytest.fixture(params=[FastClient, PlainClient])
async def scripted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[ScriptedBroker, Desk]]:
    async with ScriptedBroker() as broker:
        yield broker, Desk(broker, tmp_path / "journal.sqlite", "scripted", request.param)


async def test_ten_thousand_messages_in_one_burst_are_acknowledged_only_when_the_journal_has_them(
    scripted: tuple[ScriptedBroker, Desk],
) -> None:
    broker, desk = scripted
    messages = [(f"ioc/{UNITS[n % len(UNITS)]}/air/s{n % 7}".encode(), n + 1, b"%d" % n) for n in range(10_000)]
    async with desk.bridge() as (bridge, journal):
        journal.answers.clear()
        await broker.send(b"".join(publish(*one) for one in messages))
        async with asyncio.timeout(20):
            await journal.refused.wait()
        await bridge.until(lambda counts: counts.arrived >= 10_000)
        assert broker.acknowledged == []
        journal.answers.set()
        await broker.until_acknowledged(10_000)
        batches = await desk.batches()
    assert sorted(broker.acknowledged) == list(range(1, 10_001))
    assert sorted(payloads(batches)) == sorted(payload for _, _, payload in messages)
    assert_accounted(batches)


async def test_an_acknowledgement_never_comes_before_its_message_is_in_the_journal(
    scripted: tuple[ScriptedBroker, Desk],
) -> None:
    broker, desk = scripted
    async with desk.bridge():
        for start in range(1, 1_000, 50):
            for mid in range(start, start + 50):
                await broker.send(publish(b"ioc/06652/air/s1", mid, b"%d" % mid))
            await broker.until_acknowledged(start)
            answered = list(broker.acknowledged)
            journaled = {int(payload) for payload in payloads(await desk.batches())}
            assert journaled.issuperset(answered)


async def test_messages_cut_by_the_network_at_every_byte_arrive_whole(scripted: tuple[ScriptedBroker, Desk]) -> None:
    broker, desk = scripted
    message = publish("ioc/06652/air/sô".encode(), 1, b"payload")
    async with desk.bridge():
        # One write ends a message and begins the next: once the first is acknowledged, its reader stands at the cut.
        for cut in range(1, len(message)):
            await broker.send(message[cut - 1 :] + message[:cut])
            await broker.until_acknowledged(cut)
        await broker.send(message[-1:])
        await broker.until_acknowledged(len(message))
        batches = await desk.batches()
    assert payloads(batches) == [b"payload"] * len(message)
    assert {topic for batch in batches for topic in batch.topics} == {"ioc/06652/air/sô"}


async def test_what_is_sent_again_after_a_cut_is_acknowledged_in_the_new_connection(
    scripted: tuple[ScriptedBroker, Desk],
) -> None:
    broker, desk = scripted
    async with desk.bridge() as (_, journal):
        journal.answers.clear()
        await broker.send(publish(b"ioc/06652/air/s1", 1, b"first") + publish(b"ioc/06652/air/s1", 2, b"sec")[:-2])
        async with asyncio.timeout(20):
            await journal.refused.wait()
            broker.cut()
            await broker.subscribed.wait()
        # Numbers begin anew: 2 is now the first message, and 1 another.
        await broker.send(publish(b"ioc/06652/air/s1", 2, b"first", True) + publish(b"ioc/06652/air/s1", 1, b"other"))
        journal.answers.set()
        await broker.until_acknowledged(2)
        batches = await desk.until(lambda found: len(payloads(found)) >= 3)
    assert payloads(batches) == [b"first", b"first", b"other"]
    assert sorted(broker.acknowledged) == [1, 2]
    assert [index for batch in batches for index in batch.redelivered] == [0]
    assert_accounted(batches)


async def test_a_bridge_that_another_has_overtaken_numbers_anew_says_so_and_acknowledges_only_then(
    scripted: tuple[ScriptedBroker, Desk],
) -> None:
    broker, desk = scripted
    number = partition_of("ioc/06652/air/s1", PARTITIONS)
    async with desk.bridge() as (bridge, journal):
        await broker.send(publish(b"ioc/06652/air/s1", 1, b"first"))
        await broker.until_acknowledged(1)
        others = [b"other"] * 10
        await journal.append([Batch(number, 1, 0, "other", 0, ["t"] * 10, others, [0] * 10)])
        await broker.send(publish(b"ioc/06652/air/s1", 2, b"second") + publish(b"ioc/06652/air/s1", 3, b"third"))
        await broker.until_acknowledged(3)
        batches = [batch for batch in await desk.batches() if batch.topics]
        assert bridge.counts().overtaken == bridge.overtaken >= 1
    assert payloads(batches) == [b"first", *others, b"second", b"third"]
    assert [batch.first for batch in batches[:3]] == [0, 1, 11]
    assert (batches[0].renumbered, batches[2].renumbered, batches[2].redelivered) == (False, True, [])
    assert (batches[0].overtaken, batches[0].overtaken_at) == (0, 0)
    assert batches[2].overtaken == 1
    assert batches[0].sealed_at <= batches[2].sealed_at <= batches[2].overtaken_at <= now_ms()


async def test_a_bridge_whose_clock_is_set_back_goes_on_saying_that_it_is_there(
    scripted: tuple[ScriptedBroker, Desk],
) -> None:
    _, desk = scripted
    now = [2_000_000]
    async with desk.bridge(clock=lambda: now[0]):
        await desk.until(lambda found: len(found) == PARTITIONS)
        now[0] = 1_000_000
        await desk.until(lambda found: any(batch.sealed_at == now[0] for batch in found))


async def test_a_partition_to_which_nobody_sends_has_a_heartbeat_every_hour_so_that_its_numbering_never_expires(
    scripted: tuple[ScriptedBroker, Desk],
) -> None:
    _, desk = scripted
    now = [1_000_000]
    async with desk.bridge(clock=lambda: now[0]):
        await desk.until(lambda found: len(found) == PARTITIONS)
        now[0] += 3_599_000
        found = await desk.until(lambda found: any(batch.sealed_at == now[0] for batch in found))
        assert {batch.partition for batch in found if batch.sealed_at == now[0]} == {0}
        now[0] += 1_000
        found = await desk.until(lambda found: any(batch.sealed_at == now[0] for batch in found))
        assert {batch.partition for batch in found if batch.sealed_at == now[0]} == set(range(PARTITIONS))


async def test_a_bridge_says_that_no_broker_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    journal, failed, stop = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS), Signal(), asyncio.Event()
    loop = asyncio.get_running_loop()

    class Listening(FastClient):
        def _handle_on_connect_fail(self) -> None:
            super()._handle_on_connect_fail()  # type: ignore[no-untyped-call]
            loop.call_soon_threadsafe(failed.raise_)

    said = failed.next()
    address = MqttAddress("127.0.0.1", port)
    running = asyncio.create_task(MqttBridge(address, journal, now_ms, "b", PARTITIONS, client=Listening).run(stop))
    async with asyncio.timeout(20):
        await said.wait()
    stop.set()
    await running
    await journal.close()
    assert f"127.0.0.1:{port}" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["", "localhost", "http://x:1", "mqtt://", "mqtt://x:port", "mqtt://x/path"])
def test_a_wrong_address_is_named_with_what_was_expected(url: str) -> None:
    with pytest.raises(SettingsError, match="mqtt://host:port"):
        MqttAddress.parse(url)


def test_an_address_carries_user_password_and_tls() -> None:
    assert MqttAddress.parse("mqtts://ioc:s%40cret@broker") == MqttAddress("broker", 8883, "ioc", "s@cret", True)
