"""What the journal promises, whichever shell keeps it: `sqlite_journal` or `kafka_journal`.

Offsets count records from 0 within a partition, in the order of appending. One contract suite
(`tests/test_journal_contract.py`) runs on both shells.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from sensors.batch import Batch, JournaledBatch, journaled
from sensors.errors import MessageRejected


class Record(NamedTuple):
    """One journaled batch, still encoded."""

    partition: int
    offset: int
    batch: bytes


def batches_of(records: Iterable[Record]) -> list[JournaledBatch]:
    """What the records hold, but for those that no bridge wrote: anybody may write to a topic."""
    found = []
    for record in records:
        with suppress(MessageRejected):
            found.append(journaled(record.batch))
    return found


class JournalWriter(Protocol):
    """The bridge's side. All methods raise Unavailable when the journal does not answer.

    A partition has one writer at a time, yet two may take turns without knowing of each other: an orchestrator
    starts a second bridge, an old one comes back. The worker passes over ordinals that it has had, so on return of
    `append` no record before the batches has an ordinal of theirs, whoever wrote it.
    """

    async def append(self, batches: Sequence[Batch]) -> None:
        """Keep the batches; on return they are durable. All or nothing within a partition.

        Raises Overtaken when another writer has used ordinals of the batches, and goes on raising it until
        `next_ordinals` was asked. Of such an append anything may be kept or nothing: number all of it anew, append
        it again, and acknowledge only then. Ordinals may be left out. Whether a heartbeat, which has none, can be
        overtaken is the shell's affair.
        """

    async def next_ordinals(self) -> dict[int, int]:
        """For every partition, the ordinal that the next message gets (0 at first), above all that are in it."""

    async def close(self) -> None: ...


class JournalReader(Protocol):
    """The reading side: the embedded worker's feed, audits and replays."""

    async def read(self, partition: int, offset: int, limit: int = 100) -> list[Record]:
        """Up to `limit` records from `offset` on; what retention has dropped is skipped, in order."""

    async def ends(self) -> dict[int, int]:
        """For every partition, the offset that the next record gets."""

    async def close(self) -> None: ...
