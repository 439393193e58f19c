"""Asks the database until it answers: for what nobody can go on without."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import structlog

from sensors.errors import Unavailable

LEAST_S, MOST_S = 0.2, 5.0
_T = TypeVar("_T")
log = structlog.get_logger("database")


async def patiently(call: Callable[[], _T]) -> _T:
    """What `call` gives, in a thread; as long as it raises Unavailable it is called again, at growing intervals."""
    delay = LEAST_S
    while True:
        try:
            return await asyncio.to_thread(call)
        except Unavailable as reason:
            log.warning("the database does not answer", reason=str(reason))
            await asyncio.sleep(delay)
            delay = min(delay * 2, MOST_S)
