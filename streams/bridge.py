"""What the journal's end says of the bridges: which of them are missed, and whose records are kept late.

    the last record of every partition, look after look ──▶ Bridges ──▶ missed, late

A bridge says something every second, if only that it is there, and once in all of its partitions when it begins. So
**a partition belongs to the bridge that wrote there last, and a bridge that says nothing is missed as long as a
partition is its own**. What is missed is a share of the units, not a process: one that was ended on purpose is missed
like one that died, until others have taken over all it had, under whatever name and in however many shares.

A record is late when it had been sealed a second or more before a look that did not find it yet: so long it was on its
way, whatever the looks' own pace and however long this process was busy. With a look every second, what takes two
seconds is always found, and what takes less than one never. Bridge and looker may run on different machines: some
milliseconds between their clocks are nothing beside that second, but a bridge whose clock is a second behind looks
late. Silence is by the looker's own clock, but for what was there before its first look.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sensors.journal import Record, batches_of

SILENT_MS = 10_000
LATE_MS = 1_000


class Word(NamedTuple):
    """The last record of a partition: who sealed it, and when by that one's clock (ms UTC)."""

    bridge: str
    sealed_at: int


def words(records: Mapping[int, Record]) -> dict[int, Word]:
    """What the partitions' last records say; one that no bridge wrote says nothing."""
    found = {partition: batches_of([record]) for partition, record in records.items()}
    return {partition: Word(one.bridge, one.sealed_at) for partition, batches in found.items() for one in batches}


class Bridges:
    """All bridges whose records were found at the end of the journal since the first look."""

    def __init__(self, started: int) -> None:
        """Nobody is missed, or late with what was sealed, before `started` (ms UTC): a place begins all at once."""
        self._started = started
        self._last: dict[int, Word] = {}
        self._heard_at: dict[str, int] = {}
        self._late: set[str] = set()
        self._looked_at: int | None = None

    def hear(self, words: Mapping[int, Word], looked_at: int) -> None:
        """Take in the last words of those partitions that have new ones; the look began at `looked_at` (ms UTC)."""
        self._last.update(words)
        for bridge, sealed_at in words.values():
            at = min(sealed_at, looked_at) if self._looked_at is None else looked_at
            self._heard_at[bridge] = max(at, self._heard_at.get(bridge, at))
        if self._looked_at is not None:
            fresh = [word for word in words.values() if word.sealed_at > self._started]
            late = {bridge for bridge, sealed_at in fresh if self._looked_at - sealed_at >= LATE_MS}
            self._late = (self._late - {word.bridge for word in fresh}) | late
        self._looked_at = looked_at

    @property
    def names(self) -> set[str]:
        return set(self._heard_at)

    def missed(self, now: int) -> list[str]:
        """Bridges that have said nothing for SILENT_MS, and nobody else has taken over all that was theirs."""
        return sorted({word.bridge for word in self._last.values() if self._silent_ms(word.bridge, now) > SILENT_MS})

    def late(self, now: int) -> list[str]:
        """Bridges whose newest record was late, but those that say nothing at all."""
        return sorted(name for name in self._late if self._silent_ms(name, now) <= SILENT_MS)

    def is_unheard(self, now: int) -> bool:
        """Whether no bridge at all has said anything for SILENT_MS."""
        return now - max([self._started, *self._heard_at.values()]) > SILENT_MS

    def _silent_ms(self, bridge: str, now: int) -> int:
        return now - max(self._heard_at[bridge], self._started)
