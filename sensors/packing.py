"""Packing: messages into batches by partition, numbered without gaps (architecture §3.2)."""

from collections.abc import Mapping
from typing import NamedTuple

from sensors.batch import MESSAGES_MAX, Batch
from sensors.topic import partition_of

BATCH_BYTES_MAX = 2 * 2**20
"""Of payloads; with one message of at most 1 MiB more, a batch stays far below what the journals take (8 MiB)."""

TOPICS_CACHED = 200_000


class Message(NamedTuple):
    """A message as it was received; `received_at` in ms UTC, `redelivered`: the broker marked it DUP."""

    topic: str
    payload: bytes
    received_at: int
    redelivered: bool = False


class Packer:
    """Holds what has not been sealed yet. `next_ordinals` has, for each partition, the next message's number."""

    def __init__(self, bridge: str, partitions: int, next_ordinals: Mapping[int, int]) -> None:
        self._bridge = bridge
        self._partitions = partitions
        self._next = dict(next_ordinals)
        self._held: dict[int, list[Message]] = {}
        self._partition_of: dict[str, int] = {}
        self.held = 0

    def add(self, message: Message) -> None:
        """Take one message in."""
        partition = self._partition_of.get(message.topic)
        if partition is None:
            if len(self._partition_of) >= TOPICS_CACHED:
                self._partition_of.clear()
            partition = self._partition_of[message.topic] = partition_of(message.topic, self._partitions)
        self._held.setdefault(partition, []).append(message)
        self.held += 1

    def seal(self, now: int, pending: int = 0) -> list[Batch]:
        """Everything held, as batches of at most 500 messages and 2 MiB; `pending` more wait outside."""
        batches = [
            self._sealed(partition, part, now, pending)
            for partition, messages in self._held.items()
            for part in _parts(messages)
        ]
        self._held.clear()
        self.held = 0
        return batches

    def heartbeat(self, partition: int, now: int, pending: int) -> Batch:
        """A batch without messages: the bridge lives, and how many messages it holds unjournaled."""
        return self._sealed(partition, [], now, pending)

    def _sealed(self, partition: int, messages: list[Message], now: int, pending: int) -> Batch:
        first = self._next.get(partition, 0)
        self._next[partition] = first + len(messages)
        return Batch(
            partition, first, now, self._bridge, pending,
            [message.topic for message in messages], [message.payload for message in messages],
            [message.received_at for message in messages],
            [index for index, message in enumerate(messages) if message.redelivered],
        )  # fmt: skip


def _parts(messages: list[Message]) -> list[list[Message]]:
    parts: list[list[Message]] = []
    room = 0
    for message in messages:
        if not parts or len(parts[-1]) == MESSAGES_MAX or room < len(message.payload):
            parts.append([])
            room = BATCH_BYTES_MAX
        parts[-1].append(message)
        room -= len(message.payload)
    return parts
