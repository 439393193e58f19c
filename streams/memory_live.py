"""The live store of the embedded shape: in the engine's own memory, for the tasks of its event loop."""

from collections.abc import Mapping

from sensors.errors import Unavailable
from streams.asyncio_signal import Signal, happened
from streams.live import Delta
from streams.sync import SyncState


class MemoryLive:
    """`streams.live.LiveStore` in process. `epoch` must differ from start to start: the numbering begins at 0."""

    def __init__(self, epoch: str) -> None:
        self._state = SyncState(epoch)
        self._news = Signal()
        self._calls = Signal()
        self._call_waits = False
        self._closed = False

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        self._check()
        before = self._state.sequence
        if self._state.publish(changes) != before:
            self._news.raise_()
        return self._state.sequence

    def renewed(self) -> bool:
        return False

    def renumber(self, sequence: int) -> None:
        """Go on from another number, before anybody looks (streams.sync)."""
        self._state.renumber(sequence)

    def skip_to(self, sequence: int) -> None:
        """Leave out numbers that were others' changes (streams.sync)."""
        self._state.skip_to(sequence)

    async def since(self, epoch: str, sequence: int) -> Delta:
        self._check()
        return self._state.since(epoch, sequence)

    async def changed(self, sequence: int, timeout_s: float) -> bool:
        self._check()
        if self._state.sequence == sequence:
            await happened(self._news.next(), timeout_s)
            self._check()
        return self._state.sequence != sequence

    async def call(self) -> None:
        self._check()
        self._call_waits = True
        self._calls.raise_()

    async def called(self, timeout_s: float) -> bool:
        self._check()
        if not self._call_waits:
            await happened(self._calls.next(), timeout_s)
            self._check()
        waited, self._call_waits = self._call_waits, False
        return waited

    async def close(self) -> None:
        """Wakes who waits; every later call raises Unavailable."""
        self._closed = True
        self._news.raise_()
        self._calls.raise_()

    def _check(self) -> None:
        if self._closed:
            raise Unavailable("the live store is closed")
