"""Opens a journal as soon as that can be done, and lets people be told as long as it cannot.

A process that ended because its disk is full, or Kafka away, could tell nobody why nothing moves.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TypeVar

import structlog

from sensors.errors import Unavailable
from streams.fault import What

AGAIN_S = 1.0
_T = TypeVar("_T")
log = structlog.get_logger("engine")


async def opened(
    opening: Callable[[], Awaitable[_T]], waits: MutableMapping[What, tuple[int, str]], clock: Callable[[], int],
    stop: asyncio.Event,
) -> _T | None:  # fmt: skip
    """What `opening` gives; None when the end comes first. It raises Unavailable as long as the journal cannot be had:
    `waits` has since when (ms UTC) and why, also in the midst of a slow call."""
    since = clock()
    waits["journal_waits"] = since, ""
    while not stop.is_set():
        try:
            found = await opening()
        except Unavailable as reason:
            log.warning("the journal cannot be opened now", reason=str(reason))
            waits["journal_waits"] = since, str(reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), AGAIN_S)
        else:
            del waits["journal_waits"]
            return found
    return None
