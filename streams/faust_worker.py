"""The Faust agents `observe` and `roll_up`: one code over channels (embedded) and over Kafka topics (cluster).

`build_embedded` runs the agents without a started app and feeds their channel from the SQLite journal.
`build_cluster` gives a Faust worker on Kafka: acknowledged only after the checkpoint that covers a record has been
committed (architecture §4), partitions dropped on every rebalance and recovered at their next record.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import faust
import msgspec
import structlog
from faust.types import TP

from sensors.errors import SettingsError, Unavailable
from sensors.journal import Record
from sensors.kafka_journal import create_topics
from sensors.sqlite_journal import SqliteJournal
from streams.beat_engine import Engine
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP
from streams.checkpoint_writer import PATIENCE_S
from streams.journal_match import match
from streams.journal_opening import opened
from streams.kafka_ends import KafkaEnds
from streams.live import LiveStore
from streams.patient_call import patiently
from streams.roll_up import Report
from streams.sql_store import SqlStore

POLL_S = 0.02
READ_RECORDS = 64
CHANNEL_MAX = 64
TRIM_S = 600.0
REPORTS_TOPIC = "ioc.partials"
CATCH_UP_S = 1.0
log = structlog.get_logger("worker")
_decode_report = msgspec.msgpack.Decoder(Report).decode


def _stop_fenced(partition: int) -> None:
    """A worker that is alone and was fenced begins again, and reads what it had taken in and not written once more."""
    raise SettingsError(
        f"phân vùng {partition} đã được ghi bởi chương trình khác / partition {partition} was written by another "
        "engine: let one `ioc up` use this data folder and database"
    )


class EmbeddedWorker:
    """The agents on channels, in the caller's event loop; no broker, no started app."""

    def __init__(
        self, catalogue: Catalogue, store: SqlStore, live: LiveStore, journal: SqliteJournal, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._app = faust.App("ioc", broker="kafka://127.0.0.1:9", store="memory://", web_enabled=False)
        self._records = self._app.channel(maxsize=CHANNEL_MAX)
        self._reports = self._app.channel(maxsize=CHANNEL_MAX)
        self._ends: dict[int, int] = {}
        self.engine = Engine(
            catalogue, store, live, clock, self._send_report, self._received, fenced=_stop_fenced, patience_s=PATIENCE_S
        )
        self._agents = [
            self._app.agent(self._records, name="observe")(self._observe),
            self._app.agent(self._reports, name="roll_up")(self._roll_up),
        ]

    def _received(self) -> dict[int, int]:
        """The journal's next ordinals, as last known while it does not answer."""
        with contextlib.suppress(Unavailable):
            self._ends = self._journal.ends_ordinals()
        return self._ends

    async def _observe(self, records: Any) -> None:
        async for record in records:
            await self.engine.observe(record)

    async def _roll_up(self, reports: Any) -> None:
        async for report in reports:
            await self.engine.report(report)

    async def _send_report(self, report: Report) -> None:
        await self._reports.send(value=report)

    async def run(self, stop: asyncio.Event) -> None:
        """Recover, then process until `stop`; returns after the last checkpoint. Any failure ends it.

        Raises SettingsError when the journal is not the one that the database has read.
        """
        self._app.finalize()
        self._app.flow_control.resume()
        ends = await self._journal.ends()
        await patiently(lambda: match(self._store, self._journal, ends))
        partitions = sorted(ends)
        for partition in partitions:
            await self.engine.own(partition)
        await self.engine.own_roll_up()
        for agent in self._agents:
            await agent.start()
        feed = asyncio.create_task(self._feed(partitions))
        trim = asyncio.create_task(self._trim())
        beats = asyncio.create_task(self.engine.run(stop))
        try:
            done, _ = await asyncio.wait({feed, trim, beats}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            feed.cancel()
            trim.cancel()
            for agent in self._agents:
                await agent.stop()

    async def _feed(self, partitions: list[int]) -> None:
        """Read on from where each partition is, a few records at a time, in turn."""
        offsets = {partition: self.engine.offset(partition) for partition in partitions}
        while True:
            got = 0
            for partition in partitions:
                try:
                    records = await self._journal.read(partition, offsets[partition], READ_RECORDS)
                except Unavailable:
                    continue
                for record in records:
                    await self._records.send(value=record)
                    offsets[partition] = record.offset + 1
                got += len(records)
            if not got:
                await asyncio.sleep(POLL_S)

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(TRIM_S)
            try:
                await self._journal.trim(self._clock(), self.engine.keep_from())
            except Unavailable:
                continue


class ClusterWorker:
    """A Faust worker on Kafka; N of them share the partitions as one consumer group."""

    def __init__(
        self,
        catalogue: Catalogue,
        store: SqlStore,
        live: LiveStore,
        servers: str,
        partitions: int,
        clock: Callable[[], int],
        topic: str = "ioc.batches",
        session_timeout_s: float = 6.0,
        data_folder: str | None = None,
    ) -> None:
        self._store = store
        self._servers = servers
        self._topics = {topic: partitions, REPORTS_TOPIC: 1}
        self.app = faust.App(
            "ioc-worker",
            broker=f"kafka://{servers}",
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_partitions=partitions,
            broker_session_timeout=session_timeout_s,
            broker_heartbeat_interval=session_timeout_s / 3,
            broker_commit_interval=1.0,
            consumer_auto_offset_reset="earliest",
            producer_compression_type="lz4",
            stream_wait_empty=False,
            datadir=data_folder or tempfile.mkdtemp(prefix="ioc-worker-"),  # Faust insists on one; nothing is in it
        )
        self._batches = self.app.topic(topic, value_type=bytes, value_serializer="raw", key_type=bytes)
        self._reports = self.app.topic(REPORTS_TOPIC, value_type=bytes, value_serializer="raw", key_type=bytes)
        self.engine = Engine(
            catalogue, store, live, clock, self._send_report, lambda: self.ends.ordinals, is_alone=False,
            generation=self._generation, fenced=self._fenced, patience_s=PATIENCE_S,
        )  # fmt: skip
        self.ends = KafkaEnds(
            servers, topic, self._wanted, lambda: self.engine.owns_roll_up, clock, self.engine.waits, store.name
        )
        self.app.agent(self._batches, name="observe")(self._observe)
        self.app.agent(self._reports, name="roll_up")(self._roll_up)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.on_partitions_assigned.connect(self._assigned)
        self._topic = topic
        self._clock = clock
        self._behind: dict[Any, int | None] = {}

    async def _observe(self, stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            record = Record(message.partition, message.offset, event.value or b"")
            if not await self.engine.observe(record, _acknowledging(event)):
                await self._go_back(message.tp)

    async def _go_back(self, place: Any) -> None:
        """Have Kafka tell again from where the partition stands: what is between was lost on the way to us.

        That happens around a rebalance, with a record already in our hands, and when another worker has written.
        """
        await self.engine.own(place.partition)
        first = (await self.app.consumer.earliest_offsets(place)).get(place, 0)
        if place.partition not in self.engine.owned:
            return  # revoked meanwhile
        wanted = self._behind[place] = self.engine.offset(place.partition)
        if first > wanted:
            log.warning("the journal has dropped what was not read yet", partition=place.partition, first=first)
            self.engine.skip_to(place.partition, first)
            wanted = self._behind[place] = first
        log.info("records are missing; Kafka tells them again", partition=place.partition, offset=wanted)
        await self.app.consumer.seek_wait({place: wanted})

    async def _roll_up(self, stream: Any) -> None:
        async for value in stream:
            await self.engine.report(_decode_report(value))

    async def _send_report(self, report: Report) -> None:
        if report.partials or report.silent is not None:
            await self._reports.send(value=msgspec.msgpack.encode(report))

    def _fenced(self, partition: int) -> None:
        """What was taken in and not written is gone with the state, and nobody tells it again unasked."""
        self._behind[TP(self._topic, partition)] = None

    async def _catch_up(self) -> None:
        """See to it that Kafka really tells again what was asked for, also where nothing new arrives; and that nothing
        is owned that came to be recovered while Kafka gave it to another."""
        while True:
            await asyncio.sleep(CATCH_UP_S)
            if self.engine.owned or self.engine.owns_roll_up:
                self.keep_only(self.app.consumer.assignment())
            for place, wanted in list(self._behind.items()):
                is_ours = place in self.app.consumer.assignment()
                if is_ours and (wanted is None or not self._is_past(place, wanted)):
                    await self._go_back(place)
                else:
                    self._behind.pop(place, None)

    def _is_past(self, place: Any, wanted: int) -> bool:
        end = self.app.consumer.highwater(place)
        has_moved = place.partition in self.engine.owned and self.engine.offset(place.partition) > wanted
        return has_moved or (end is not None and wanted >= end)

    def _wanted(self) -> dict[int, int]:
        return {number: self.engine.offset(number) for number in self.engine.owned}

    def _generation(self) -> int:
        return int(self.app.consumer_generation_id)

    async def _revoked(self, app: Any, revoked: set[Any], **_: Any) -> None:
        self._drop(revoked)

    async def _assigned(self, app: Any, assigned: set[Any], **_: Any) -> None:
        self._drop(assigned)
        self.keep_only(assigned)
        for place in assigned:
            if place.topic == self._topic:
                await self.engine.own(place.partition)
            elif place.topic == REPORTS_TOPIC:
                await self.engine.own_roll_up()

    def _drop(self, places: set[Any]) -> None:
        """Everything goes, also what stays with us: Faust revokes all, and another may have written since."""
        for place in places:
            if place.topic == self._topic:
                self.engine.disown(place.partition)
            elif place.topic == REPORTS_TOPIC:
                self.engine.disown(ROLL_UP)

    def keep_only(self, assigned: Collection[Any]) -> None:
        """Drop what is not among these places (topic, partition), as Kafka has assigned it to another worker.

        To a worker that it had forgotten, and that joins again, it does not say what is revoked. What this one went on
        writing of such a partition, were it only the time, would fence its owner for ever.
        """
        ours = {place.partition for place in assigned if place.topic == self._topic}
        for number in sorted(set(self.engine.owned) - ours):
            log.warning("Kafka has assigned the partition to another worker", partition=number)
            self.engine.disown(number)
        if self.engine.owns_roll_up and all(place.topic != REPORTS_TOPIC for place in assigned):
            log.warning("Kafka has assigned the roll-up to another worker")
            self.engine.disown(ROLL_UP)

    async def run(self, stop: asyncio.Event) -> None:
        """Create the topics (Faust leaves an agent's own topic uncreated), then work until `stop`.

        Raises SettingsError when the topic is not the one that the database has read.
        """

        async def made() -> bool:
            await create_topics(self._servers, self._topics)
            await self.ends.match(await patiently(self._store.offsets))
            return True

        if not await opened(made, self.engine.waits, self._clock, stop):
            return
        self.app.finalize()
        await self.app.start()
        beats = asyncio.create_task(self.engine.run(stop))
        catch_up = asyncio.create_task(self._catch_up())
        ends = asyncio.create_task(self.ends.run())
        crashed = asyncio.create_task(self.app.wait_until_stopped())
        try:
            done, _ = await asyncio.wait({beats, crashed, catch_up, ends}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            catch_up.cancel()
            ends.cancel()
            await asyncio.wait({ends})
            await self.app.stop()


def _acknowledging(event: Any) -> Callable[[], Awaitable[None]]:
    async def acknowledge() -> None:
        event.ack()

    return acknowledge
