"""Journal, partitions, roll-up and history of one processor in one process, at a time that the test tells."""

from collections.abc import Iterable
from pathlib import Path

from told import Message, take_in

from sensors.journal import Record
from sensors.packing import Packer
from sensors.sqlite_journal import SqliteJournal
from streams.catalogue import compile_catalogue
from streams.checkpoint import ROLL_UP
from streams.partition import Partition
from streams.roll_up import Report, RollUp
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions

BEAT_MS = 500


class WholeProcessor:
    """Everything between the bridge's callback and the database, over the files that `ioc up` keeps in a folder.

    `database` is a URL, for history elsewhere.
    """

    def __init__(self, definitions: Definitions, folder: Path, now: int, partitions: int, database: str = "") -> None:
        self.journal = SqliteJournal.open(folder / "journal.sqlite", partitions)
        self.store = SqlStore(database or f"sqlite:///{folder / 'history.sqlite'}")
        self.store.migrate()
        self._catalogue = compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, {})
        self._packer = Packer("bridge", partitions, {})
        self._offsets = dict.fromkeys(range(partitions), 0)
        self.start(now)

    def start(self, now: int) -> None:
        """Begin, or begin again from what the database has: a process that was killed and is back."""
        horizons = {kpi.id: self._catalogue.kinds[kpi.kind].lateness_s * 1000 for kpi in self._catalogue.kpis.values()}
        self._partitions = {
            number: Partition(number, self._catalogue, self.store.recover(number, horizons), now)
            for number in self._offsets
        }
        self._offsets = {number: partition.offset for number, partition in self._partitions.items()}
        self._roll_up = RollUp(self._catalogue, self.store.recover(ROLL_UP, horizons), now)

    async def hear(self, messages: Iterable[Message], now: int) -> None:
        """Journal these messages, and let the partitions observe whatever the journal has for them."""
        for message in messages:
            take_in(self._packer, message)
        await self.journal.append(self._packer.seal(now))
        for number, partition in self._partitions.items():
            records: list[Record] = await self.journal.read(number, self._offsets[number], 10_000)
            for record in records:
                partition.observe(record)
            self._offsets[number] = partition.offset

    def beat(self, now: int) -> None:
        """One beat of everything, and a checkpoint of everything."""
        for number, partition in self._partitions.items():
            beat = partition.evaluate(now)
            unknown = self._roll_up.unknown(beat.partials)
            if unknown:
                self._roll_up.restore(*self.store.shares(unknown), now)
            self._roll_up.report(Report(number, beat.partials, beat.silent), now)
            assert self.store.commit(partition.checkpoint(now))
        self._roll_up.evaluate(now)
        assert self.store.commit(self._roll_up.checkpoint(now, [], []))

    async def close(self) -> None:
        await self.journal.close()
        self.store.close()
