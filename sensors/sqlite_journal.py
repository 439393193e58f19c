"""The journal of the embedded shape: one SQLite file in WAL mode (architecture §2).

A record's key packs partition and offset into one integer, so that the table is a single B-tree and an append
touches its right edges only; a two-column key costs a second B-tree, or puts whole batches into inner pages.
The `tail` table keeps what must outlive retention: the next offset and the next ordinal of every partition. By it an
append finds out, in its own transaction, that another writer has used its ordinals. A heartbeat has none, and is
always taken.

Open one handle for each role: a handle does its blocking work on one thread of its own, and a reader should not
wait behind a writer's fsync. Any number of processes may read the file while one writes it.
"""

import asyncio
import heapq
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from sensors.batch import Batch, encode
from sensors.disk_room import DiskGauge
from sensors.errors import Overtaken, SettingsError, Unavailable
from sensors.journal import Record
from sensors.sqlite_wal import set_wal

RETAIN_S = 7 * 86_400
RETAIN_BYTES = 4 * 2**30
WAIT_S = 5.0

_OFFSET_BITS = 40
_TRIM_ROWS = 1_000  # a transaction of retention: small enough that appends in between wait for milliseconds only

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tail (
    partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL, next_ordinal INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS record (
    position INTEGER PRIMARY KEY,  -- partition << 40 | offset
    first INTEGER NOT NULL, messages INTEGER NOT NULL, sealed_at INTEGER NOT NULL, batch BLOB NOT NULL
);
"""
_ADVANCE = """
UPDATE tail SET next_offset = next_offset + 1, next_ordinal = max(next_ordinal, :after), bytes = bytes + :bytes
WHERE partition = :partition AND (next_ordinal <= :first OR :first = :after) RETURNING next_offset - 1
"""
_OLDEST = """
SELECT sealed_at, position, length(batch) FROM record WHERE position >= ? AND position < ? ORDER BY position LIMIT ?
"""

_T = TypeVar("_T")


class _Aged(NamedTuple):
    """A record that retention may drop; ordered by when it was sealed."""

    sealed_at: int
    position: int
    size: int


class SqliteJournal:
    """Both sides of the journal over one file: `sensors.journal.JournalWriter` and `JournalReader`."""

    def __init__(
        self,
        path: Path,
        retain_s: int,
        retain_bytes: int,
        wait_s: float,
        gauge: DiskGauge | None = None,
        is_read_only: bool = False,
    ) -> None:
        self.path = path
        self._gauge = gauge
        self._retain_ms = retain_s * 1000
        self._retain_bytes = retain_bytes
        self._database = _connect(path, wait_s, is_read_only)
        # Used on the caller's thread, for questions of a few microseconds that no writer can hold up.
        self._glance = _connect(path, 0.0, is_read_only)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._nothing_new: dict[int, tuple[int, int]] = {}

    @classmethod
    def open(
        cls,
        path: Path,
        partitions: int,
        retain_s: int = RETAIN_S,
        retain_bytes: int = RETAIN_BYTES,
        wait_s: float = WAIT_S,
        gauge: DiskGauge | None = None,
    ) -> Self:
        """Open the file, or make it. `retain_bytes` counts batches, not SQLite's own pages.

        `wait_s` is how long a call waits for another process's transaction before it raises Unavailable. With a
        `gauge`, nothing is appended while the disk is full: what is kept back is for checkpoints. Raises
        SettingsError when the file was made with another number of partitions or is no journal, and Unavailable
        when it cannot be opened now.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _create(path, partitions, wait_s)
            return cls(path, retain_s, retain_bytes, wait_s, gauge)
        except OSError as error:
            raise SettingsError(f"the journal's folder {path.parent} cannot be used (--data): {error}") from error
        except sqlite3.OperationalError as error:
            raise Unavailable(f"journal {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise SettingsError(f"{path} is not a journal (--data): {error}") from error

    @classmethod
    def read_only(cls, path: Path, wait_s: float = WAIT_S) -> Self:
        """Open the file of a journal that another process may be writing; nothing here can change it.

        Raises SettingsError when there is no journal at `path`, and Unavailable when it cannot be opened now.
        """
        if not path.is_file():
            raise SettingsError(f"{path}: không có nhật ký ở đó / there is no journal")
        try:
            journal = cls(path, RETAIN_S, RETAIN_BYTES, wait_s, is_read_only=True)
            journal._glance.execute("SELECT count(*) FROM tail").fetchone()
            return journal
        except sqlite3.OperationalError as error:
            raise Unavailable(f"journal {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise SettingsError(f"{path} is not a journal: {error}") from error

    def identity(self) -> int:
        """A number that this journal was given when it was made, and no other one has; at once and without a thread."""
        with _translated(self.path):
            (number,) = self._glance.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
            return int(number)

    async def append(self, batches: Sequence[Batch]) -> None:
        """Keep the batches in one transaction; it is on disk on return, and nothing of it is kept on an error.

        Raises Overtaken when another writer has used ordinals of theirs.
        """
        rows = [(batch, encode(batch)) for batch in batches]
        if rows:
            await self._run(lambda: self._append(rows))

    async def next_ordinals(self) -> dict[int, int]:
        """For every partition, the ordinal that the next message gets; also after retention emptied it."""
        return await self._run(lambda: dict(self._database.execute("SELECT partition, next_ordinal FROM tail")))

    def ends_ordinals(self) -> dict[int, int]:
        """The same, at once and without a thread (some 20 µs): what a worker subtracts from to state in_flight."""
        with _translated(self.path):
            return dict(self._glance.execute("SELECT partition, next_ordinal FROM tail"))

    def newest(self) -> dict[int, Record]:
        """The last record of every partition that has one, at once and without a thread."""
        query = "SELECT batch FROM record WHERE position = ?"
        found = {}
        with _translated(self.path):
            for number, end in self._glance.execute("SELECT partition, next_offset FROM tail").fetchall():
                row = self._glance.execute(query, (_position(number, end - 1),)).fetchone() if end else None
                if row is not None:
                    found[number] = Record(number, end - 1, row[0])
        return found

    async def read(self, partition: int, offset: int, limit: int = 100) -> list[Record]:
        """Up to `limit` records from `offset` on; asking again when nothing was written since costs some 10 µs."""
        version = self._version()
        if version is not None and self._nothing_new.get(partition) == (version, offset):
            return []
        records = await self._run(lambda: self._read(partition, offset, limit))
        # The version is older than the read: a batch in between costs one more read, and is never missed.
        if not records and version is not None:
            self._nothing_new[partition] = (version, offset)
        return records

    async def ends(self) -> dict[int, int]:
        """For every partition, the offset that the next record gets."""
        return await self._run(lambda: dict(self._database.execute("SELECT partition, next_offset FROM tail")))

    async def trim(self, now: int, keep_from: Mapping[int, int]) -> int:
        """Drop what is older than the retention's age, then the oldest above its size; returns how many records.

        `now` is in ms UTC. `keep_from` has each partition's checkpointed offset: records from it on are kept,
        and every record of a partition that it does not name. The file keeps its size, and reuses the space.
        """
        dropped = 0
        while True:
            step = await self._run(lambda: self._trim(now, keep_from))
            dropped += step
            if step < _TRIM_ROWS:
                return dropped

    async def close(self) -> None:
        """Finish what is under way and close the file; closing twice does nothing."""
        # Off the loop: an append under way may be waiting for another process's transaction.
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)
        self._database.close()
        self._glance.close()

    async def _run(self, work: Callable[[], _T]) -> _T:
        with _translated(self.path):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _version(self) -> int | None:
        """A number that changes with every commit of another connection; None when SQLite is busy recovering."""
        try:
            return int(self._glance.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.OperationalError:
            return None

    def _append(self, rows: list[tuple[Batch, bytes]]) -> None:
        if self._gauge is not None and self._gauge.look() == "full":
            free = self._gauge.room.free >> 20
            raise Unavailable(f"journal {self.path}: đĩa đầy, còn {free} MB / disk full, {free} MB left")
        with _transaction(self._database) as database:
            for batch, record in rows:
                place = {"partition": batch.partition, "first": batch.first, "after": batch.after}
                found = database.execute(_ADVANCE, {**place, "bytes": len(record)}).fetchall()
                if not found:
                    raise _overtaken(database, batch)
                position = _position(batch.partition, found[0][0])
                values = (position, batch.first, len(batch.topics), batch.sealed_at, record)
                database.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?)", values)

    def _read(self, partition: int, offset: int, limit: int) -> list[Record]:
        rows = self._database.execute(
            "SELECT position, batch FROM record WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
            (_position(partition, offset), _position(partition + 1, 0), limit),
        )
        return [Record(partition, _offset(position), batch) for position, batch in rows]

    def _trim(self, now: int, keep_from: Mapping[int, int]) -> int:
        with _transaction(self._database) as database:
            aged = [self._aged(partition, kept) for partition, kept in keep_from.items()]
            excess = database.execute("SELECT sum(bytes) FROM tail").fetchone()[0] - self._retain_bytes
            dropped: list[_Aged] = []
            for record in heapq.merge(*aged):
                if (record.sealed_at >= now - self._retain_ms and excess <= 0) or len(dropped) == _TRIM_ROWS:
                    break
                dropped.append(record)
                excess -= record.size
            database.executemany("DELETE FROM record WHERE position = ?", [(record.position,) for record in dropped])
            database.executemany(
                "UPDATE tail SET bytes = bytes - ? WHERE partition = ?",
                [(record.size, record.position >> _OFFSET_BITS) for record in dropped],
            )
            return len(dropped)

    def _aged(self, partition: int, kept: int) -> list[_Aged]:
        """The oldest records of a partition before offset `kept`."""
        bounds = (_position(partition, 0), _position(partition, kept), _TRIM_ROWS)
        return [_Aged(*row) for row in self._database.execute(_OLDEST, bounds)]


def _overtaken(database: sqlite3.Connection, batch: Batch) -> Overtaken:
    found = database.execute("SELECT next_ordinal FROM tail WHERE partition = ?", (batch.partition,)).fetchone()
    assert found, f"the journal has no partition {batch.partition}"
    return Overtaken(f"partition {batch.partition}: the next ordinal is {found[0]}, not {batch.first}")


def _position(partition: int, offset: int) -> int:
    return partition << _OFFSET_BITS | offset


def _offset(position: int) -> int:
    return position & ((1 << _OFFSET_BITS) - 1)


def _connect(path: Path, wait_s: float, is_read_only: bool = False) -> sqlite3.Connection:
    name = f"{path.absolute().as_uri()}?mode={'ro' if is_read_only else 'rwc'}"
    # No statement runs on two threads at once: one connection is the worker thread's, the other the caller's.
    database = sqlite3.connect(name, timeout=wait_s, isolation_level=None, check_same_thread=False, uri=True)
    # FULL: in WAL mode only this puts every commit on disk before it returns.
    database.execute("PRAGMA synchronous = FULL")
    return database


def _create(path: Path, partitions: int, wait_s: float) -> None:
    """Make the tables if they are not there, and hold the file to its number of partitions."""
    assert partitions > 0
    database = _connect(path, wait_s)
    try:
        set_wal(database, wait_s)
        database.execute("PRAGMA journal_size_limit = 67108864")  # a long backlog's WAL gives its space back
        with _transaction(database):
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT OR IGNORE INTO meta VALUES ('partitions', ?)", (partitions,))
            (made_with,) = database.execute("SELECT value FROM meta WHERE name = 'partitions'").fetchone()
            if made_with != partitions:
                raise SettingsError(
                    f"--partitions {partitions}: the journal {path} was made with {made_with}, and units keep their"
                    f" partition; start with --partitions {made_with}, or with another data folder"
                )
            # Journals of earlier versions get theirs at their next start.
            database.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (1 + secrets.randbits(62),))
            empty = [(partition,) for partition in range(partitions)]
            database.executemany("INSERT OR IGNORE INTO tail VALUES (?, 0, 0, 0)", empty)
    finally:
        database.close()


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    finally:
        # A full disk rolls back by itself; a failed COMMIT leaves the transaction open.
        if database.in_transaction:
            database.execute("ROLLBACK")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"journal {path}: {error}") from error
