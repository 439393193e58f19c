"""Keeps the whole state once an hour, in a thread of its own: the beats go on meanwhile.

What cannot be kept is told as a fault (streams.fault) until another state is, and not tried again before the next hour
or the next start: a replay of that hour begins with the state kept before.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from sensors.errors import Unavailable
from streams.fault import What
from streams.sql_snapshots import Moment
from streams.sql_store import SqlStore

SNAPSHOT_MS = 3_600_000
log = structlog.get_logger("snapshots")


def is_new_hour(now: int, before: int) -> bool:
    """Whether the last time that the state is to be kept lies between (both ms UTC)."""
    return now // SNAPSHOT_MS != before // SNAPSHOT_MS


class SnapshotKeeper:
    """For one engine: at most one keeping at a time."""

    def __init__(self, store: SqlStore, horizons: Mapping[str, int]) -> None:
        self._store = store
        self._horizons = horizons
        self._hours: dict[int, int] = {}  # by partition, the last that was done
        self._moment: Moment | None = None
        self._keeping: asyncio.Future[None] | None = None
        # Always the same: what a thread has needed once, its part of the allocator keeps, and there are many threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self.unkept: dict[What, tuple[int, str]] = {}
        """Of when (ms UTC) the last state was that could not be kept, and why; empty once another one is."""

    async def begin(self, partitions: Sequence[int], at: int) -> None:
        """Keep the state of these `partitions`, all of which were last written as of `at` (ms UTC), but of those for
        which its hour has been done. Returns when that moment is held fast: from then on they may be written again."""
        if self._keeping is not None and self._keeping.done():
            self._keeping.result()
            self._keeping = None
        hour = at // SNAPSHOT_MS
        wanted = [number for number in partitions if self._hours.get(number, 0) < hour]
        if self._keeping is None and wanted:
            self._hours.update(dict.fromkeys(wanted, hour))
            loop = asyncio.get_running_loop()
            self._moment = await loop.run_in_executor(self._thread, self._opened, wanted, at)
            if self._moment is not None:
                # Not a task: what is given to the executor runs, and closes what is open, whoever is cancelled.
                self._keeping = loop.run_in_executor(self._thread, self._keep, self._moment)

    def _opened(self, partitions: Sequence[int], at: int) -> Moment | None:
        try:
            kept = self._store.kept()
            if all(number in kept and not is_new_hour(at, kept[number][-1]) for number in partitions):
                return None  # before this engine was started, or had them
            return self._store.open_moment(partitions, at, self._horizons)
        except Unavailable as reason:
            self._failed(at, reason)
            return None

    def _keep(self, moment: Moment) -> None:
        try:
            if moment.keep():
                self.unkept.pop("state_not_kept", None)
            else:
                log.info("the state is not kept: the end came first", at=moment.at)
        except Unavailable as reason:
            self._failed(moment.at, reason)

    def _failed(self, at: int, reason: Unavailable) -> None:
        log.warning("the state is not kept", at=at, reason=str(reason))
        self.unkept["state_not_kept"] = at, str(reason)

    def give_up(self) -> None:
        """Let what is being kept go, where that saves time: the next start in this hour will keep it."""
        if self._moment is not None:
            self._moment.give_up()

    async def ended(self) -> None:
        """Return when nothing is being kept any more."""
        if self._keeping is not None:
            await self._keeping
