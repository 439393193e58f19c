"""Where a test's journal stands: a SQLite file, or a topic of a real Kafka; and what is put in and taken out."""

import uuid
from pathlib import Path
from typing import Protocol

import pytest

from sensors.batch import Batch, decode
from sensors.journal import JournalReader, JournalWriter
from sensors.kafka_journal import KafkaJournalReader, KafkaJournalWriter
from sensors.kafka_topics import create_topics
from sensors.sqlite_journal import SqliteJournal

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


def batch(partition: int, first: int, *payloads: bytes, sealed_at: int = 1_000) -> Batch:
    topics = ["ioc/06694/air/s1"] * len(payloads)
    return Batch(partition, first, sealed_at, "b1", 0, topics, list(payloads), [sealed_at] * len(payloads))


async def payloads(reader: JournalReader, partition: int, offset: int = 0) -> list[list[bytes]]:
    return [decode(record.batch).payloads for record in await reader.read(partition, offset)]


async def taken(reader: JournalReader, partition: int) -> list[bytes]:
    """What a worker takes of a partition: messages at ordinals that it has not had (streams.intake)."""
    found, next_ordinal = list[bytes](), 0
    for record in await reader.read(partition, 0, 10_000):
        one = decode(record.batch)
        found += one.payloads[max(0, next_ordinal - one.first) :]
        next_ordinal = max(next_ordinal, one.after)
    return found
