"""Faust as its documentation teaches it: Record models, an agent, two tumbling windowed tables in event time.

On a real Kafka, as the textbook means it: records come from a topic, and each table writes its changelog. On a channel,
without Kafka, its input and its changelogs cost nothing: that is Faust at its best.
"""

import asyncio
import time
import uuid
from datetime import timedelta
from typing import Any

import faust
import msgspec
from aiokafka import AIOKafkaProducer
from speed_trace import WINDOW_MS, Message

from sensors.kafka_topics import create_topics

Cells = dict[tuple[str, int], tuple[int, int]]


class Observation(faust.Record, serializer="json"):
    """What the textbook would have a device send: flat JSON."""

    sensor: str
    zone: str
    value: float
    ts: float


class Textbook:
    """The app: count and sum by zone and window of 10 s."""

    def __init__(self, expected: int, **settings: Any) -> None:
        self._expected = expected
        self._seen = 0
        self.started_at = self.ended_at = 0.0
        self.done = asyncio.Event()
        self.app = faust.App(f"textbook-{uuid.uuid4().hex[:8]}", store="memory://", web_enabled=False, **settings)
        window = {"size": WINDOW_MS / 1000, "expires": timedelta(days=3650)}
        counts, sums = (self.app.Table(name, default=kind, partitions=1) for name, kind in (("c", int), ("s", float)))
        self.counts = counts.tumbling(**window).relative_to_field(Observation.ts)
        self.sums = sums.tumbling(**window).relative_to_field(Observation.ts)

    async def aggregate(self, stream: Any) -> None:
        async for observation in stream:
            if not self._seen:
                self.started_at = time.perf_counter()
            self.counts[observation.zone] += 1
            self.sums[observation.zone] += observation.value
            self._seen += 1
            if self._seen == self._expected:
                self.ended_at = time.perf_counter()
                self.done.set()

    def cells(self) -> Cells:
        cells: Cells = {}
        for (zone, (start, _)), count in dict(self.counts.table.data).items():
            cells[zone, round(start * 1000)] = (count, 0)
        for (zone, (start, _)), total in dict(self.sums.table.data).items():
            key = (zone, round(start * 1000))
            cells[key] = (cells[key][0], round(total * 10))
        return cells


def observations(trace: list[Message]) -> list[Observation]:
    decoded = (msgspec.json.decode(message.payload)[0] for message in trace)
    return [
        Observation(sensor=message.topic, zone=message.unit, value=record["v"], ts=record["t"])
        for message, record in zip(trace, decoded, strict=True)
    ]


async def on_a_channel(trace: list[Message]) -> tuple[Cells, float]:
    """Cells and seconds, without Kafka."""
    textbook = Textbook(len(trace), broker="kafka://127.0.0.1:9")
    channel = textbook.app.channel(maxsize=1_000, value_type=Observation)
    agent = textbook.app.agent(channel)(textbook.aggregate)
    textbook.app.finalize()
    textbook.app.flow_control.resume()
    await agent.start()
    for observation in observations(trace):
        await channel.send(value=observation)
    await textbook.done.wait()
    await agent.stop()
    return textbook.cells(), textbook.ended_at - textbook.started_at


async def on_kafka(trace: list[Message], servers: str, data_folder: str) -> tuple[Cells, float]:
    """Cells and seconds from the first record to the last; the topic is filled before."""
    name = f"observations-{uuid.uuid4().hex[:8]}"
    await create_topics(servers, {name: 1})
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20)
    await producer.start()
    for observation in observations(trace):
        await producer.send(name, observation.dumps())
    await producer.stop()
    textbook = Textbook(
        len(trace), broker=f"kafka://{servers}", topic_partitions=1, topic_disable_leader=True, datadir=data_folder,
        consumer_auto_offset_reset="earliest", stream_wait_empty=False,
    )  # fmt: skip
    topic = textbook.app.topic(name, value_type=Observation)
    textbook.app.agent(topic)(textbook.aggregate)
    textbook.app.finalize()
    await textbook.app.start()
    await textbook.done.wait()
    cells = textbook.cells()
    await textbook.app.stop()
    return cells, textbook.ended_at - textbook.started_at
