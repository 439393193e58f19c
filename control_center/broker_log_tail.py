"""What the embedded broker refuses at its own door, read from its log, counted once and shown with the address.

NATS closes the connection of a client that sends a payload over 1 MiB or a topic with a space, and says so in its
log; such a message never reaches the bridge, so it can stand in no ledger.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sensors.broker_refusal import Refusal, parse
from sensors.errors import Unavailable
from streams.sql_store import SqlStore

LOOK_S = 1.0
CHUNK_BYTES = 1 << 20


def read_refusals(log: Path, position: int) -> tuple[list[tuple[int, Refusal]], int]:
    """The refusals in whole lines after `position` (bytes), each with its own position, and where to read on.

    A log that has become shorter (rotated) is read from its beginning.
    """
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return [], position
    start = position if size >= position else 0
    with log.open("rb") as file:
        file.seek(start)
        chunk = file.read(CHUNK_BYTES)
    whole = chunk[: chunk.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines(keepends=True):
        refusal = parse(line.decode(errors="replace").rstrip())
        if refusal is not None:
            found.append((start, refusal))
        start += len(line)
    return found, start


async def follow_refusals(log: Path, store: SqlStore, clock: Callable[[], int]) -> None:
    """Record what the log says, for ever; the database keeps how far it has been read."""
    position = await _patient_position(store)
    while True:
        found, after = await asyncio.to_thread(read_refusals, log, position)
        if after != position:
            try:
                await asyncio.to_thread(store.record_refusals, clock(), found, after)
                position = after
            except Unavailable:
                await asyncio.sleep(LOOK_S)
                continue
        await asyncio.sleep(LOOK_S)


async def _patient_position(store: SqlStore) -> int:
    while True:
        try:
            return await asyncio.to_thread(store.refusals_read_to)
        except Unavailable:
            await asyncio.sleep(LOOK_S)
