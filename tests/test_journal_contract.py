"""One contract for both journals: the embedded shape's SQLite file, and a real Apache Kafka of the cluster."""

import asyncio
import random
import signal
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import anyio
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from servers import Server, free_port, running, start_kafka

from sensors.batch import Batch, decode
from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.journal import JournalReader, JournalWriter
from sensors.kafka_journal import RECORDS_MAX, TAIL, KafkaJournalReader, KafkaJournalWriter
from sensors.kafka_topics import BYTES_MAX, create_topics, translated
from sensors.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio

PARTITIONS = 4


class Shelf(Protocol):
    """Where one test's journal stands: opens as many handles as asked for, and closes them at the end."""

    async def writer(self) -> JournalWriter: ...

    async def reader(self) -> JournalReader: ...

    async def close(self) -> None: ...


class SqliteShelf:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite"
        self.handles: list[SqliteJournal] = []

    async def writer(self) -> SqliteJournal:
        self.handles.append(SqliteJournal.open(self.path, PARTITIONS))
        return self.handles[-1]

    reader = writer

    async def close(self) -> None:
        for handle in self.handles:
            await handle.close()


class KafkaShelf:
    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"contract-{uuid.uuid4().hex}"
        self.handles: list[KafkaJournalWriter | KafkaJournalReader] = []

    async def writer(self) -> KafkaJournalWriter:
        writer = await KafkaJournalWriter.open(self.servers, self.topic, PARTITIONS)
        self.handles.append(writer)
        return writer

    async def reader(self) -> KafkaJournalReader:
        await create_topics(self.servers, {self.topic: PARTITIONS})
        reader = await KafkaJournalReader.open(self.servers, self.topic)
        self.handles.append(reader)
        return reader

    async def close(self) -> None:
        for handle in self.handles:
            await handle.close()


def shelf_of(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """The shelf that a fixture's parameter names."""
    if request.param == "kafka":
        return KafkaShelf(request.getfixturevalue("kafka_server").address)
    return SqliteShelf(tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.long)])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    made = shelf_of(request, tmp_path)
    yield made
    await made.close()


def batch(partition: int, first: int, *payloads: bytes, sealed_at: int = 1_000) -> Batch:
    topics = ["ioc/06694/air/s1"] * len(payloads)
    return Batch(partition, first, sealed_at, "b1", 0, topics, list(payloads), [sealed_at] * len(payloads))


async def payloads(reader: JournalReader, partition: int, offset: int = 0) -> list[list[bytes]]:
    return [decode(record.batch).payloads for record in await reader.read(partition, offset)]


async def test_a_new_journal_is_empty_and_numbers_from_zero(shelf: Shelf) -> None:
    zeros = dict.fromkeys(range(PARTITIONS), 0)
    assert await (await shelf.writer()).next_ordinals() == zeros
    reader = await shelf.reader()
    assert await reader.ends() == zeros
    assert await reader.read(0, 0) == []


async def test_records_come_back_in_the_order_of_appending_with_offsets_from_zero(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    await writer.append([batch(1, 0, b"a", b"b"), batch(2, 0, b"x"), batch(1, 2, b"c")])
    await writer.append([batch(1, 3, b"d")])
    records = await reader.read(1, 0)
    assert [(record.partition, record.offset) for record in records] == [(1, 0), (1, 1), (1, 2)]
    assert await payloads(reader, 1) == [[b"a", b"b"], [b"c"], [b"d"]]
    assert await payloads(reader, 2) == [[b"x"]]
    assert await reader.ends() == {0: 0, 1: 3, 2: 1, 3: 0}


async def test_a_batch_comes_back_as_it_was(shelf: Shelf) -> None:
    kept = Batch(3, 7, 123_456, "cầu-1", 5, ["ioc/06694/air/s1", "ôi/#"], [b"\x00\xff", b""], [1, 2], [1])
    await (await shelf.writer()).append([kept])
    [record] = await (await shelf.reader()).read(3, 0)
    assert decode(record.batch) == kept


async def test_ordinals_go_on_where_a_closed_writer_ended(shelf: Shelf) -> None:
    writer = await shelf.writer()
    await writer.append([batch(0, 0, b"a", b"b"), batch(0, 2, b"c"), batch(3, 0, b"x")])
    await writer.append([batch(0, 3)])  # a heartbeat: a record without messages
    await writer.close()
    assert await (await shelf.writer()).next_ordinals() == {0: 3, 1: 0, 2: 0, 3: 1}


async def test_reading_may_begin_in_the_middle_and_end_at_a_limit(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    await writer.append([batch(2, n, b"%d" % n) for n in range(10)])
    assert [record.offset for record in await reader.read(2, 4, limit=3)] == [4, 5, 6]
    assert await payloads(reader, 2, 8) == [[b"8"], [b"9"]]
    assert await payloads(reader, 2, 10) == []
    assert await payloads(reader, 2, 99) == []
    assert await payloads(reader, 2, 0) == [[b"%d" % n] for n in range(10)]


async def test_a_reader_that_found_nothing_sees_what_another_handle_writes_next(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    for turn in range(5):
        assert await reader.read(0, turn) == []
        assert await reader.read(0, turn) == []
        await writer.append([batch(0, turn, b"%d" % turn)])
        assert await payloads(reader, 0, turn) == [[b"%d" % turn]]


async def taken(reader: JournalReader, partition: int) -> list[bytes]:
    """What a worker takes of a partition: messages at ordinals that it has not had (streams.intake)."""
    found, next_ordinal = list[bytes](), 0
    for record in await reader.read(partition, 0, 10_000):
        one = decode(record.batch)
        found += one.payloads[max(0, next_ordinal - one.first) :]
        next_ordinal = max(next_ordinal, one.after)
    return found


async def test_a_writer_whose_ordinals_another_has_used_is_told_until_it_asks_again(shelf: Shelf) -> None:
    old, new, reader = await shelf.writer(), await shelf.writer(), await shelf.reader()
    await old.next_ordinals()
    await old.append([batch(1, 0, b"a"), batch(2, 0, b"x")])
    assert (await new.next_ordinals())[1] == 1
    await new.append([batch(1, 1, b"b"), batch(1, 2, b"c", b"d")])
    with pytest.raises(Overtaken, match="partition 1"):
        await old.append([batch(1, 1, b"e"), batch(2, 1, b"y")])
    ends = await reader.ends()
    with pytest.raises(Overtaken, match="partition 1"):
        await old.append([batch(1, 1, b"e")])
    assert await reader.ends() == ends, "only the first of them may have left something"
    ordinals = await old.next_ordinals()
    assert ordinals[1] >= 4
    await old.append([batch(1, ordinals[1], b"e"), batch(2, ordinals[2], b"y")])
    assert set(await taken(reader, 1)) == {b"a", b"b", b"c", b"d", b"e"}
    assert set(await taken(reader, 2)) == {b"x", b"y"}


async def test_two_writers_in_turns_never_have_a_message_kept_that_the_worker_passes_over(shelf: Shelf) -> None:
    writers, reader = [await shelf.writer(), await shelf.writer()], await shelf.reader()
    ordinals = [dict(await writer.next_ordinals()) for writer in writers]
    chance, kept = random.Random(5), list[bytes]()
    for turn in range(60):
        who, partition = chance.randrange(2), chance.randrange(2)
        told = [b"%d-%d" % (turn, n) for n in range(chance.randrange(4))]
        for _ in range(2):
            try:
                await writers[who].append([batch(partition, ordinals[who][partition], *told)])
                break
            except Overtaken:
                ordinals[who] = dict(await writers[who].next_ordinals())
        else:
            raise AssertionError("overtaken with nobody else about")
        ordinals[who][partition] += len(told)
        kept += told
    assert set(await taken(reader, 0) + await taken(reader, 1)) >= set(kept)
    assert (await writers[0].next_ordinals()) == (await writers[1].next_ordinals())


async def test_a_third_writer_numbers_above_all_that_is_kept_though_a_stale_one_wrote_last(shelf: Shelf) -> None:
    stale, right = await shelf.writer(), await shelf.writer()
    await stale.next_ordinals()
    await right.next_ordinals()
    await right.append([batch(0, 0, *[b"a"] * 400)])
    with pytest.raises(Overtaken):
        await stale.append([batch(0, n, b"s") for n in range(100)])
    assert (await (await shelf.writer()).next_ordinals())[0] == 400


async def test_a_heartbeat_of_another_writer_overtakes_nobody(shelf: Shelf) -> None:
    writer, other, reader = await shelf.writer(), await shelf.writer(), await shelf.reader()
    await writer.next_ordinals()
    await other.next_ordinals()
    for turn in range(3):
        await writer.append([batch(0, turn, b"%d" % turn)])
        ordinals = await other.next_ordinals()
        await other.append([batch(0, ordinals[0])])
    await writer.append([batch(0, 7, b"after a gap")])
    assert await taken(reader, 0) == [b"0", b"1", b"2", b"after a gap"]


async def test_an_append_of_nothing_is_nothing(shelf: Shelf) -> None:
    await (await shelf.writer()).append([])
    assert await (await shelf.reader()).ends() == dict.fromkeys(range(PARTITIONS), 0)


async def test_a_handle_can_be_closed_twice(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    for handle in (writer, reader, writer, reader):
        await handle.close()


# What SQLite alone must show.


async def test_sqlite_keeps_the_number_of_partitions_it_was_made_with(tmp_path: Path) -> None:
    await SqliteJournal.open(tmp_path / "journal.sqlite", 8).close()
    with pytest.raises(SettingsError, match=r"--partitions 4.*made with 8"):
        SqliteJournal.open(tmp_path / "journal.sqlite", 4)


async def test_sqlite_refuses_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database, but long enough to be asked " * 100)
    with pytest.raises(SettingsError, match="not a journal"):
        SqliteJournal.open(tmp_path / "journal.sqlite", 4)


async def test_sqlite_is_unavailable_while_another_holds_the_file_and_keeps_nothing_of_the_append(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path, PARTITIONS, wait_s=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await journal.append([batch(0, 0, b"a"), batch(1, 0, b"b")])
        other.execute("ROLLBACK")
    assert await journal.ends() == dict.fromkeys(range(PARTITIONS), 0)
    await journal.append([batch(0, 0, b"a"), batch(1, 0, b"b")])
    assert journal.ends_ordinals() == {0: 1, 1: 1, 2: 0, 3: 0}
    await journal.close()


async def test_sqlite_keeps_all_batches_of_an_append_or_none(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS)
    with pytest.raises(AssertionError, match="no partition 4"):
        await journal.append([batch(0, 0, b"a"), batch(4, 0, b"b")])
    assert await journal.read(0, 0) == []
    assert await journal.next_ordinals() == dict.fromkeys(range(PARTITIONS), 0)
    await journal.close()


async def test_sqlite_keeps_nothing_of_an_append_that_is_overtaken_and_takes_every_heartbeat(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS)
    await journal.append([batch(1, 0, b"a", b"b")])
    with pytest.raises(Overtaken, match="partition 1: the next ordinal is 2, not 1"):
        await journal.append([batch(0, 0, b"x"), batch(1, 1, b"c")])
    assert await journal.ends() == {0: 0, 1: 1, 2: 0, 3: 0}
    await journal.append([batch(1, 0)])
    assert journal.ends_ordinals() == {0: 0, 1: 2, 2: 0, 3: 0}
    await journal.close()


async def test_sqlite_drops_old_records_but_none_that_is_not_checkpointed(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS, retain_s=10)
    for partition in (0, 1, 2):
        await journal.append([batch(partition, n, b"%d" % n, sealed_at=n * 1_000) for n in range(10)])
    # At 15 s, what was sealed before 5 s is old; partition 1 is checkpointed up to 2, partition 2 not at all.
    assert await journal.trim(15_000, {0: 10, 1: 2}) == 5 + 2
    assert [record.offset for record in await journal.read(0, 0)] == [5, 6, 7, 8, 9]
    assert [record.offset for record in await journal.read(1, 0)] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert len(await journal.read(2, 0)) == 10
    await journal.close()


async def test_sqlite_drops_the_oldest_of_all_partitions_above_its_size(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS, retain_bytes=50_000)
    for n in range(40):
        await journal.append([batch(n % 2, n // 2, bytes(2_000), sealed_at=n)])
    assert await journal.trim(1_000, {0: 20, 1: 20}) == 16
    assert [record.offset for record in await journal.read(0, 0)] == list(range(8, 20))
    assert [record.offset for record in await journal.read(1, 0)] == list(range(8, 20))
    assert await journal.trim(1_000, {0: 20, 1: 20}) == 0
    await journal.close()


async def test_sqlite_offsets_and_ordinals_go_on_after_retention_emptied_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path, PARTITIONS, retain_s=1)
    await journal.append([batch(0, n, b"x") for n in range(2_500)])  # more than one transaction of retention
    assert await journal.trim(10_000_000, {0: 2_500}) == 2_500
    await journal.close()
    journal = SqliteJournal.open(path, PARTITIONS)
    assert (await journal.next_ordinals())[0] == 2_500
    await journal.append([batch(0, 2_500, b"next")])
    assert [record.offset for record in await journal.read(0, 0)] == [2_500]
    await journal.close()


WRITE_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from sensors.batch import Batch
from sensors.kafka_journal import KafkaJournalReader, KafkaJournalWriter
from sensors.kafka_topics import BYTES_MAX, create_topics
from sensors.sqlite_journal import SqliteJournal

async def write():
    journal = SqliteJournal.open(Path(sys.argv[1]), 4)
    for n in range(50):
        await journal.append([Batch(p, n, 0, "b", 0, ["t"], [b"%d" % n], [0]) for p in range(4)])
        print(n, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(write())
"""


async def test_sqlite_has_every_append_that_returned_before_its_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    reader = SqliteJournal.open(path, PARTITIONS)
    died = await anyio.run_process([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert died.stdout.split()[-1] == b"49"
    assert await reader.next_ordinals() == reader.ends_ordinals() == dict.fromkeys(range(PARTITIONS), 50)
    assert len(await reader.read(3, 0)) == 50
    await reader.close()


# What Kafka alone must show.


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
