"""The journal by its URL: `sqlite:///PATH` or `kafka://host:port[,host:port]`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sensors.disk_room import DiskGauge, limits_of
from sensors.errors import SettingsError
from sensors.journal import JournalReader, JournalWriter
from sensors.kafka_journal import KafkaJournalReader, KafkaJournalWriter
from sensors.sqlite_journal import SqliteJournal


def check_journal(url: str) -> None:
    """Raises SettingsError for a URL that names no journal."""
    _place(url)


async def open_writer(url: str, partitions: int) -> JournalWriter:
    """The bridge's side; raises SettingsError for a wrong URL, and Unavailable."""
    place = _place(url)
    if isinstance(place, Path):
        return SqliteJournal.open(place, partitions, gauge=DiskGauge(place.parent, limits_of()))
    return await KafkaJournalWriter.open(place, partitions=partitions)


@asynccontextmanager
async def open_reader(url: str, client_id: str) -> AsyncIterator[JournalReader]:
    """For reading only, as `client_id` to Kafka; raises SettingsError for a wrong URL, and Unavailable."""
    place = _place(url)
    reader: JournalReader
    if isinstance(place, Path):
        reader = await asyncio.to_thread(SqliteJournal.read_only, place)
    else:
        reader = await KafkaJournalReader.open(place, client_id=client_id)
    try:
        yield reader
    finally:
        await reader.close()


def _place(url: str) -> Path | str:
    """The file, or Kafka's servers."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return Path(rest[1:])
    if scheme == "kafka" and rest:
        return rest
    raise SettingsError(f"--journal {url}: cần / expected sqlite:///PATH or kafka://host:port")
