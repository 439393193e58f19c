"""What the journal promises, whichever shell keeps it: `sqlite_journal` or `kafka_journal`.

Offsets count records from 0 within a partition, in the order of appending. One contract suite
(`tests/test_journal_contract.py`) runs on both shells.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sensors.batch import Batch


class Record(NamedTuple):
    """One journaled batch, still encoded."""

    partition: int
    offset: int
    batch: bytes


class JournalWriter(Protocol):
    """The bridge's side. All methods raise Unavailable when the journal does not answer."""

    async def append(self, batches: Sequence[Batch]) -> None:
        """Keep the batches; on return they are durable. All or nothing within a partition."""

    async def next_ordinals(self) -> dict[int, int]:
        """For every partition, the ordinal that the next message gets (0 at first)."""

    async def close(self) -> None: ...


class JournalReader(Protocol):
    """The reading side: the embedded worker's feed, audits and replays."""

    async def read(self, partition: int, offset: int, limit: int = 100) -> list[Record]:
        """Up to `limit` records from `offset` on; what retention has dropped is skipped, in order."""

    async def ends(self) -> dict[int, int]:
        """For every partition, the offset that the next record gets."""

    async def close(self) -> None: ...
