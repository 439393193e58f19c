"""Writes checkpoints in a thread, one transaction at a time: the beats go on while a slow database takes its time.

    begin(checkpoints) ──▶ the thread commits ──▶ take(), on a later beat: what has come of it

What is shown before its checkpoint is committed follows from the journal alone, and is found again from there: only
acknowledging waits, and what alerts do (`annunciator`).
"""

import asyncio
from collections.abc import Callable

import structlog

from sensors.errors import Unavailable
from streams.checkpoint import Checkpoint
from streams.fault import WAITS_MS, What
from streams.sql_store import SqlStore

PATIENCE_S = 0.2
"""As long as a beat of a running centre waits for its checkpoint: a healthy disk takes 10 to 50 ms."""

log = structlog.get_logger("checkpoints")


class CheckpointWriter:
    """For one engine. `wake` is called when a transaction ends for which nobody waited any more."""

    def __init__(self, store: SqlStore, clock: Callable[[], int], wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._checkpoints: list[Checkpoint] = []
        self._commit: asyncio.Future[tuple[set[int], int]] | None = None
        self.holds_back = False
        """Whether nothing is to be taken yet: a replay's database is quicker than the one of then."""
        self.waits: dict[What, tuple[int, str]] = {}
        """What is waited for, since when (ms UTC) and why: `disk_watch` tells it, also in the midst of a slow call."""

    @property
    def is_writing(self) -> bool:
        """Whether a transaction has been begun of which nobody has taken what came of it."""
        return self._commit is not None

    def begin(self, checkpoints: list[Checkpoint]) -> None:
        """Write these in one transaction; only when none is running."""
        assert self._commit is None
        begun_at = self._clock()
        self.waits.setdefault("checkpoint_waits", (begun_at, ""))
        self._checkpoints = checkpoints
        # Not a task: what is given to the executor ends as the database has it, whoever is cancelled.
        self._commit = asyncio.get_running_loop().run_in_executor(None, self._committed, checkpoints, begun_at)

    def _committed(self, checkpoints: list[Checkpoint], begun_at: int) -> tuple[set[int], int]:
        """The partitions whose fence held, and how long it took (ms)."""
        committed = self._store.commit_all(checkpoints)
        return committed, self._clock() - begun_at

    async def wait(self, patience_s: float | None) -> None:
        """Return when the running transaction has ended, or after so long (None: however long it takes)."""
        if self._commit is not None:
            _, late = await asyncio.wait({self._commit}, timeout=patience_s)
            for commit in late:
                commit.add_done_callback(lambda _: self._wake())

    def take(self) -> list[tuple[Checkpoint, bool]]:
        """Of a transaction that has ended, once: each checkpoint, and whether it was written, or another worker has the
        partition (its fence). Empty while one is running, and when the database refused: they are to be written again.

        Our own mistakes in it are raised here.
        """
        if self._commit is None or not self._commit.done() or self.holds_back:
            return []
        commit, self._commit = self._commit, None
        checkpoints, self._checkpoints = self._checkpoints, []
        try:
            committed, took_ms = commit.result()
        except Unavailable as reason:
            since, _ = self.waits["checkpoint_waits"]
            self.waits["checkpoint_waits"] = since, str(reason)
            log.warning("checkpoints wait", partitions=[one.partition for one in checkpoints], reason=str(reason))
            return []
        if took_ms < WAITS_MS:
            self.nothing_waits()  # else the next one will be as slow: all of them are one wait
        return [(checkpoint, checkpoint.partition in committed) for checkpoint in checkpoints]

    def nothing_waits(self) -> None:
        """The database has everything, or what waited is another worker's now."""
        self.waits.pop("checkpoint_waits", None)
