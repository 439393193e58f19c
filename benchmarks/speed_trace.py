"""The trace that every contender of a run gets: one reading a message, 50 units, event time moving with a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from sensors.batch import MESSAGES_MAX, Batch, encode
from sensors.csv_place import shipped_place
from sensors.topic import partition_of

START_MS = 1_790_000_000_000
WINDOW_MS = 10_000
UNITS = 50
SOURCES = 1_000
MESSAGES_PER_SECOND = 5_000


@dataclass(frozen=True)
class Message:
    """A message as a device sends it, with what is in it for the contenders' checks."""

    topic: str
    payload: bytes
    unit: str
    time: int
    value: float


def messages(count: int, seed: int = 7) -> list[Message]:
    """`count` SenML messages of about 60 bytes; event time advances by 1/5,000 s a message, slightly out of order."""
    random_ = random.Random(seed)
    codes = sorted(shipped_place().units)[:UNITS]
    made = []
    for index in range(count):
        source = index % SOURCES
        unit = codes[source % UNITS]
        time = START_MS + index * 1_000 // MESSAGES_PER_SECOND
        value = round(20 + 60 * random_.random(), 1)
        payload = f'[{{"n":"speed","u":"km/h","t":{time / 1000:.3f},"v":{value},"seq":{index // SOURCES}}}]'
        made.append(Message(f"ioc/{unit}/traffic/cam-{source}", payload.encode(), unit, time, value))
    return made


def expected(trace: list[Message]) -> dict[tuple[str, int], tuple[int, int]]:
    """For every unit and 10 s window: count, and the sum in tenths (whole numbers, so exact)."""
    cells: dict[tuple[str, int], tuple[int, int]] = {}
    for message in trace:
        key = (message.unit, message.time // WINDOW_MS * WINDOW_MS)
        count, total = cells.get(key, (0, 0))
        cells[key] = (count + 1, total + round(message.value * 10))
    return cells


def batches(trace: list[Message], partitions: int) -> Iterator[tuple[int, bytes]]:
    """The trace as a bridge would journal it: (partition, encoded batch)."""
    ordinals = dict.fromkeys(range(partitions), 0)
    waiting: dict[int, list[Message]] = {number: [] for number in range(partitions)}

    def seal(number: int) -> tuple[int, bytes]:
        part = waiting[number]
        batch = Batch(
            number, ordinals[number], part[-1].time, "bench", 0, [m.topic for m in part], [m.payload for m in part],
            [m.time for m in part],
        )
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
