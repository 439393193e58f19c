"""Something that tasks of one event loop wait for: what wakes the readers of a live store."""

import asyncio


class Signal:
    """Wakes everyone who waits whenever it is raised; nothing is queued."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The next time it is raised. Take it first, then look, then wait: so nothing in between is missed."""
        return self._event

    def raise_(self) -> None:
        """Wake all who wait."""
        self._event.set()
        self._event = asyncio.Event()


async def happened(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the event; False after the timeout."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return False
    return True
