"""What the journal in a SQLite file alone must show: nothing of half an append, retention, and a process that dies."""

import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from journal_shelf import PARTITIONS, batch

from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio


async def test_sqlite_keeps_the_number_of_partitions_it_was_made_with(tmp_path: Path) -> None:
    await SqliteJournal.open(tmp_path / "journal.sqlite", 8).close()
    with pytest.raises(SettingsError, match=r"--partitions 4.*made with 8"):
        SqliteJournal.open(tmp_path / "journal.sqlite", 4)


async def test_sqlite_refuses_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database, but long enough to be asked " * 100)
    with pytest.raises(SettingsError, match="not a journal"):
        SqliteJournal.open(tmp_path / "journal.sqlite", 4)


async def test_sqlite_is_unavailable_while_another_holds_the_file_and_keeps_nothing_of_the_append(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path, PARTITIONS, wait_s=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await journal.append([batch(0, 0, b"a"), batch(1, 0, b"b")])
        other.execute("ROLLBACK")
    assert await journal.ends() == dict.fromkeys(range(PARTITIONS), 0)
    await journal.append([batch(0, 0, b"a"), batch(1, 0, b"b")])
    assert journal.ends_ordinals() == {0: 1, 1: 1, 2: 0, 3: 0}
    await journal.close()


async def test_sqlite_keeps_all_batches_of_an_append_or_none(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS)
    with pytest.raises(AssertionError, match="no partition 4"):
        await journal.append([batch(0, 0, b"a"), batch(4, 0, b"b")])
    assert await journal.read(0, 0) == []
    assert await journal.next_ordinals() == dict.fromkeys(range(PARTITIONS), 0)
    await journal.close()


async def test_sqlite_keeps_nothing_of_an_append_that_is_overtaken_and_takes_every_heartbeat(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS)
    await journal.append([batch(1, 0, b"a", b"b")])
    with pytest.raises(Overtaken, match="partition 1: the next ordinal is 2, not 1"):
        await journal.append([batch(0, 0, b"x"), batch(1, 1, b"c")])
    assert await journal.ends() == {0: 0, 1: 1, 2: 0, 3: 0}
    await journal.append([batch(1, 0)])
    assert journal.ends_ordinals() == {0: 0, 1: 2, 2: 0, 3: 0}
    await journal.close()


async def test_sqlite_drops_old_records_but_none_that_is_not_checkpointed(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS, retain_s=10)
    for partition in (0, 1, 2):
        await journal.append([batch(partition, n, b"%d" % n, sealed_at=n * 1_000) for n in range(10)])
    # At 15 s, what was sealed before 5 s is old; partition 1 is checkpointed up to 2, partition 2 not at all.
    assert await journal.trim(15_000, {0: 10, 1: 2}) == 5 + 2
    assert [record.offset for record in await journal.read(0, 0)] == [5, 6, 7, 8, 9]
    assert [record.offset for record in await journal.read(1, 0)] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert len(await journal.read(2, 0)) == 10
    await journal.close()


async def test_sqlite_drops_the_oldest_of_all_partitions_above_its_size(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", PARTITIONS, retain_bytes=50_000)
    for n in range(40):
        await journal.append([batch(n % 2, n // 2, bytes(2_000), sealed_at=n)])
    assert await journal.trim(1_000, {0: 20, 1: 20}) == 16
    assert [record.offset for record in await journal.read(0, 0)] == list(range(8, 20))
    assert [record.offset for record in await journal.read(1, 0)] == list(range(8, 20))
    assert await journal.trim(1_000, {0: 20, 1: 20}) == 0
    await journal.close()


async def test_sqlite_offsets_and_ordinals_go_on_after_retention_emptied_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path, PARTITIONS, retain_s=1)
    await journal.append([batch(0, n, b"x") for n in range(2_500)])  # more than one transaction of retention
    assert await journal.trim(10_000_000, {0: 2_500}) == 2_500
    await journal.close()
    journal = SqliteJournal.open(path, PARTITIONS)
    assert (await journal.next_ordinals())[0] == 2_500
    await journal.append([batch(0, 2_500, b"next")])
    assert [record.offset for record in await journal.read(0, 0)] == [2_500]
    await journal.close()


WRITE_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from sensors.batch import Batch
from sensors.sqlite_journal import SqliteJournal

async def write():
    journal = SqliteJournal.open(Path(sys.argv[1]), 4)
    for n in range(50):
        await journal.append([Batch(p, n, 0, "b", 0, ["t"], [b"%d" % n], [0]) for p in range(4)])
        print(n, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(write())
"""


async def test_sqlite_has_every_append_that_returned_before_its_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    reader = SqliteJournal.open(path, PARTITIONS)
    died = await anyio.run_process([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert died.stdout.split()[-1] == b"49"
    assert await reader.next_ordinals() == reader.ends_ordinals() == dict.fromkeys(range(PARTITIONS), 50)
    assert len(await reader.read(3, 0)) == 50
    await reader.close()
