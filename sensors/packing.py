"""Packing: messages into batches by partition, numbered without gaps (architecture §3.2)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from sensors.batch import MESSAGES_MAX, Batch
from sensors.packet import Publish
from sensors.topic import partition_of

BATCH_BYTES_MAX = 2 * 2**20
"""Of payloads; with one message of at most 1 MiB more, a batch stays far below what the journals take (8 MiB)."""

TOPICS_CACHED = 200_000


class Counts(NamedTuple):
    """Messages since this process of the bridge began, as of one moment.

    Of the `arrived`, `repeated` came again while they were held here, and `held` wait to be packed. `overtaken` and
    `overtaken_at` as batches say them (sensors.batch).
    """

    arrived: int = 0
    repeated: int = 0
    held: int = 0
    overtaken: int = 0
    overtaken_at: int = 0


class _Columns:
    """The messages of a partition that are not sealed yet."""

    __slots__ = ("partition", "payloads", "received_at", "redelivered", "topics")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.clear()

    def clear(self) -> None:
        """Begin new lists: a batch keeps the old ones."""
        self.topics: list[str] = []
        self.payloads: list[bytes] = []
        self.received_at: list[int] = []
        self.redelivered: list[int] = []


class Packer:
    """Holds what has not been sealed yet. `next_ordinals` has, for each partition, the next message's number."""

    def __init__(self, bridge: str, partitions: int, next_ordinals: Mapping[int, int]) -> None:
        self._bridge = bridge
        self._next = dict(next_ordinals)
        self._columns = [_Columns(number) for number in range(partitions)]
        self._places: dict[bytes, tuple[str, _Columns]] = {}

    @property
    def held(self) -> int:
        """How many messages are not sealed yet."""
        return sum(len(columns.topics) for columns in self._columns)

    def add(self, publishes: Iterable[Publish], received_at: int) -> None:
        """Take messages in that were received at `received_at` (ms UTC)."""
        for topic, payload, _, is_redelivered in publishes:
            name, columns = self._places.get(topic) or self._place(topic)
            if is_redelivered:
                columns.redelivered.append(len(columns.topics))
            columns.topics.append(name)
            columns.payloads.append(payload)
            columns.received_at.append(received_at)

    def seal(self, now: int, counts: Counts = Counts()) -> list[Batch]:  # noqa: B008 - it is immutable
        """Everything held, as batches of at most 500 messages and 2 MiB; `counts` as of now."""
        batches = []
        for columns in self._columns:
            if columns.topics:
                batches += [self._sealed(columns, part, now, counts) for part in _parts(columns.payloads)]
                columns.clear()
        return batches

    def heartbeat(self, partition: int, now: int, counts: Counts) -> Batch:
        """A batch without messages: the bridge lives, and how many messages it holds unjournaled."""
        return self._sealed(_Columns(partition), slice(0, 0), now, counts)

    def renumbered(self, batches: Iterable[Batch], next_ordinals: Mapping[int, int], counts: Counts) -> list[Batch]:
        """The batches sealed last, numbered anew from `next_ordinals`, as is what is sealed from now on.

        Their messages may be in the journal under their old ordinals, and the batches say so: what has no time of its
        own is then told apart by when it was received and its place. They say how often the bridge was overtaken by
        now; the other counts stay those of their sealing. Heartbeats are left out, the next one is never far.
        """
        self._next = dict(next_ordinals)
        return [self._again(batch, counts) for batch in batches if batch.topics]

    def _again(self, batch: Batch, counts: Counts) -> Batch:
        first, count = self._next.get(batch.partition, 0), len(batch.topics)
        self._next[batch.partition] = first + count
        return msgspec.structs.replace(
            batch, first=first, overtaken=counts.overtaken, overtaken_at=counts.overtaken_at, renumbered=True
        )

    def _place(self, topic: bytes) -> tuple[str, _Columns]:
        """A topic as text and its partition's columns, remembered: some 40 times cheaper than to work them out."""
        if len(self._places) >= TOPICS_CACHED:
            self._places.clear()
        name = topic.decode(errors="replace")
        place = self._places[topic] = (name, self._columns[partition_of(name, len(self._columns))])
        return place

    def _sealed(self, columns: _Columns, part: slice, now: int, counts: Counts) -> Batch:
        first, topics = self._next.get(columns.partition, 0), columns.topics[part]
        self._next[columns.partition] = first + len(topics)
        redelivered = [at - part.start for at in columns.redelivered if part.start <= at < part.stop]
        return Batch(
            columns.partition, first, now, self._bridge, counts.held,
            topics, columns.payloads[part], columns.received_at[part], redelivered, counts.arrived, counts.repeated,
            counts.overtaken, counts.overtaken_at,
        )  # fmt: skip


def _parts(payloads: list[bytes]) -> Iterator[slice]:
    """Where to cut: each part has at most 500 messages, and 2 MiB or a single message."""
    sizes = list(map(len, payloads))
    if len(sizes) <= MESSAGES_MAX and sum(sizes) <= BATCH_BYTES_MAX:
        yield slice(0, len(sizes))
        return
    start = room = 0
    for at, size in enumerate(sizes):
        if at > start and (at - start == MESSAGES_MAX or room < size):
            yield slice(start, at)
            start = at
        room = BATCH_BYTES_MAX - size if at == start else room - size
    yield slice(start, len(sizes))
