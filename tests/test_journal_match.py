"""A journal that is not the one that the database has read is refused before anything is taken in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from small_world import NOON, A, catalogue, senml

from control_center.embedded_data import prepare
from control_center.embedded_settings import PARTITIONS
from sensors.batch import Batch
from sensors.errors import SettingsError
from sensors.sqlite_journal import SqliteJournal
from streams.data_folder import DataFolder
from streams.faust_worker import EmbeddedWorker
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio


def batch(first: int, count: int) -> Batch:
    """So many messages, each of a second of its own."""
    payloads = [senml("speed", NOON + (first + step) * 1000, 40) for step in range(count)]
    return Batch(0, first, NOON, "b1", 0, [f"ioc/{A}/traffic/cam"] * count, payloads, [NOON] * count)


class Centre:
    """A data folder, with what bridge and engine do to it."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(folder)
        self.store = SqlStore(self.data.database)

    async def prepare(self) -> None:
        await asyncio.to_thread(prepare, self.data)

    async def journal(self, *batches: Batch) -> None:
        journal = SqliteJournal.open(self.data.journal, PARTITIONS)
        for one in batches:  # one record each
            await journal.append([one])
        await journal.close()

    async def work(self) -> None:
        """The engine until it has read its partition 0 to the end."""
        journal, stop = SqliteJournal.open(self.data.journal, PARTITIONS), asyncio.Event()
        worker = EmbeddedWorker(catalogue(), self.store, MemoryLive("e"), journal, lambda: NOON)
        working = asyncio.create_task(worker.run(stop))
        end = (await journal.ends())[0]
        while not working.done() and (0 not in worker.engine.owned or worker.engine.offset(0) < end):
            await asyncio.sleep(0)
        stop.set()
        try:
            await working
        finally:
            await journal.close()

    def lose_journal(self) -> None:
        for file in self.data.path.glob("journal.sqlite*"):
            file.unlink()

    def counted(self) -> int:
        totals = self.store.ledger_totals()
        return totals.accepted + totals.duplicate


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    made = Centre(tmp_path)
    await made.prepare()
    await made.journal(batch(0, 2), batch(2, 2))
    await made.work()
    assert made.counted() == 4
    yield made
    made.store.close()


async def test_a_centre_whose_journal_is_gone_is_refused_before_its_bridge_can_acknowledge_anything(
    centre: Centre,
) -> None:
    centre.lose_journal()
    with pytest.raises(SettingsError, match=r"journal\.sqlite: .*history\.sqlite.* put that journal back, or begin"):
        await centre.prepare()


async def test_an_engine_beside_another_journal_passes_over_nothing_that_is_in_it(centre: Centre) -> None:
    centre.lose_journal()
    await centre.journal(batch(0, 3))
    with pytest.raises(SettingsError, match="is not the journal that"):
        await centre.work()
    assert centre.counted() == 4


async def test_another_journal_is_known_as_such_also_where_it_is_the_longer_one(centre: Centre) -> None:
    centre.lose_journal()
    await centre.journal(*(batch(first, 1) for first in range(9)))
    for begin in (centre.prepare, centre.work):
        with pytest.raises(SettingsError, match="made later, or for another database"):
            await begin()
    assert centre.counted() == 4


async def test_a_folder_of_an_earlier_version_goes_on_unless_its_journal_has_lost_its_end(centre: Centre) -> None:
    def forget() -> None:
        centre.store.keep_journal(0)

    forget()
    await centre.prepare()
    await centre.journal(batch(4, 3))
    await centre.work()
    assert centre.counted() == 7
    forget()
    centre.lose_journal()
    await centre.journal(batch(0, 1))
    with pytest.raises(SettingsError, match="its partition 0 ends at 1, and was read up to 3"):
        await centre.prepare()


async def test_a_new_database_begins_with_any_journal_and_is_its_own_from_then_on(centre: Centre) -> None:
    centre.store.close()
    for file in centre.data.path.glob("history.sqlite*"):
        file.unlink()
    await centre.prepare()
    await centre.work()
    assert centre.counted() == 4
    centre.lose_journal()
    with pytest.raises(SettingsError):
        await centre.prepare()
