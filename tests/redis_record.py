"""A record of every value that Redis took over, from `redis-cli MONITOR`, which tells all of them; and what a replay
shows in its place."""

import json
import re
import subprocess
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from servers import HOST, RedisServer

from streams.journal_replay import Replay
from streams.reel import Reel

_SET = re.compile(r'^(\d+\.\d+) \[\d+ lua\] "HSET" "[^"]*:values" ("k:[^"]*") ("(?:[^"\\]|\\.)*")$')

Changes = dict[str, list[tuple[int, bytes]]]
"""By key, each new value with the beat (ms UTC) on which it was shown; first, on beat 0, what stood when that began."""


class Shown(NamedTuple):
    """A KPI's value as Redis took it over `at` its own time (ms UTC)."""

    at: int
    key: str
    value: bytes


@contextmanager
def recorded(redis: RedisServer, file: Path) -> Iterator[Path]:
    """Have all that Redis is told in a file, from now on."""
    with file.open("wb") as output:
        command = ["redis-cli", "-h", HOST, "-p", str(redis.port), "MONITOR"]
        monitor = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
    try:
        yield file
    finally:
        monitor.terminate()
        monitor.wait()


def values_shown(record: Path) -> Iterator[Shown]:
    """Values of KPIs that were new to Redis, in their order."""
    with record.open() as lines:
        for line in lines:
            if found := _SET.match(line.rstrip("\n")):
                at, key, value = found.groups()
                yield Shown(int(float(at) * 1000), json.loads(key), json.loads(value).encode())


def changes_shown(record: Path, reel: Reel, owner: Callable[[str], int], begin: int, end: int) -> Changes:
    """What Redis was told on beats in [begin, end] (ms UTC); `owner` is the partition, or the roll-up, of a scope."""
    beats = {number: [now for now, marks in reel.steps if number in marks] for number in reel.states}
    before: dict[str, bytes] = {}
    changes: Changes = {}
    for at, key, value in values_shown(record):
        mine = beats[owner(key.partition("@")[2])]
        # What a beat says is there before the next one of the same worker begins.
        place = bisect_right(mine, at) - 1
        if place < 0 or mine[place] < begin:
            before[key] = value
        elif at <= end:
            changes.setdefault(key, []).append((mine[place], value))
    standing = {key: [(0, value)] for key, value in before.items()}
    return {key: standing.get(key, []) + changes.get(key, []) for key in {**standing, **changes}}


async def changes_shown_again(shown: Replay) -> Changes:
    """What a replay shows, to its end."""
    changes: Changes = {}
    epoch, seen = "", 0

    async def look(now: int) -> None:
        nonlocal epoch, seen
        epoch, seen, _, told = await shown.live.since(epoch, seen)
        for key, value in told.items():
            if key.startswith("k:") and value is not None:
                changes.setdefault(key, []).append((now, value))

    async def look_back(_: int) -> None:
        await look(shown.now)

    await shown.open()
    await look(0)
    await shown.run(look_back)
    await look(shown.now)
    return changes
