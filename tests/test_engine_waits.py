"""What an engine waits for, and what it hears of bridges, so that people can be told."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from small_world import catalogue

from sensors.batch import Batch, encode
from sensors.journal import Record
from streams.beat_engine import Engine
from streams.checkpoint import Checkpoint
from streams.disk_watch import waits_source
from streams.fault import WAITS_MS, Seen
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

NOW = 1_790_000_000_000


def test_an_engine_tells_what_it_waits_for_while_the_database_hangs_and_not_afterwards(tmp_path: Path) -> None:
    """The lock of another connection makes a database slow without any pretending."""

    async def story() -> None:
        store = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}")
        store.migrate()
        engine = Engine(catalogue(), store, MemoryLive("epoch"), lambda: NOW, _send_nothing)
        await engine.own(0)
        holder = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        beat = asyncio.create_task(engine.beat(NOW, final=True))
        async with asyncio.timeout(20):
            while not engine.waits:
                await asyncio.sleep(0)
            assert waits_source(engine.waits)(NOW + WAITS_MS) == {"checkpoint_waits": Seen()}
            assert not beat.done()
            holder.execute("ROLLBACK")
            await beat
        assert engine.waits == {}
        holder.close()
        store.close()

    asyncio.run(story())


class SlowStore(SqlStore):
    """A database each of whose transactions takes so long by the `clock`, a list of the one time (ms UTC)."""

    takes_ms = 0
    clock: list[int]

    def commit_all(self, checkpoints: Sequence[Checkpoint]) -> set[int]:
        self.clock[0] += self.takes_ms
        return super().commit_all(checkpoints)


async def slow_centre(tmp_path: Path) -> tuple[Engine, SlowStore, list[int]]:
    """An engine that owns partition 0, its database, of which a transaction takes WAITS_MS, and the time."""
    store, clock = SlowStore(f"sqlite:///{tmp_path / 'history.sqlite'}"), [NOW]
    store.clock, store.takes_ms = clock, WAITS_MS
    store.migrate()
    engine = Engine(catalogue(), store, MemoryLive("epoch"), lambda: clock[0], _send_nothing)
    await engine.own(0)
    return engine, store, clock


def test_slow_checkpoints_one_after_the_other_are_one_wait_until_one_is_quick(tmp_path: Path) -> None:
    async def story() -> None:
        engine, store, clock = await slow_centre(tmp_path)
        for _ in range(3):
            await engine.beat(clock[0], final=True)
            assert engine.waits == {"checkpoint_waits": (NOW, "")}
        store.takes_ms = WAITS_MS - 1
        await engine.beat(clock[0], final=True)
        assert engine.waits == {}
        store.close()

    asyncio.run(story())


def test_a_worker_whose_partitions_another_has_taken_over_waits_for_no_checkpoint(tmp_path: Path) -> None:
    async def story() -> None:
        engine, store, clock = await slow_centre(tmp_path)
        await engine.beat(clock[0], final=True)
        assert engine.waits
        engine.disown(0)
        await engine.beat(clock[0])
        assert engine.waits == {}
        store.close()

    asyncio.run(story())


def test_an_engine_hears_that_a_bridge_was_overtaken_also_where_another_of_its_name_speaks_last(
    tmp_path: Path,
) -> None:
    def heartbeat(offset: int, overtaken: int, overtaken_at: int) -> Record:
        batch = Batch(0, 0, NOW, "twin", 0, [], [], [], [], 9, 1, overtaken, overtaken_at)
        return Record(0, offset, encode(batch))

    async def story() -> None:
        store, live = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}"), MemoryLive("epoch")
        store.migrate()
        engine = Engine(catalogue(), store, live, lambda: NOW, _send_nothing)
        await engine.observe(heartbeat(0, 0, 0))
        await engine.beat(NOW, final=True)
        assert engine.overtaken == {}
        for record in (heartbeat(1, 2, NOW - 50), heartbeat(2, 1, NOW - 90), heartbeat(3, 0, 0)):
            await engine.observe(record)
        await engine.beat(NOW + 500, final=True)
        assert engine.overtaken == {"twin": NOW - 50}
        await engine.observe(heartbeat(4, 1, NOW - 90))
        await engine.beat(NOW + 1_000, final=True)
        assert engine.overtaken == {"twin": NOW - 50}
        told = (await live.since("", 0)).changes["b:twin"]
        assert json.loads(told or b"") == {
            "pending": 0, "arrived": 9, "repeated": 1, "overtaken": 1, "overtaken_at": NOW - 90, "at": NOW,
        }  # fmt: skip
        store.close()

    asyncio.run(story())


async def _send_nothing(_: Report) -> None:
    """There is no roll-up here."""
