"""The sources of a partition, in columns: when each spoke, what its clock is like, what it has counted.

A *stream* is one quantity of one source (an event's kind has one stream): its newest observed time, and when that was
received, decide what may be new. Sources are checkpointed in blocks of `BLOCK`, so that a checkpoint costs by blocks
touched and not by sources.
"""

from typing import NamedTuple, get_args

import msgspec
import numpy as np

from sensors.errors import MessageRejected
from sensors.key import key_of
from sensors.kind import Status
from sensors.topic import Topic
from streams import narrow
from streams.checkpoint import SourceBlock, SourceName, SourceRow
from streams.columns import Columns, Ints, present
from streams.identity import Keys
from streams.numbering import Gap, Numbering
from streams.pane import EMPTY, NEVER

SOURCES_MAX = 100_000
BLOCK = 64
DELAY_SLOT_MS = 1_800_000
STATUSES: tuple[Status, ...] = get_args(Status)
_NONE = np.zeros(0, dtype=np.int64)


class Spoken(NamedTuple):
    """Messages in columns of one length, in order of arrival: source, time received, newest time observed (ms UTC;
    EMPTY where the device gave none) and status (its place in STATUSES)."""

    source: Ints
    received_at: Ints
    observed: Ints
    status: Ints


class _Packed(msgspec.Struct, array_like=True):
    """A block's content: columns of sources, numberings and streams."""

    sources: bytes
    numbering: bytes
    streams: bytes
    gaps: list[tuple[int, list[Gap]]]


class Sources:
    """`widths` gives the number of streams of each kind. Indices never change while the partition lives here."""

    def __init__(self, widths: dict[str, int]) -> None:
        self._widths = widths
        self.names: list[tuple[str, str, str]] = []
        self.index: dict[tuple[str, str, str], int] = {}
        self._keys = Columns(key=0)
        self.columns = Columns(
            first_seen=0, last_seen=0, observed=0, status=0, online=1, stream=0,
            delay_slot=0, delay=NEVER, delay_before=NEVER,
        )  # fmt: skip
        self.streams = Columns(newest=EMPTY, received=0)
        self.numbering = Numbering()
        self._of_kind: dict[str, list[int]] = {}
        self._arrays: dict[str, Ints] = {}
        self._kept = 0
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> Keys:
        """The identity of each source."""
        return self._keys["key"].view(np.uint64)

    def intern(self, topic: Topic) -> int:
        """The index of a source, new or known; raises MessageRejected when there are too many."""
        key = (topic.unit, topic.kind, topic.source)
        found = self.index.get(key)
        if found is None:
            if len(self.names) >= SOURCES_MAX:
                raise MessageRejected("too_many_sources", f"more than {SOURCES_MAX} in one partition")
            found = self._add(key)
        return found

    def _add(self, key: tuple[str, str, str]) -> int:
        index = self.index[key] = len(self.names)
        self.names.append(key)
        self._of_kind.setdefault(key[1], []).append(index)
        self._keys.reserve(index + 1)
        self.keys[index] = key_of("/".join(key))
        self.columns.reserve(index + 1)
        self.numbering.reserve(index + 1)
        self.columns["stream"][index] = self.streams.rows
        self.streams.reserve(self.streams.rows + self._widths.get(key[1], 1))
        return index

    def spoke(self, said: Spoken) -> None:
        """Note what messages say of their sources: life, status, clock and numbering."""
        if not len(said.source):
            return
        columns, source = self.columns, said.source
        known = columns["first_seen"][source]
        earlier = (known == 0) | (said.received_at < known)
        if earlier.any():
            columns["first_seen"][source[known == 0]] = NEVER
            np.minimum.at(columns["first_seen"], source[earlier], said.received_at[earlier])
        np.maximum.at(columns["last_seen"], source, said.received_at)
        # Later entries win, so each source keeps the status of its last message.
        columns["status"][source] = said.status
        columns["online"][source] = 1
        timed = said.observed != EMPTY
        if timed.any():
            self._note_delays(source[timed], (said.received_at - said.observed)[timed], int(said.received_at[-1]))
        self.touch(source)

    def count(self, source: Ints, number: Ints, observed: Ints) -> None:
        """Take the sources' own numbers in (streams.numbering); `observed` EMPTY where there is no time."""
        self.numbering.count(source, number, observed)
        self.touch(source)

    def _note_delays(self, source: Ints, delay: Ints, now: int) -> None:
        """The least delay of the current and the last half hour: backlog only adds to a clock's own offset."""
        columns = self.columns
        slot = now // DELAY_SLOT_MS
        old = source[columns["delay_slot"][source] < slot]
        is_next = columns["delay_slot"][old] == slot - 1
        columns["delay_before"][old] = np.where(is_next, columns["delay"][old], NEVER)
        columns["delay"][old] = NEVER
        columns["delay_slot"][old] = slot
        np.minimum.at(columns["delay"], source, delay)

    def observed(self, source: Ints, time: Ints) -> None:
        """Accepted readings: each source's newest observed time."""
        np.maximum.at(self.columns["observed"], source, time)

    def tell_status(self, source: int, at: int, is_online: bool) -> None:
        """A retained status message; good-bye alone does not make a source that has spoken."""
        columns = self.columns
        if is_online:
            # The earliest of both: whether it came in the same beat as what the source says must not matter.
            columns["first_seen"][source] = min(int(columns["first_seen"][source]) or at, at)
            columns["last_seen"][source] = max(int(columns["last_seen"][source]), at)
        columns["online"][source] = is_online
        self._dirty.add(source // BLOCK)

    def cannot_read(self, sources: list[int]) -> None:
        """Messages of these sources were received whose numbers could not be read."""
        if sources:
            who = np.array(sources, dtype=np.int64)
            self.numbering.cannot_read(who)
            self.touch(who)

    def touch(self, source: Ints) -> None:
        self._dirty.update(present(source // BLOCK))

    def spoken(self, kind: str) -> tuple[Ints, Ints]:
        """The sources of a kind that have said anything usable, and when each was heard last (0: it said good-bye)."""
        columns = self.columns
        of_kind = self._indices(kind)
        sources = of_kind[columns["first_seen"][of_kind] > 0]
        return sources, np.where(columns["online"][sources] > 0, columns["last_seen"][sources], 0)

    def _indices(self, kind: str) -> Ints:
        """The sources of a kind; made anew only when there are more of them than at the last asking."""
        known, listed = self._arrays.get(kind, _NONE), self._of_kind.get(kind, [])
        if len(known) < len(listed):
            known = self._arrays[kind] = np.array(listed, dtype=np.int64)
        return known

    def heard(self, source: int) -> int:
        """When a source was heard last (ms UTC); 0 when it said good-bye."""
        return self.last_seen(source) if self.columns["online"][source] else 0

    def last_seen(self, source: int) -> int:
        """When a source was heard last (ms UTC), good-bye or not."""
        return int(self.columns["last_seen"][source])

    def skew_ms(self, source: int) -> int | None:
        """How far the source's clock is ahead (negative: behind), by its least delayed messages; None: not known."""
        least = min(int(self.columns["delay"][source]), int(self.columns["delay_before"][source]))
        return None if least == NEVER else -least

    def row(self, source: int) -> SourceRow:
        """All that is known of a source, for people."""
        columns = self.columns
        number, numbered, unreadable, restarts = self.numbering.of(source)
        return SourceRow(
            *self.names[source], int(columns["first_seen"][source]), int(columns["last_seen"][source]),
            int(columns["observed"][source]), STATUSES[int(columns["status"][source])],
            bool(columns["online"][source]), number, numbered, unreadable,
            int(self.numbering.missing(slice(source, source + 1))[0]), restarts, self.skew_ms(source),
        )  # fmt: skip

    def take_new(self) -> list[SourceName]:
        """Sources first heard since the last call."""
        fresh = [SourceName(index, *self.names[index]) for index in range(self._kept, len(self.names))]
        self._kept = len(self.names)
        return fresh

    def take_dirty(self) -> list[SourceBlock]:
        """The blocks changed since the last call."""
        blocks = sorted(self._dirty)
        self._dirty.clear()
        spans = [(block * BLOCK, min((block + 1) * BLOCK, len(self.names))) for block in blocks]
        streams = self.streams.pack([self._span(first, last) for first, last in spans])
        parts = zip(blocks, spans, self.columns.pack(spans), self.numbering.pack(spans), streams, strict=True)
        return [
            SourceBlock(block, last - first, msgspec.msgpack.encode(_Packed(sources, numbering, own_streams, gaps)))
            for block, (first, last), sources, (numbering, gaps), own_streams in parts
        ]

    def _span(self, first: int, last: int) -> tuple[int, int]:
        begin = self.columns["stream"]
        return int(begin[first]), int(begin[last]) if last < len(self.names) else self.streams.rows

    def restore(self, names: list[SourceName], blocks: list[SourceBlock]) -> None:
        """Take back what checkpoints wrote, names in order of their numbers."""
        for name in names:
            self._add((name.unit, name.kind, name.source))
        self._kept = len(self.names)
        for block in blocks:
            first, last = block.block * BLOCK, block.block * BLOCK + block.sources
            content = msgspec.msgpack.decode(block.content, type=_Packed)
            begins = self.columns["stream"][first:last].copy()
            self.columns.restore(first, last, content.sources)
            # Where a kind has other quantities than when this was written, its streams begin anew.
            written = self.columns["stream"][first:last]
            same = bool((written - written[0] == begins - begins[0]).all())
            self.columns["stream"][first:last] = begins
            self.numbering.restore(first, last, content.numbering, content.gaps)
            span = self._span(first, last)
            if same and narrow.rows(content.streams) == span[1] - span[0]:
                self.streams.restore(*span, content.streams)
