"""Journal, engine and history of one processor in one process, at a time that the test tells."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from told import Message, take_in

from sensors.packing import Counts, Packer
from sensors.sqlite_journal import SqliteJournal
from streams.beat_engine import Engine
from streams.catalogue import compile_catalogue
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions

Anew = Literal["not", "at once", "once journaled"]


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
        self._partitions = range(partitions)
        self._now = now
        self._engine: Engine | None = None

    async def start(self) -> None:
        """Begin, or begin again from what the database has: a process that was killed and is back."""
        self._engine = engine = Engine(
            self._catalogue, self.store, MemoryLive(str(self._now)), lambda: self._now, lambda one: engine.report(one)
        )
        for number in self._partitions:
            await engine.own(number)
        await engine.own_roll_up()

    async def live(self, messages: Iterable[Message], now: int, anew: Anew = "not") -> None:
        """Journal these messages, let the engine observe what the journal has, and beat once, at `now`.

        `anew`: whether another bridge overtakes this one, so that it numbers them anew, and if so, whether they were
        journaled under their old numbers too.
        """
        self._now = now
        for message in messages:
            take_in(self._packer, message)
        batches = self._packer.seal(now)
        if anew != "at once":
            await self.journal.append(batches)
        if anew != "not":
            ordinals = await self.journal.next_ordinals()
            await self.journal.append(self._packer.renumbered(batches, ordinals, Counts()))
        if self._engine is None:
            await self.start()
        assert self._engine is not None
        for number in self._partitions:
            for record in await self.journal.read(number, self._engine.offset(number), 10_000):
                await self._engine.observe(record)
        await self._engine.beat(now, final=True)

    async def close(self) -> None:
        await self.journal.close()
        self.store.close()
