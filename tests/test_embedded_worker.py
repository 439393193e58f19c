"""The embedded worker is alone with its database, or it begins again."""

import asyncio
from itertools import count
from pathlib import Path

import pytest
from small_world import NOON, A, catalogue, senml

from sensors.batch import Batch
from sensors.errors import SettingsError
from sensors.sqlite_journal import SqliteJournal
from streams.faust_worker import EmbeddedWorker
from streams.memory_live import MemoryLive
from streams.partition import Partition
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio


async def test_who_finds_that_another_has_written_ends_and_passes_over_nothing(tmp_path: Path) -> None:
    """What it had taken in and not written is read again by who is started next."""
    store, made = SqlStore(f"sqlite:///{tmp_path}/history.sqlite"), catalogue()
    store.migrate()
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", 1)
    await journal.append(
        [Batch(0, 0, NOON, "bridge", 0, [f"ioc/{A}/traffic/s1"], [senml("speed", NOON, 40.0)], [NOON])]
    )
    seconds = count(NOON, 1_000)
    worker = EmbeddedWorker(made, store, MemoryLive("e"), journal, lambda: next(seconds))
    running = asyncio.create_task(worker.run(asyncio.Event()))
    async with asyncio.timeout(60):
        while store.offsets().get(0, 0) < 1:
            await asyncio.sleep(0)
        other = Partition(0, made, store.recover(0), NOON)
        while not store.commit(other.checkpoint(next(seconds))):
            other = Partition(0, made, store.recover(0), NOON)
        with pytest.raises(SettingsError, match="partition 0 was written by another"):
            await running
    await journal.close()
    store.close()
