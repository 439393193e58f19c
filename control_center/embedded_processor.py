"""The part of the engine that works on the journal: it waits until that can be opened; the gateway beside it serves."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sensors.sqlite_journal import SqliteJournal
from streams.catalogue import compile_catalogue
from streams.disk_watch import FaultWatch, journal_source, overtaken_source, waits_source
from streams.fault import What
from streams.faust_worker import EmbeddedWorker
from streams.journal_opening import opened
from streams.live import LiveStore
from streams.sql_store import SqlStore
from streams.summary_schedule import keep_summaries
from streams.toml_catalogue import Definitions


async def process(
    path: Path, partitions: int, definitions: Definitions, store: SqlStore, live: LiveStore, watch: FaultWatch,
    clock: Callable[[], int], stop: asyncio.Event,
) -> None:  # fmt: skip
    """Work until `stop`; returns after the last checkpoint. The watch hears of what is waited for meanwhile."""
    journal = await _opened(path, partitions, watch, clock, stop)
    if journal is None:
        return
    catalogue = compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
    worker = EmbeddedWorker(catalogue, store, live, journal, clock)
    engine = worker.engine
    watch.sources += [
        waits_source(engine.waits), journal_source(journal.newest, clock()), overtaken_source(engine.overtaken),
        waits_source(engine.keeper.unkept),
    ]  # fmt: skip
    tasks = [
        asyncio.create_task(worker.run(stop)),
        asyncio.create_task(keep_summaries(engine, store, definitions, clock)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await journal.close()


async def _opened(
    path: Path, partitions: int, watch: FaultWatch, clock: Callable[[], int], stop: asyncio.Event
) -> SqliteJournal | None:
    async def opening() -> SqliteJournal:
        return SqliteJournal.open(path, partitions)

    waits: dict[What, tuple[int, str]] = {}
    source = waits_source(waits)
    watch.sources.append(source)
    journal = await opened(opening, waits, clock, stop)
    watch.sources.remove(source)
    return journal
