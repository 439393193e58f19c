"""Where the numbering of a cluster's journal ends: what Kafka holds for a worker that has not read it yet.

    the offsets that the worker wants, the topic's ends ──▶ where it is behind, the last records ──▶ their ordinals

It looks every few seconds, beside the beats, which only ask what is known. Of a partition that is read to its end
nothing is fetched, for there the worker's own count says it all; of another one the last records that neither the
worker nor an earlier look has had, TAIL at most (`sensors.kafka_journal` says why the highest ordinal is among so
many). What is known never goes back, and stays while Kafka does not answer.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from sensors.batch import journaled
from sensors.errors import Unavailable
from sensors.kafka_journal import TAIL, KafkaJournalReader

LOOK_S = 2.0
WAIT_S_MAX = 30.0
log = structlog.get_logger("worker")


class KafkaEnds:
    """`ordinals` has, for every partition looked at, the ordinal that its next message gets, some seconds old."""

    def __init__(self, servers: str, topic: str, wanted: Callable[[], Mapping[int, int]]) -> None:
        """`wanted` gives the next offset of every partition that is the worker's now."""
        self.ordinals: dict[int, int] = {}
        self._servers = servers
        self._topic = topic
        self._wanted = wanted
        self._looked: dict[int, int] = {}  # at the records before this offset
        self._reader: KafkaJournalReader | None = None

    async def run(self) -> None:
        """Look for ever; while Kafka does not answer less and less often, each time over a new connection."""
        wait_s = LOOK_S
        try:
            while True:
                try:
                    await self.look()
                    wait_s = LOOK_S
                except Unavailable as reason:
                    log.warning("the journal's end is as last known", reason=str(reason))
                    await self.close()
                    wait_s = min(2 * wait_s, WAIT_S_MAX)
                await asyncio.sleep(wait_s)
        finally:
            await self.close()

    async def look(self) -> None:
        """One look at every partition that is the worker's; raises Unavailable."""
        if self._reader is None:
            self._reader = await KafkaJournalReader.open(self._servers, self._topic, client_id="ioc-worker-ends")
        ends = await self._reader.ends()
        for partition, offset in self._wanted().items():
            end = ends.get(partition, 0)
            first = max(offset, self._looked.get(partition, 0), end - TAIL)
            if first < end:
                records = await self._reader.read(partition, first, end - first)
                afters = [journaled(record.batch).after for record in records]
                self.ordinals[partition] = max([self.ordinals.get(partition, 0), *afters])
                self._looked[partition] = end

    async def close(self) -> None:
        """Close the connections; the next look opens them again."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()
