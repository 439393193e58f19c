"""What Kafka holds at the end of a cluster's journal: how far it goes beyond what a worker has read, and who writes.

    the topic's ends ──▶ where the worker is behind, the last records ──▶ their ordinals
                     ──▶ on the one worker that judges: where there is news, the last record ──▶ streams.bridge

It looks every second, beside the beats, which only ask what is known. Of a partition that is read to its end nothing is
fetched for its ordinals, for there the worker's own count says it all; of another one the last records that neither the
worker nor an earlier look has had, TAIL at most (`sensors.kafka_journal` says why the highest ordinal is among so
many). What is known never goes back, and stays while Kafka does not answer.

The bridges are judged by one worker for all partitions, the one that has the roll-up: a bridge that is heard in one
partition may have said nothing in others for hours.

A topic that ends before what was read of it is not the one that the database has read (streams.journal_match). A broker
that is only coming back may tell so for a moment: what LOOKS_SURE looks in a row have found is believed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from typing import Any, TypeVar

import structlog

from sensors.errors import IocError, SettingsError, Unavailable
from sensors.journal import batches_of
from sensors.kafka_journal import TAIL, KafkaJournalReader
from streams.bridge import Bridges, words
from streams.fault import What
from streams.journal_match import check_read

LOOK_S = 1.0
LOOKS_SURE = 3
WAIT_S_MAX = 5.0
SLOW_MS = 2_000
LISTEN_MS = 100
_T = TypeVar("_T")
log = structlog.get_logger("worker")


class KafkaEnds:
    """`ordinals` has, for every partition looked at, the ordinal that its next message gets, a second or so old.

    `bridges` is what is known of those that write, None where another worker judges them; `is_slow`: Kafka took
    SLOW_MS or more for its last answer, or does so now.
    """

    def __init__(
        self, servers: str, topic: str, wanted: Callable[[], Mapping[int, int]], judges: Callable[[], bool],
        clock: Callable[[], int], waits: MutableMapping[What, tuple[int, str]], database: str,
    ) -> None:  # fmt: skip
        """`wanted` gives the next offset of every partition that is the worker's now, `judges` whether it judges the
        bridges; `waits` is told since when (ms UTC) and why the journal cannot be looked at; `database` is the
        name of the worker's."""
        self.ordinals: dict[int, int] = {}
        self.bridges: Bridges | None = None
        self.is_slow = False
        self._servers = servers
        self._topic = topic
        self._wanted = wanted
        self._judges = judges
        self._clock = clock
        self._waits = waits
        self._database = database
        self._short_looks = 0  # in a row that found less than was read
        self._started = clock()
        self._ends: Mapping[int, int] = {}  # what the bridges are known up to
        self._looked: dict[int, int] = {}  # at the records before this offset
        self._reader: KafkaJournalReader | None = None

    @property
    def is_away(self) -> bool:
        """Whether Kafka did not answer the last look."""
        return "journal_waits" in self._waits

    async def run(self) -> None:
        """Look for ever; while Kafka does not answer less often, each time over a new connection.

        Raises SettingsError when the topic is not the one that was read any more.
        """
        wait_s = LOOK_S
        try:
            while True:
                began = self._clock()
                try:
                    await self.look()
                    wait_s = LOOK_S
                    self._waits.pop("journal_waits", None)
                except Unavailable as reason:
                    log.warning("the journal's end is as last known", reason=str(reason))
                    since, _ = self._waits.get("journal_waits", (began, ""))
                    self._waits["journal_waits"] = since, str(reason)
                    await self.close()
                    wait_s = min(2 * wait_s, WAIT_S_MAX)
                await asyncio.sleep(wait_s)
        finally:
            await self.close()

    async def match(self, reached: Mapping[int, int]) -> None:
        """Return once the topic is seen to have all that the database has read: `reached`, the next offset by
        partition. Raises SettingsError when it has not, and Unavailable."""
        try:
            reader = await self._connected()
            for _ in range(LOOKS_SURE):
                if self._has(reached, await reader.ends()):
                    return
                await asyncio.sleep(LOOK_S)
        except IocError:
            await self.close()
            raise

    async def look(self) -> None:
        """One look at every partition that is the worker's, and at the bridges if it judges; raises Unavailable."""
        reader, wanted = await self._connected(), self._wanted()
        began = self._clock()
        ends = await self._answered(reader.ends())
        self._has(wanted, ends)
        await self._hear(reader, ends, began)
        for partition, offset in self._wanted().items():
            end = ends.get(partition, 0)
            first = max(offset, self._looked.get(partition, 0), end - TAIL)
            if first < end:
                records = await reader.read(partition, first, end - first)
                afters = [batch.after for batch in batches_of(records)]
                self.ordinals[partition] = max([self.ordinals.get(partition, 0), *afters])
                self._looked[partition] = end

    async def _connected(self) -> KafkaJournalReader:
        if self._reader is None:
            self._reader = await KafkaJournalReader.open(self._servers, self._topic, client_id="ioc-worker-ends")
        return self._reader

    def _has(self, read: Mapping[int, int], ends: Mapping[int, int]) -> bool:
        """Whether the topic has what was read; raises SettingsError when it had not for LOOKS_SURE looks."""
        try:
            check_read(read, ends, f"kafka://{self._servers} {self._topic}", self._database)
        except SettingsError:
            self._short_looks += 1
            if self._short_looks >= LOOKS_SURE:
                raise
            return False
        self._short_looks = 0
        return True

    async def _hear(self, reader: KafkaJournalReader, ends: Mapping[int, int], began: int) -> None:
        if not self._judges():
            self.bridges, self._ends = None, {}
            return
        moved = {partition: end for partition, end in ends.items() if end != self._ends.get(partition, 0)}
        records = await reader.newest(moved) if moved else {}
        self.bridges = self.bridges or Bridges(self._started)
        self.bridges.hear(words(records), began)
        self._ends = ends

    async def _answered(self, call: Coroutine[Any, Any, _T]) -> _T:
        """What Kafka answers. Of the time that it takes we count what we listen, not what this process is busy."""
        asking = asyncio.ensure_future(call)
        waited_ms = 0
        try:
            while not (await asyncio.wait({asking}, timeout=LISTEN_MS / 1000))[0]:
                waited_ms += LISTEN_MS
                self.is_slow = self.is_slow or waited_ms >= SLOW_MS
        finally:
            asking.cancel()
        self.is_slow = waited_ms >= SLOW_MS
        return asking.result()

    async def close(self) -> None:
        """Close the connections; the next look opens them again."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()
