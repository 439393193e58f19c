"""A gateway's own copy of the live state, a few times a second as new as the store's, and what each wall follows.

Everything that is asked of a gateway is answered from here; the live store sees one reader per gateway, however
many walls there are. While the store does not answer there is no tick, so no heartbeat: walls notice and say so.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping

import msgspec
import structlog

from control_center import frame
from control_center.readiness import Progress, Readiness
from control_center.view import View
from sensors.errors import Unavailable
from streams.asyncio_signal import Signal
from streams.live import LiveStore
from streams.sync import SyncState

FRAME_S = 0.2
HEARTBEAT_S = 0.8  # with FRAME_S: one frame a second where nothing changes
BACKOFF_S = (0.2, 0.5, 1.0, 2.0)

log = structlog.get_logger("gateway")


class Feed:
    """One wall's view, and its frames of this tick, each made once for all who stand at the same sequence."""

    def __init__(self, view: View, described: Mapping[str, object]) -> None:
        self.view = view
        self.described = described
        self._frames: dict[int, str] = {}

    def forget(self) -> None:
        """A new tick: other frames."""
        self._frames.clear()

    def owed(self, epoch: str, sequence: int, now: int) -> tuple[list[str], str, int]:
        """The frames for a client that stands there, and where it stands after them; `now` is ms UTC."""
        state = self.view.state
        known = self._frames.get(sequence) if epoch == state.epoch else None
        if known is not None:
            return [known], state.epoch, state.sequence
        delta = state.since(epoch, sequence)
        text = frame.delta(delta.sequence, now, self.view.more, delta.changes)
        if delta.is_full:
            return [frame.meta(self.described, delta.epoch, now), text], delta.epoch, delta.sequence
        self._frames[sequence] = text
        return [text], delta.epoch, delta.sequence

    def proof(self) -> str:
        """The frame with the state hash."""
        return frame.proof(self.view.state.sequence, *self.view.proof())


class Mirror:
    """Follows a live store. `state` is everything; `ticks` is raised after each look at the store."""

    def __init__(
        self,
        live: LiveStore,
        feeds: Mapping[str, Feed],
        readiness: Readiness,
        clock: Callable[[], int],
        beat: Callable[[float], None],
    ) -> None:
        self.state = SyncState()
        self.feeds = feeds
        self.readiness = readiness
        self.ticks = Signal()
        self.fault = "not asked yet"
        self._live = live
        self._clock = clock
        self._beat = beat
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.Event()

    def start(self) -> None:
        """Begin to follow, once; called by whatever comes first, for a server may run without lifespan events."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="live mirror")
            self._task.add_done_callback(_die_with_it)

    async def looked(self) -> None:
        """Wait (at most 2 s) until the store has been looked at for the first time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._first.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                await self._look()
                failures, self.fault = 0, ""
                pause = FRAME_S
            except Unavailable as reason:
                if failures == 0:
                    log.warning("live store does not answer", reason=str(reason))
                self.fault = str(reason)
                pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
            self._first.set()
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        is_new = not self.state.epoch or await self._live.changed(self.state.sequence, HEARTBEAT_S)
        started = time.perf_counter()
        if is_new:
            delta = await self._live.since(self.state.epoch, self.state.sequence)
            self.state.fold(delta)
            for feed in self.feeds.values():
                feed.view.follow(delta)
        for feed in self.feeds.values():
            feed.forget()
        progress = {key[2:]: msgspec.json.decode(value, type=Progress) for key, value in self.state.items("p:")}
        self.readiness.observe(progress, self._clock())
        self.ticks.raise_()
        if is_new:
            self._beat(time.perf_counter() - started)


def _die_with_it(task: asyncio.Task[None]) -> None:
    """A gateway whose mirror has died would keep its sockets open and look alive: end the process instead."""
    if not task.cancelled() and task.exception() is not None:
        log.error("the live mirror failed; so does the gateway", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
