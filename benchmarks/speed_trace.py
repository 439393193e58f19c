"""The trace that every contender of a run gets: one reading a message, 50 units, event time moving with a seed.

Not all of it is well-behaved, or being right would cost nothing. In some units one message in a hundred is late: its
event time lies behind a window that others have long gone past. In others one in a hundred is delivered twice, as QoS 1
allows, some 200 ms later. So what a contender makes of either can be told by the windows of those units.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sensors.batch import MESSAGES_MAX, Batch, encode
from sensors.csv_place import shipped_place
from sensors.topic import partition_of

START_MS = 1_790_000_000_000
WINDOW_MS = 10_000
UNITS = 50
SOURCES = 1_000
MESSAGES_PER_SECOND = 5_000
LATE_UNITS = range(0, UNITS, 5)
REPEATING_UNITS = range(1, UNITS, 5)
SELDOM = 0.01
LATE_MS = 15_037
"""Past the window before, and off the 200 ms of a source's own readings, so that no two have the same time."""

GRACE_MS = 30_000
"""What contenders that close windows by a watermark should wait for late messages."""

Cells = dict[tuple[str, int], tuple[int, int]]
"""By unit and start of window (ms UTC): count, and the sum in tenths (whole numbers, so exact)."""


@dataclass(frozen=True)
class Message:
    """A message as a device sends it, with what is in it for the contenders' checks.

    `time` is the reading's, `at` when the message arrives, both ms UTC.
    """

    topic: str
    payload: bytes
    unit: str
    time: int
    value: float
    at: int
    is_late: bool = False
    is_repeated: bool = False


def messages(count: int, seed: int = 7, sources: int = SOURCES) -> list[Message]:
    """`count` SenML messages of about 60 bytes; time advances by 1/5,000 s a message."""
    random_ = random.Random(seed)
    codes = sorted(shipped_place().units)[:UNITS]
    made: list[Message] = []
    for index in range(count):
        source = index % sources
        at = START_MS + index * 1_000 // MESSAGES_PER_SECOND
        is_seldom = random_.random() < SELDOM
        if is_seldom and source % UNITS in REPEATING_UNITS and index >= sources:
            made.append(replace(made[index - sources], at=at, is_repeated=True))
            continue
        is_late = is_seldom and source % UNITS in LATE_UNITS
        time = at - LATE_MS if is_late else at
        value = round(20 + 60 * random_.random(), 1)
        payload = f'[{{"n":"speed","u":"km/h","t":{time / 1000:.3f},"v":{value},"seq":{index // sources}}}]'
        unit = codes[source % UNITS]
        made.append(Message(f"ioc/{unit}/traffic/cam-{source}", payload.encode(), unit, time, value, at, is_late))
    return made


def expected(trace: list[Message]) -> Cells:
    """The truth: late messages counted in their own windows, and those delivered twice once."""
    return cells(message for message in trace if not message.is_repeated)


def cells(trace: Iterator[Message] | list[Message]) -> Cells:
    """Every message counted, as often as it is in the trace."""
    found: Cells = {}
    for message in trace:
        key = (message.unit, message.time // WINDOW_MS * WINDOW_MS)
        count, total = found.get(key, (0, 0))
        found[key] = (count + 1, total + round(message.value * 10))
    return found


def batches(trace: list[Message], partitions: int) -> Iterator[tuple[int, bytes]]:
    """The trace as a bridge would journal it: (partition, encoded batch)."""
    ordinals = dict.fromkeys(range(partitions), 0)
    waiting: dict[int, list[Message]] = {number: [] for number in range(partitions)}

    def seal(number: int) -> tuple[int, bytes]:
        part = waiting[number]
        batch = Batch(
            number, ordinals[number], part[-1].at, "bench", 0, [m.topic for m in part], [m.payload for m in part],
            [m.at for m in part],
        )  # fmt: skip
        ordinals[number] = batch.after
        waiting[number] = []
        return number, encode(batch)

    for message in trace:
        number = partition_of(message.topic, partitions)
        waiting[number].append(message)
        if len(waiting[number]) == MESSAGES_MAX:
            yield seal(number)
    for number, part in waiting.items():
        if part:
            yield seal(number)
