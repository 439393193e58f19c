"""A batch: messages of one partition as they were received, packed for the journal (architecture §3.2).

Payloads are kept untouched. Each message has an *ordinal*: its place in the partition's numbering, which the
one bridge that writes the partition continues without gaps. So the ordinals say how many messages were
received, independently of what the worker counts afterwards; the ledger compares the two.
"""

import struct
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from sensors.errors import MessageRejected
from sensors.key import key_of

MESSAGES_MAX = 500
AGE_MS_MAX = 50
TOPICS_CACHED = 200_000
ORDINAL_MAX = 2**53


class _Sealed(msgspec.Struct, frozen=True):
    """What a batch has in either form."""

    partition: int
    first: int
    sealed_at: int
    bridge: str
    pending: int


class Batch(_Sealed, frozen=True):
    """Messages of one partition, in columns of equal length.

    `first` is the ordinal of the first message; times are milliseconds UTC. `redelivered` holds the indices of
    messages that the broker marked DUP. `pending` is how many messages the bridge held unjournaled when it
    sealed this batch. A batch without messages is the bridge's heartbeat.

    `arrived` counts the messages that this process of the bridge got from the broker until then, `repeated` those of
    them that came again while they were held. With all batches sealed with this one counted as journaled:
    arrived = journaled by this process + pending + repeated. Both begin at 0 with the process; 0 in older records.
    `overtaken` is how often this process had to number anew because another bridge had written, and `overtaken_at`
    when it last had to (ms UTC); 0 while it never had to, and in older records.
    `renumbered`: the batch was numbered anew, its messages may be in the journal under other ordinals, at the same
    places of a batch with the same times. Older bridges marked all messages of such a batch in `redelivered` instead.
    """

    topics: list[str]
    payloads: list[bytes]
    received_at: list[int]
    redelivered: list[int] = []
    arrived: int = 0
    repeated: int = 0
    overtaken: int = 0
    overtaken_at: int = 0
    renumbered: bool = False

    @property
    def after(self) -> int:
        """The ordinal that the next batch of the partition starts with."""
        return self.first + len(self.topics)


class JournaledBatch(_Sealed, array_like=True, frozen=True):
    """A batch as the journal keeps it: what the processor reads as columns is not cut up into messages on the way.

    `topics` and `text` are the topics in UTF-8 and the payloads, one behind another with a newline between;
    `topic_sizes` and `sizes` (u32 each) their lengths in bytes. `topic_keys` (u64 each, sensors.key) are what
    topics are known by: of each only the first message's text has to be looked at. `received_at` are times in ms UTC
    (i64 each). All numbers are little-endian; the other fields are as in `Batch`.
    """

    topics: bytes
    topic_sizes: bytes
    topic_keys: bytes
    text: bytes
    sizes: bytes
    received_at: bytes
    redelivered: list[int] = []
    arrived: int = 0
    repeated: int = 0
    overtaken: int = 0
    overtaken_at: int = 0
    renumbered: bool = False

    @property
    def count(self) -> int:
        """How many messages it has."""
        return len(self.received_at) // 8

    @property
    def after(self) -> int:
        """The ordinal that the next batch of the partition starts with."""
        return self.first + self.count

    @property
    def is_whole(self) -> bool:
        """Whether its columns fit together, as those of every bridge do."""
        count = self.count
        return (
            0 <= self.first <= ORDINAL_MAX
            and len(self.received_at) == len(self.topic_keys) == 8 * count
            and _fit(self.topics, self.topic_sizes, count) and _fit(self.text, self.sizes, count)
            and all(0 <= index < count for index in self.redelivered)
        )  # fmt: skip


_topic_key = lru_cache(TOPICS_CACHED)(key_of)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(JournaledBatch)


def encode(batch: Batch) -> bytes:
    """MessagePack, array-like; stable across versions by adding fields at the end only."""
    count = len(batch.topics)
    topics = [topic.encode(errors="surrogatepass") for topic in batch.topics]
    return _encoder.encode(
        JournaledBatch(
            batch.partition, batch.first, batch.sealed_at, batch.bridge, batch.pending,
            b"\n".join(topics), struct.pack(f"<{count}I", *map(len, topics)),
            struct.pack(f"<{count}Q", *map(_topic_key, batch.topics)),
            b"\n".join(batch.payloads), struct.pack(f"<{count}I", *map(len, batch.payloads)),
            struct.pack(f"<{count}q", *batch.received_at), batch.redelivered, batch.arrived, batch.repeated,
            batch.overtaken, batch.overtaken_at, batch.renumbered,
        )
    )  # fmt: skip


def journaled(record: bytes) -> JournaledBatch:
    """What `encode` made, in columns; raises MessageRejected on bytes that no bridge wrote."""
    try:
        batch = _decoder.decode(record)
        batch.topics.decode(errors="surrogatepass")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected("bad_record", str(error)) from error
    if not batch.is_whole:
        raise MessageRejected("bad_record", "its columns do not fit together")
    return batch


def decode(record: bytes) -> Batch:
    """The inverse of `encode`, message by message; raises as `journaled` does."""
    kept = journaled(record)
    topics = _cut(kept.topics, struct.unpack(f"<{kept.count}I", kept.topic_sizes))
    payloads = _cut(kept.text, struct.unpack(f"<{kept.count}I", kept.sizes))
    return Batch(
        kept.partition, kept.first, kept.sealed_at, kept.bridge, kept.pending,
        [topic_text(topic) for topic in topics], payloads,
        list(struct.unpack(f"<{kept.count}q", kept.received_at)), kept.redelivered, kept.arrived, kept.repeated,
        kept.overtaken, kept.overtaken_at, kept.renumbered,
    )  # fmt: skip


def topic_text(topic: bytes) -> str:
    """A topic as text, from what a record keeps of it."""
    return topic.decode(errors="surrogatepass")


def _fit(text: bytes, sizes: bytes, count: int) -> bool:
    """Whether `sizes` are those of so many texts with a newline between."""
    return len(sizes) == 4 * count and sum(struct.unpack(f"<{count}I", sizes)) + max(count - 1, 0) == len(text)


def _cut(text: bytes, sizes: Iterable[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size + 1
    return parts
