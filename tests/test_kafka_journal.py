"""What the journal in Kafka alone must show: appends in doubt, a stale writer's records, a broker that dies."""

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from journal_shelf import PARTITIONS, KafkaShelf, batch, payloads, taken
from servers import Server, free_port, running, start_kafka

from sensors.batch import Batch, decode
from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.journal import JournalWriter, batches_of
from sensors.kafka_journal import RECORDS_MAX, TAIL, KafkaJournalReader, KafkaJournalWriter
from sensors.kafka_topics import BYTES_MAX, create_topics, translated

pytestmark = pytest.mark.anyio


@pytest.mark.long
async def test_kafka_keeps_the_number_of_partitions_it_was_made_with(kafka_server: Server) -> None:
    topic = f"partitions-{uuid.uuid4().hex}"
    await create_topics(kafka_server.address, {topic: 8})
    with pytest.raises(SettingsError, match=r"--partitions 4.* has 8"):
        await KafkaJournalWriter.open(kafka_server.address, topic, 4)


@pytest.mark.long
async def test_kafka_makes_the_topic_with_the_retention_it_is_told(kafka_server: Server) -> None:
    topic = f"retention-{uuid.uuid4().hex}"
    await (await KafkaJournalWriter.open(kafka_server.address, topic, PARTITIONS, retention_ms=86_400_000)).close()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.address)
    await admin.start()
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=None)])
    await admin.close()
    [(_, _, _, _, settings)] = answer.resources
    found = {name: value for name, value, *_ in settings}
    assert found["retention.ms"] == "86400000"
    assert int(found["max.message.bytes"]) > BYTES_MAX


@pytest.mark.long
async def test_kafka_takes_an_append_that_is_larger_than_a_record_batch(kafka_server: Server) -> None:
    topic = f"large-{uuid.uuid4().hex}"
    writer = await KafkaJournalWriter.open(kafka_server.address, topic, PARTITIONS)
    payload = random.Random(7).randbytes(900_000)
    await writer.append([batch(2, n * 6, *[payload] * 6) for n in range(5)])
    reader = await KafkaJournalReader.open(kafka_server.address, topic)
    assert await payloads(reader, 2) == [[payload] * 6] * 5
    assert (await writer.next_ordinals())[2] == 30
    await writer.close()
    await reader.close()


@pytest.fixture
async def kafka(kafka_server: Server) -> AsyncIterator[KafkaShelf]:
    shelf = KafkaShelf(kafka_server.address)
    yield shelf
    await shelf.close()


async def doubtful(writer: JournalWriter, batches: list[Batch]) -> None:
    """Append, and leave before the answer: whether it arrives is then unknown."""
    append = asyncio.create_task(writer.append(batches))
    await asyncio.wait([append], timeout=0.0005)
    append.cancel()
    await asyncio.wait([append])


@pytest.mark.long
async def test_kafka_does_not_take_the_messages_of_another_for_its_own_doubtful_ones(kafka: KafkaShelf) -> None:
    one, other, reader = await kafka.writer(), await kafka.writer(), await kafka.reader()
    await one.next_ordinals()
    await one.append([batch(0, 0, b"a")])
    await other.next_ordinals()
    await other.append([batch(0, 1, b"b")])
    mine = [batch(0, 1, b"c")]
    await doubtful(one, mine)
    with pytest.raises(Overtaken):
        await one.append(mine)
    ordinals = await one.next_ordinals()
    await one.append([batch(0, ordinals[0], b"c")])
    assert (await taken(reader, 0)) == [b"a", b"b", b"c"]


@pytest.mark.long
async def test_kafka_keeps_a_doubtful_append_once_also_where_another_has_sent_a_heartbeat(kafka: KafkaShelf) -> None:
    one, other, reader = await kafka.writer(), await kafka.writer(), await kafka.reader()
    await one.next_ordinals()
    await one.append([batch(0, 0, b"a"), batch(1, 0, b"x")])
    await other.next_ordinals()
    for turn in range(1, 11):
        mine = [batch(0, turn, b"%d" % turn), batch(1, turn, b"y"), batch(1, turn + 1)]
        await doubtful(one, mine)
        with suppress(Overtaken):  # by what is in doubt, if that has landed
            await other.append([batch(0, turn)])
        await one.append(mine)
        await other.next_ordinals()
    assert [told for told in await payloads(reader, 0) if told] == [[b"a"], *[[b"%d" % n] for n in range(1, 11)]]
    assert [told for told in await payloads(reader, 1) if told] == [[b"x"], *[[b"y"]] * 10]


@pytest.mark.long
async def test_kafka_knows_the_highest_ordinal_behind_three_stale_writers_and_never_more_of_their_records(
    kafka: KafkaShelf,
) -> None:
    stale, right, reader = [await kafka.writer() for _ in range(3)], await kafka.writer(), await kafka.reader()
    for writer in (*stale, right):
        await writer.next_ordinals()
    await right.append([batch(0, 0, *[b"a"] * 400)])
    for writer in stale:
        with pytest.raises(Overtaken):
            await writer.append([batch(0, n, b"s") for n in range(100)])
    assert (await reader.ends())[0] == 1 + 3 * RECORDS_MAX < TAIL
    assert (await (await kafka.writer()).next_ordinals())[0] == 400


@pytest.mark.long
async def test_kafka_knows_the_highest_ordinal_behind_any_number_of_records_that_no_bridge_wrote(
    kafka: KafkaShelf,
) -> None:
    writer, reader = await kafka.writer(), await kafka.reader()
    await writer.append([batch(0, 0, b"a", b"b")])
    stranger = AIOKafkaProducer(bootstrap_servers=kafka.servers)
    await stranger.start()
    for number in range(TAIL + 1):
        for partition in (0, 1):
            await stranger.send(kafka.topic, None if number % 2 else b"garbage", b"key", partition)
    await stranger.stop()
    assert await writer.next_ordinals() == {0: 2} | dict.fromkeys(range(1, PARTITIONS), 0)
    await writer.append([batch(0, 2, b"c")])
    records = [record for record in await reader.read(0, 0, 1_000) if batches_of([record])]
    assert [decode(record.batch).payloads for record in records] == [[b"a", b"b"], [b"c"]]


@pytest.mark.long
async def test_kafka_is_overtaken_unread_where_too_much_stands_between(kafka: KafkaShelf) -> None:
    one, other = await kafka.writer(), await kafka.writer()
    await one.next_ordinals()
    for _ in range(TAIL + 2):
        await other.append([batch(0, 0)])
    with pytest.raises(Overtaken, match=f"from offset 0 to {TAIL + 2}"):
        await one.append([batch(0, 0, b"a")])
    await one.next_ordinals()
    await one.append([batch(0, 1, b"a")])


async def test_an_error_of_kafka_s_that_has_no_words_is_told_by_its_name() -> None:
    with pytest.raises(Unavailable, match=r"^Kafka at kafka:9092: TimeoutError$"), translated("kafka:9092"):
        raise TimeoutError


@pytest.mark.long
async def test_kafka_is_unavailable_where_nothing_listens() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=nowhere):
        await KafkaJournalWriter.open(nowhere)
    with pytest.raises(Unavailable, match=nowhere):
        await KafkaJournalReader.open(nowhere)


@pytest.fixture
def mortal_kafka() -> Iterator[Server]:
    """A Kafka of the test's own, to be stopped and killed."""
    with running(start_kafka) as server:
        yield server


@pytest.mark.long
async def test_kafka_keeps_each_batch_once_when_it_dies_between_and_under_appends(mortal_kafka: Server) -> None:
    writer = await KafkaJournalWriter.open(mortal_kafka.address, "t", PARTITIONS, timeout_s=2)
    reader = await KafkaJournalReader.open(mortal_kafka.address, "t", timeout_s=2)
    await writer.append([batch(0, 0, b"a"), batch(1, 0, b"x")])
    # Killed while idle: the append finds nobody, and its producer goes on trying.
    mortal_kafka.kill()
    again = [batch(0, 1, b"b"), batch(0, 2, b"c")]
    with pytest.raises(Unavailable):
        await writer.append(again)
    with pytest.raises(Unavailable):
        await reader.read(0, 0)
    with pytest.raises(Unavailable):
        await writer.append(again)
    with pytest.raises(Unavailable):
        await writer.next_ordinals()
    mortal_kafka.start()
    await until_available(writer, again)
    # Frozen: the broker takes the bytes, and answers after we have given up.
    mortal_kafka.process.send_signal(signal.SIGSTOP)
    frozen = [batch(0, 3, b"d"), batch(1, 1, b"y"), batch(0, 4, b"e")]
    with pytest.raises(Unavailable):
        await writer.append(frozen)
    mortal_kafka.process.send_signal(signal.SIGCONT)
    await until_available(writer, frozen)
    await until_available(writer, [batch(0, 5, b"f")])
    assert await writer.next_ordinals() == {0: 6, 1: 2, 2: 0, 3: 0}
    await writer.close()
    await reader.close()
    reader = await KafkaJournalReader.open(mortal_kafka.address, "t")
    assert await payloads(reader, 0) == [[b"a"], [b"b"], [b"c"], [b"d"], [b"e"], [b"f"]]
    assert await payloads(reader, 1) == [[b"x"], [b"y"]]
    await reader.close()


async def until_available(writer: JournalWriter, batches: list[Batch]) -> None:
    """As the bridge does: the same again, until it is kept."""
    for _ in range(20):
        try:
            return await writer.append(batches)
        except Unavailable:
            continue
    raise AssertionError("never available again")
