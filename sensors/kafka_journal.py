"""The journal of the cluster shape: one Kafka topic, a Kafka partition for each of ours (architecture §2).

All batches that one append has for a partition travel as one Kafka record batch, which a broker keeps whole or not
at all. The producer is idempotent: its own retries, through any outage, never double anything. An append that was
not answered in time leaves batches in that producer of which nobody knows whether they arrived. So the next append
waits until the old producer has settled them, looks at the last record of their partitions, and leaves out what is
there already.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from sensors.batch import Batch, decode, encode
from sensors.errors import SettingsError
from sensors.journal import Record
from sensors.kafka_topics import BYTES_MAX, RECORD_BATCH_MAX, RETENTION_MS, TIMEOUT_S, translated
from sensors.kafka_topics import create_topics as create_topics

TOPIC = "ioc.batches"
PARTITIONS = 8


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

        After Unavailable, append the same messages with the same ordinals again: what had arrived all the same is
        not kept twice.
        """
        async with self._turn:
            with translated(self._servers):
                try:
                    async with asyncio.timeout(self._timeout_s):
                        await self._append(batches)
                except BaseException:  # a cancelled append is as doubtful as a failed one
                    self._doubtful |= {batch.partition for batch in batches}
                    self._retire()
                    raise

    async def next_ordinals(self) -> dict[int, int]:
        """For every partition, the ordinal that the next message gets, by its last record.

        Raises SettingsError when all records of a partition have expired: its numbering is then unknown.
        """
        with translated(self._servers):
            return await self._next_ordinals(range(self._partitions))

    async def close(self) -> None:
        """Close the connections; what is still under way gets the time of one call."""
        self._retire()
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=self._timeout_s)

    async def _append(self, batches: Sequence[Batch]) -> None:
        if self._settling is not None:
            await asyncio.wait([self._settling])
            self._settling = None
        if self._doubtful:
            kept = await self._next_ordinals(self._doubtful)
            batches = [batch for batch in batches if not _is_kept(batch, kept)]
            self._doubtful.clear()
        waiting: dict[int, deque[bytes]] = {}
        for batch in batches:
            waiting.setdefault(batch.partition, deque()).append(encode(batch))
        producer = await self._connected()
        while waiting:  # once, unless a partition has more than a Kafka record batch may hold
            sent = [await self._send(producer, partition, records) for partition, records in waiting.items()]
            await asyncio.gather(*sent)
            waiting = {partition: records for partition, records in waiting.items() if records}

    async def _send(self, producer: AIOKafkaProducer, partition: int, records: deque[bytes]) -> "asyncio.Future[Any]":
        """Send as many of the records as one record batch holds, at least the first; takes them off `records`."""
        parcel = producer.create_batch()
        # Kafka's own time, not the batch's: by it the topic's retention goes, also for a replayed past.
        while records and parcel.append(timestamp=None, key=None, value=records[0]) is not None:
            records.popleft()
        parcel.close()
        future: asyncio.Future[Any] = await producer.send_batch(parcel, self._topic, partition=partition)
        return future

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

    async def _next_ordinals(self, partitions: Collection[int]) -> dict[int, int]:
        reader = await KafkaJournalReader.open(self._servers, self._topic, self._client_id, self._timeout_s)
        try:
            ends = await reader.ends()
            return {partition: await _next_ordinal(reader, partition, ends[partition]) for partition in partitions}
        finally:
            await reader.close()


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
            records += [Record(place.partition, record.offset, record.value) for record in found.get(place, [])]
        self._position = (place.partition, records[-1].offset + 1)
        return records


async def _next_ordinal(reader: KafkaJournalReader, partition: int, end: int) -> int:
    if end == 0:
        return 0
    last = await reader.read(partition, end - 1, 1)
    if not last:
        raise SettingsError(
            f"all records of partition {partition} have expired, and with them where its numbering stood: give the"
            " bridge and the workers a new topic (--topic) and the workers a new database"
        )
    return decode(last[0].batch).after


def _is_kept(batch: Batch, next_ordinals: Mapping[int, int]) -> bool:
    """Whether the journal has the batch; a heartbeat has no ordinals of its own, and two of them harm nothing."""
    return bool(batch.topics) and batch.after <= next_ordinals.get(batch.partition, 0)
