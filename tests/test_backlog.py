"""A backlog goes through at the engine's own pace: what it may hold is bounded, and no clock is waited for."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from small_world import NOON, A, catalogue, senml

from sensors.batch import MESSAGES_MAX, Batch, encode
from sensors.journal import Record
from streams.beat_engine import UNWRITTEN_MAX, Engine
from streams.checkpoint_writer import PATIENCE_S
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.room import ROOM_BYTES, ROOM_FIRST, ROOM_MOST
from streams.sql_store import SqlStore

MESSAGES = 3 * UNWRITTEN_MAX
MINUTE = 60_000


def backlog() -> list[Record]:
    """One partition's records, as full as they may be: a reading every 100 ms of event time."""
    records = []
    for number in range(MESSAGES // MESSAGES_MAX):
        times = [NOON + (number * MESSAGES_MAX + place) * 100 for place in range(MESSAGES_MAX)]
        payloads = [senml("speed", time, 40 + time // 100 % 7) for time in times]
        topics = [f"ioc/{A}/traffic/cam-{place % 20}" for place in range(MESSAGES_MAX)]
        sealed = NOON + MESSAGES * 100
        batch = Batch(0, number * MESSAGES_MAX, sealed, "b", 0, topics, payloads, [sealed] * MESSAGES_MAX)
        records.append(Record(0, number, encode(batch)))
    return records


async def made(folder: Path, clock: Callable[[], int], patience_s: float | None = None) -> tuple[SqlStore, Engine]:
    """A new database, and an engine over it with partition 0 and the roll-up."""
    store = SqlStore(f"sqlite:///{folder / 'history.sqlite'}")
    store.migrate()

    async def report(told: Report) -> None:
        await engine.report(told)

    engine = Engine(catalogue(), store, MemoryLive("e"), clock, report, patience_s=patience_s)
    await engine.own(0)
    await engine.own_roll_up()
    return store, engine


def test_a_backlog_is_written_as_it_is_taken_in_though_no_time_passes(tmp_path: Path) -> None:
    async def story() -> None:
        now = NOON + MESSAGES * 100 + MINUTE
        store, engine = await made(tmp_path, lambda: now)
        await engine.beat(now)

        async def feed() -> None:
            for record in backlog():
                await engine.observe(record)

        feeding = asyncio.create_task(feed())
        beats = held = 0
        while not feeding.done():
            await asyncio.sleep(0)
            await engine.beat(now)
            beats += 1
            assert beats < 4 * MESSAGES // UNWRITTEN_MAX, "few and full beats"
            held = max(held, engine.offset(0) * MESSAGES_MAX - store.recover(0).ordinal)
        await engine.beat(now, final=True)
        assert held <= UNWRITTEN_MAX
        totals = store.ledger_totals()
        assert (totals.received, totals.accepted) == (MESSAGES, MESSAGES)
        store.close()

    asyncio.run(story())


def test_of_a_backlog_a_running_engine_takes_little_for_its_first_beat_and_more_as_it_sees_that_it_is_cheap(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        now = NOON + MESSAGES * 100 + MINUTE
        store, engine = await made(tmp_path, lambda: now, PATIENCE_S)
        stop = asyncio.Event()
        running = asyncio.create_task(engine.run(stop))
        for record in backlog():
            now += 1
            await engine.observe(record)
        stop.set()
        await running
        offsets = [mark.offset for mark in store.beats(0, -1, now)]
        taken = [(after - before) * MESSAGES_MAX for before, after in pairwise([0, *offsets])]
        assert next(filter(None, taken)) == ROOM_FIRST
        assert ROOM_FIRST < max(taken) <= ROOM_MOST
        assert sum(taken) == MESSAGES
        store.close()

    asyncio.run(story())


def test_of_large_messages_a_running_engine_takes_fewer_before_a_beat(tmp_path: Path) -> None:
    """300 of 1 MB fit into the room of a thousand messages, and took 1.2 GB of memory."""
    size, records = 1_000_000, 60

    async def story() -> None:
        now = NOON
        store, engine = await made(tmp_path, lambda: now, PATIENCE_S)
        stop = asyncio.Event()
        running = asyncio.create_task(engine.run(stop))
        for number in range(records):
            now += 1
            batch = Batch(0, number, NOON, "b", 0, [f"ioc/{A}/traffic/cam"], [b"x" * size], [NOON])
            await engine.observe(Record(0, number, encode(batch)))
        stop.set()
        await running
        offsets = [mark.offset for mark in store.beats(0, -1, now)]
        assert max(after - before for before, after in pairwise([0, *offsets])) == ROOM_BYTES // size + 1
        assert store.ledger_totals().rejected == records
        store.close()

    asyncio.run(story())
