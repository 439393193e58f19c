"""The journal of the cluster shape: one Kafka topic, a Kafka partition for each of ours (architecture §2).

All batches that one append has for a partition travel as one Kafka record batch, which a broker keeps whole or not
at all. The producer is idempotent: its own retries, through any outage, never double anything. An append that was
not answered in time leaves batches in that producer of which nobody knows whether they arrived. So the next append
waits until the old producer has settled them, looks at the last record of their partitions, and leaves out what is
there already.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from sensors.batch import Batch, decode, encode
from sensors.errors import SettingsError, Unavailable
from sensors.journal import Record

TOPIC = "ioc.batches"
PARTITIONS = 8
RETENTION_MS = 7 * 86_400_000
TIMEOUT_S = 10.0
BYTES_MAX = 16 * 2**20
"""The most that one append may have for one partition: 32 kB for each of 500 messages."""

_RECORD_BATCH_MAX = BYTES_MAX + 65_536  # what Kafka adds around the batches


async def create_topics(
    servers: str, topics: Mapping[str, int], replication: int = 1, retention_ms: int = RETENTION_MS
) -> None:
    """Make the topics that are not there yet: name → number of partitions.

    `servers` is "host:port", several separated by commas. A topic that is there keeps its settings, since an
    operator may have changed them. Raises SettingsError when one has another number of partitions, and Unavailable
    when the cluster does not answer, or cannot make one now.
    """
    settings = {"retention.ms": str(retention_ms), "max.message.bytes": str(_RECORD_BATCH_MAX)}
    wanted = [NewTopic(name, partitions, replication, topic_configs=settings) for name, partitions in topics.items()]
    with _translated(servers):
        admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=round(TIMEOUT_S * 1000))
        try:
            await admin.start()
            answer = await admin.create_topics(wanted)
            for name, code, *text in answer.topic_errors:
                if for_code(code) not in (NoError, TopicAlreadyExistsError):
                    raise Unavailable(
                        f"topic {name} cannot be made: {for_code(code).__name__} {text[0] if text else ''}"
                    )
            async with asyncio.timeout(TIMEOUT_S):
                for found in await _visible(admin, list(topics)):
                    _check_partitions(found["topic"], len(found["partitions"]), topics[found["topic"]])
        finally:
            await admin.close()


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
            with _translated(self._servers):
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
        with _translated(self._servers):
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
        parcels: dict[int, list[bytes]] = {}
        for batch in batches:
            parcels.setdefault(batch.partition, []).append(encode(batch))
        producer = await self._connected()
        sent = [await self._send(producer, partition, records) for partition, records in parcels.items()]
        await asyncio.gather(*sent)

    async def _send(self, producer: AIOKafkaProducer, partition: int, records: list[bytes]) -> "asyncio.Future[Any]":
        parcel = producer.create_batch()
        for record in records:
            # Kafka's own time, not the batch's: by it the topic's retention goes, also for a replayed past.
            added = parcel.append(timestamp=None, key=None, value=record)
            assert added is not None, f"one append has more than {BYTES_MAX} bytes for partition {partition}"
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
                max_request_size=self._partitions * _RECORD_BATCH_MAX,
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
            with _translated(servers):
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
            with _translated(self._servers):
                async with asyncio.timeout(self._timeout_s):
                    return await self._read(TopicPartition(self._topic, partition), offset, limit)

    async def ends(self) -> dict[int, int]:
        """For every partition, the offset that the next record gets."""
        with _translated(self._servers):
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


async def _visible(admin: AIOKafkaAdminClient, topics: list[str]) -> list[dict[str, Any]]:
    """The topics as brokers tell clients, some moments after the controller has made them."""
    found: list[dict[str, Any]] = await admin.describe_topics(topics)
    while any(topic["error_code"] for topic in found):
        await asyncio.sleep(0.05)
        found = await admin.describe_topics(topics)
    return found


def _check_partitions(topic: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SettingsError(
            f"--partitions {wanted}: the topic {topic} has {found}, and units keep their partition; start with"
            f" --partitions {found}, or with another topic"
        )


@contextmanager
def _translated(servers: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {servers}: {error or type(error).__name__}") from error
