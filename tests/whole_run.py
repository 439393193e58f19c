"""A city's messages through packing, partitions, roll-up and a real database in memory, in virtual time.

What the engine does on a beat (streams/beat_engine.py), without its tasks, threads and servers.
"""

from collections.abc import Iterable

from sensors.batch import encode
from sensors.journal import Record
from sensors.packing import Message as Received
from sensors.packing import Packer
from simulators.payload import Message
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP
from streams.partition import Partition
from streams.roll_up import Report, RollUp
from streams.sql_store import SqlStore

PARTITIONS = 4


class WholeRun:
    """`start` is the time of the first beat; `received` is when a message came: its own time, or a later one."""

    def __init__(self, catalogue: Catalogue, start: int, partitions: int = PARTITIONS) -> None:
        self.store = SqlStore("sqlite://")
        self.store.migrate()
        self._catalogue = catalogue
        self._packer = Packer("bridge", partitions, {})
        self._offsets = dict.fromkeys(range(partitions), 0)
        self.partitions = {
            number: Partition(number, catalogue, self.store.recover(number), start) for number in range(partitions)
        }
        self._roll_up = RollUp(catalogue, self.store.recover(ROLL_UP), start)

    def play(self, messages: Iterable[Message], beat_ms: int, delay_ms: int = 0) -> int:
        """Let the messages come, each `delay_ms` after it was sent, with a beat every `beat_ms`; returns the last."""
        due = 0
        for message in messages:
            now = message.time + delay_ms
            due = due or now + beat_ms
            while now >= due:
                self.beat(due)
                due += beat_ms
            self._packer.add(Received(message.topic, message.payload, now))
        self.beat(due)
        return due

    def beat(self, now: int) -> None:
        for batch in self._packer.seal(now):
            offset = self._offsets[batch.partition]
            self._offsets[batch.partition] = offset + 1
            self.partitions[batch.partition].observe(Record(batch.partition, offset, encode(batch)))
        for number, partition in self.partitions.items():
            beat = partition.evaluate(now)
            report = Report(number, beat.partials, beat.silent)
            unknown = self._roll_up.unknown(report.partials)
            if unknown:
                self._roll_up.restore(*self.store.shares(unknown), now)
            self._roll_up.report(report, now)
            checkpoint = partition.checkpoint(now)
            assert self.store.commit(checkpoint)
            partition.committed(checkpoint.offset)
        self._roll_up.evaluate(now)
        assert self.store.commit(self._roll_up.checkpoint(now, [], []))
