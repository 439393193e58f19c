"""Faust as its documentation teaches it: Record models, an agent, two tumbling windowed tables in event time.

It runs on a channel, without Kafka: its changelog costs nothing here, so this is Faust at its best.
"""

import asyncio
from datetime import timedelta
from typing import Any

import faust
import msgspec
from speed_trace import WINDOW_MS, Message


class Observation(faust.Record, serializer="json"):
    """What the textbook would have a device send: flat JSON."""

    sensor: str
    zone: str
    value: float
    ts: float


async def textbook_faust(trace: list[Message]) -> dict[tuple[str, int], tuple[int, int]]:
    """Count and sum by zone and window; returns what the tables hold at the end."""
    app = faust.App("textbook", broker="kafka://127.0.0.1:9", store="memory://", web_enabled=False)
    channel = app.channel(maxsize=1_000, value_type=Observation)
    window = {"size": WINDOW_MS / 1000, "expires": timedelta(days=3650)}
    counts = app.Table("counts", default=int, partitions=1).tumbling(**window).relative_to_field(Observation.ts)
    sums = app.Table("sums", default=float, partitions=1).tumbling(**window).relative_to_field(Observation.ts)
    done = asyncio.Event()
    seen = 0

    async def aggregate(stream: Any) -> None:
        nonlocal seen
        async for observation in stream:
            counts[observation.zone] += 1
            sums[observation.zone] += observation.value
            seen += 1
            if seen == len(trace):
                done.set()

    agent = app.agent(channel)(aggregate)
    app.finalize()
    app.flow_control.resume()
    await agent.start()
    decode = msgspec.json.decode
    for message in trace:
        record = decode(message.payload)[0]
        await channel.send(
            value=Observation(sensor=message.topic, zone=message.unit, value=record["v"], ts=record["t"])
        )
    await done.wait()
    await agent.stop()
    cells: dict[tuple[str, int], tuple[int, int]] = {}
    for (zone, (start, _)), count in dict(counts.table.data).items():
        cells[zone, round(start * 1000)] = (count, 0)
    for (zone, (start, _)), total in dict(sums.table.data).items():
        key = (zone, round(start * 1000))
        cells[key] = (cells[key][0], round(total * 10))
    return cells
