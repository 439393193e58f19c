"""The journal of the cluster shape: one Kafka topic, a Kafka partition for each of ours (architecture §2).

All batches that one append has for a partition travel as one Kafka record batch, which a broker keeps whole or not
at all. The producer is idempotent: its own retries, through any outage, never double anything. An append that was
not answered in time leaves batches in that producer of which nobody knows whether they arrived. So the next append
waits until the old producer has settled them, reads what has landed since the last append that succeeded, and leaves
out what is there already.

Kafka has no append on condition, so that another writer shows afterwards only. A writer knows the offset at which its
next record must land: from `next_ordinals`, and then from every answer. Where it landed further on, others wrote in
between; those records are read, and if one of them has used our ordinals, the append was Overtaken. What it left in
the journal is then stale: the worker passes over the ordinals that it has had, and the rest comes again under new
ones. Nothing of this costs a writer that is alone anything.

So the last record of a partition need not have its highest ordinal. A writer has one record batch of a partition
under way at a time, of at most RECORDS_MAX records, and after one that landed stale it asks anew: no more of its
records can stand behind the highest. TAIL records have room for three such writers at once, and for the right one.
That is why a heartbeat, too, is Overtaken here: those of a bridge that the broker keeps out would fill the tail.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from sensors.batch import Batch, encode
from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.journal import Record, batches_of
from sensors.kafka_topics import BYTES_MAX, RECORD_BATCH_MAX, RETENTION_MS, TIMEOUT_S, translated
from sensors.kafka_topics import create_topics as create_topics

TOPIC = "ioc.batches"
PARTITIONS = 8
RECORDS_MAX = 16
"""Of one record batch, some 8,000 messages: only after an outage does an append have more for a partition."""

TAIL = 64
"""How many of a partition's last records are read to know its highest ordinal; those that no bridge wrote aside."""


class _Waiting(NamedTuple):
    """A batch to be kept: its first ordinal, and as it is journaled."""

    first: int
    record: bytes


class KafkaJournalWriter:
    """The bridge's side: `sensors.journal.JournalWriter`."""

    def __init__(self, servers: str, topic: str, partitions: int, client_id: str, timeout_s: float) -> None:
        self._servers = servers
        self._topic = topic
        self._partitions = partitions
        self._client_id = client_id
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._settling: asyncio.Task[None] | None = None
        self._doubtful: set[int] = set()
        self._expected: dict[int, int] = {}  # the offset of the next record, had the partition no other writer
        self._overtaken = ""  # by whom; until the ordinals are asked for, or more of our records would stand there
        self._turn = asyncio.Lock()  # one append at a time: the order of appending is the order of offsets

    @classmethod
    async def open(
        cls,
        servers: str,
        topic: str = TOPIC,
        partitions: int = PARTITIONS,
        replication: int = 1,
        retention_ms: int = RETENTION_MS,
        client_id: str = "ioc-bridge",
        timeout_s: float = TIMEOUT_S,
    ) -> Self:
        """Make the topic if it is not there; a call that takes over `timeout_s` raises Unavailable."""
        await create_topics(servers, {topic: partitions}, replication, retention_ms)
        return cls(servers, topic, partitions, client_id, timeout_s)

    async def append(self, batches: Sequence[Batch]) -> None:
        """Keep the batches: on return all in-sync replicas have them.

        After Unavailable, append the same batches again: what had arrived all the same is not kept twice. After
        Overtaken, part of them may be in the journal. A writer that never asked for the ordinals is not Overtaken
        by what was there before its first append.
        """
        async with self._turn:
            with translated(self._servers):
                try:
                    async with asyncio.timeout(self._timeout_s):
                        await self._append(batches)
                except Overtaken as reason:
                    # All that was sent has been answered, and all of it will be numbered anew.
                    self._overtaken = str(reason)
                    self._doubtful.clear()
                    raise
                except BaseException:  # a cancelled append is as doubtful as a failed one
                    self._doubtful |= {batch.partition for batch in batches}
                    self._retire()
                    raise

    async def next_ordinals(self) -> dict[int, int]:
        """For every partition, the ordinal that the next message gets, by its last records.

        Raises SettingsError when all records of a partition have expired: its numbering is then unknown.
        """
        async with self._turn:
            with translated(self._servers):
                reader = await self._reader()
                try:
                    ends = await reader.ends()
                    ordinals = {number: await _next_ordinal(reader, number, end) for number, end in ends.items()}
                finally:
                    await reader.close()
            # In a doubtful one we still look from where our own records may be.
            self._expected |= {number: end for number, end in ends.items() if number not in self._doubtful}
            self._overtaken = ""
            return ordinals

    async def close(self) -> None:
        """Close the connections; what is still under way gets the time of one call."""
        self._retire()
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=self._timeout_s)

    async def _append(self, batches: Sequence[Batch]) -> None:
        if self._settling is not None:
            await asyncio.wait([self._settling])
            self._settling = None
        if self._overtaken:
            raise Overtaken(self._overtaken)
        waiting: dict[int, deque[_Waiting]] = {}
        for batch in batches:
            waiting.setdefault(batch.partition, deque()).append(_Waiting(batch.first, encode(batch)))
        # Told only when all is kept: until then, the same append looks for its records from the same offsets.
        expected = dict(self._expected)
        doubtful = self._doubtful & waiting.keys()
        if doubtful:
            await self._leave_out_kept(waiting, doubtful, expected)
        producer = await self._connected()
        while waiting:  # once, unless a partition has more than a Kafka record batch may hold
            sent = {number: await self._send(producer, number, records) for number, records in waiting.items()}
            answers = await asyncio.gather(*[answer for _, answer in sent.values()])
            for (number, (parcel, _)), answer in zip(sent.items(), answers, strict=True):
                await self._check_alone(number, expected.get(number, answer.offset), answer.offset, parcel)
                expected[number] = answer.offset + len(parcel)
            waiting = {number: records for number, records in waiting.items() if records}
        self._expected = expected
        self._doubtful -= doubtful

    async def _leave_out_kept(
        self, waiting: dict[int, deque[_Waiting]], doubtful: Collection[int], expected: dict[int, int]
    ) -> None:
        """Take off `waiting` what landed all the same, once all is settled; `expected` is then where that ends."""
        reader = await self._reader()
        try:
            ends = await reader.ends()
            for number in doubtful:
                mine, end = waiting[number], ends[number]
                # A writer that never asked looks among the last records, and would find its own there.
                start = expected.get(number, max(0, end - TAIL - len(mine)))
                kept = await _kept(reader, number, start, end, mine)
                waiting[number] = deque(one for one in mine if one.record not in kept)
                expected[number] = end
                if not waiting[number]:
                    del waiting[number]
        finally:
            await reader.close()

    async def _check_alone(self, partition: int, expected: int, landed: int, parcel: Sequence[_Waiting]) -> None:
        """Raise Overtaken when records of others stand before the parcel that make its ordinals stale."""
        if landed < 0:  # kept, and the broker no longer knows where: look for it as for any that is in doubt
            raise Unavailable(f"Kafka at {self._servers}: no offset for what was appended to partition {partition}")
        if landed == expected:
            return
        reader = await self._reader()
        try:
            await _kept(reader, partition, expected, landed, parcel)
        finally:
            await reader.close()

    async def _send(
        self, producer: AIOKafkaProducer, partition: int, records: deque[_Waiting]
    ) -> tuple[list[_Waiting], "asyncio.Future[Any]"]:
        """Send as many of the records as one record batch holds, at least the first; takes them off `records`."""
        batch, parcel = producer.create_batch(), list[_Waiting]()
        # Kafka's own time, not the batch's: by it the topic's retention goes, also for a replayed past.
        while (
            records and len(parcel) < RECORDS_MAX
            and batch.append(timestamp=None, key=None, value=records[0].record) is not None
        ):  # fmt: skip
            parcel.append(records.popleft())
        batch.close()
        return parcel, await producer.send_batch(batch, self._topic, partition=partition)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                client_id=self._client_id,
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                max_batch_size=BYTES_MAX,
                max_request_size=self._partitions * RECORD_BATCH_MAX,
                request_timeout_ms=round(self._timeout_s * 1000),
            )
            await self._producer.start()
        return self._producer

    def _retire(self) -> None:
        """Let the producer settle what it still has, for as long as that takes, and close."""
        producer, self._producer = self._producer, None
        if producer is not None:
            assert self._settling is None
            self._settling = asyncio.create_task(producer.stop())

    async def _reader(self) -> "KafkaJournalReader":
        return await KafkaJournalReader.open(self._servers, self._topic, self._client_id, self._timeout_s)


class KafkaJournalReader:
    """The reading side, for audits and replays: `sensors.journal.JournalReader`. It is in no consumer group."""

    def __init__(self, servers: str, topic: str, consumer: AIOKafkaConsumer, timeout_s: float) -> None:
        self._servers = servers
        self._topic = topic
        self._consumer = consumer
        self._timeout_s = timeout_s
        self._position: tuple[int, int] | None = None
        self._turn = asyncio.Lock()  # the consumer fetches from one partition at a time

    @classmethod
    async def open(
        cls, servers: str, topic: str = TOPIC, client_id: str = "ioc-reader", timeout_s: float = TIMEOUT_S
    ) -> Self:
        """Connect; a call that takes over `timeout_s` raises Unavailable, and so does a topic that is not there."""
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=servers,
            client_id=client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # retention may drop what we stand at: go on with what is left
            request_timeout_ms=round(timeout_s * 1000),
        )
        reader = cls(servers, topic, consumer, timeout_s)
        try:
            with translated(servers):
                async with asyncio.timeout(timeout_s):
                    await consumer.start()
                    consumer.pause(*consumer.assignment())
        except BaseException:
            await consumer.stop()
            raise
        return reader

    async def read(self, partition: int, offset: int, limit: int = 100) -> list[Record]:
        """Up to `limit` records from `offset` on; what retention has dropped is skipped, in order."""
        async with self._turn:
            with translated(self._servers):
                async with asyncio.timeout(self._timeout_s):
                    return await self._read(TopicPartition(self._topic, partition), offset, limit)

    async def ends(self) -> dict[int, int]:
        """For every partition, the offset that the next record gets."""
        with translated(self._servers):
            async with asyncio.timeout(self._timeout_s):
                ends = await self._consumer.end_offsets(self._consumer.assignment())
        return {place.partition: end for place, end in ends.items()}

    async def newest(self, ends: Mapping[int, int]) -> dict[int, Record]:
        """The last record before each of these ends, by partition; of one that has expired, none."""
        async with self._turn:
            with translated(self._servers):
                async with asyncio.timeout(self._timeout_s):
                    return await self._newest(
                        {TopicPartition(self._topic, number): end for number, end in ends.items()}
                    )

    async def close(self) -> None:
        """Close the connections; closing twice does nothing."""
        await self._consumer.stop()

    async def _read(self, place: TopicPartition, offset: int, limit: int) -> list[Record]:
        end = (await self._consumer.end_offsets([place]))[place]
        offset = max(offset, (await self._consumer.beginning_offsets([place]))[place])
        wanted = min(limit, end - offset)
        if wanted <= 0:
            return []
        if self._consumer.paused() != self._consumer.assignment() - {place}:
            self._consumer.pause(*self._consumer.assignment())
            self._consumer.resume(place)
        if self._position != (place.partition, offset):
            self._consumer.seek(place, offset)
        self._position = None  # unknown, should the fetching be cut short
        records: list[Record] = []
        while len(records) < wanted:
            found = await self._consumer.getmany(place, timeout_ms=1_000, max_records=wanted - len(records))
            records += [_record(record) for record in found.get(place, [])]
        self._position = (place.partition, records[-1].offset + 1)
        return records

    async def _newest(self, ends: Mapping[TopicPartition, int]) -> dict[int, Record]:
        """All at once: the broker would let each fetch wait for the one before."""
        firsts = await self._consumer.beginning_offsets(list(ends))
        waiting = {place: end - 1 for place, end in ends.items() if end > firsts[place]}
        self._position = None
        self._consumer.pause(*self._consumer.assignment())
        for place, offset in waiting.items():
            self._consumer.seek(place, offset)
        self._consumer.resume(*waiting)
        records: dict[int, Record] = {}
        while len(records) < len(waiting):
            for place, found in (await self._consumer.getmany(*waiting, timeout_ms=1_000)).items():
                records.setdefault(place.partition, _record(found[0]))
        self._consumer.pause(*waiting)
        return records


def _record(record: Any) -> Record:
    """As the consumer gives it. One without a value is no bridge's: it is like an empty one."""
    return Record(record.partition, record.offset, record.value or b"")


async def _next_ordinal(reader: KafkaJournalReader, partition: int, end: int) -> int:
    afters, start = list[int](), end
    while start > 0 and len(afters) < TAIL:
        first = max(0, start - TAIL)
        records = [record for record in await reader.read(partition, first, start - first) if record.offset < start]
        afters += [batch.after for batch in batches_of(records)]
        if not records or records[0].offset > first:
            break  # what was before has expired
        start = first
    if start > 0 and not afters:
        raise SettingsError(
            f"all records of partition {partition} have expired, and with them where its numbering stood: give the"
            " bridge and the workers a new topic (--topic) and the workers a new database"
        )
    return max(afters, default=0)


async def _kept(
    reader: KafkaJournalReader, partition: int, start: int, end: int, mine: Collection[_Waiting]
) -> set[bytes]:
    """Which of `mine` are among the records from `start` to before `end`.

    Raises Overtaken when one of the others there has used an ordinal of theirs, or when there are too many to read.
    """
    if start == end:
        return set()
    first, ours = min(one.first for one in mine), {one.record for one in mine}
    # Fewer than none: the topic is another one, or has lost its end.
    records = await reader.read(partition, start, end - start) if 0 < end - start <= TAIL + len(mine) else []
    if not records or records[0].offset > start:
        raise Overtaken(f"partition {partition}: others have written from offset {start} to {end}")
    others = [batch.after for batch in batches_of(record for record in records if record.batch not in ours)]
    if max(others, default=0) > first:
        raise Overtaken(f"partition {partition}: the next ordinal is {max(others)}, not {first}")
    return ours & {record.batch for record in records}
