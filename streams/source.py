"""The sources of a partition, in columns: when each spoke, what its clock is like, what it has counted.

A *stream* is one quantity of one source (an event's kind has one stream): its newest observed time, and when that was
received, decide what may be new.

A checkpoint carries the sources that spoke since the last one, as one *change*. Changes are laid over *blocks* of
BLOCK sources each, and when they have become many, what they touched is written as blocks instead and they go: a log
and its compaction (O'Neil et al., "The log-structured merge-tree", Acta Informatica 33, 1996). So a checkpoint costs by
who spoke, wherever their numbers lie, and not by how many there are.
"""

from typing import NamedTuple, get_args

import msgspec
import numpy as np

from sensors.errors import MessageRejected
from sensors.key import key_of
from sensors.kind import Status
from sensors.topic import Topic
from streams import narrow
from streams.checkpoint import SourceBlock, SourceChange, SourceName, SourceRow
from streams.columns import Columns, Ints, present
from streams.identity import Keys
from streams.numbering import Gap, Numbering
from streams.pane import EMPTY, NEVER

SOURCES_MAX = 100_000
BLOCK = 1_024
CHANGES_MAX = 512
CHANGED_MOST = 4
"""Changes are made blocks when there are so many, or when they have so many rows for each source …"""

CHANGED_LEAST = 4_096
"""… but not for fewer rows than this."""

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
    """Some sources, at most BLOCK: columns of `_STEP`, sources and numberings in `sources`, their streams' columns, one
    source's behind another's, in `streams`; and the gaps of those that have any, by the source's number."""

    sources: bytes
    streams: bytes
    gaps: list[tuple[int, list[Gap]]]


_STEP = np.array([1], dtype=np.int64)
"""The first column has how far each source's number is from the one before: 1 where none is left out."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


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
        self._is_changed = np.zeros(BLOCK, dtype=np.bool_)
        self._changes = self._first_change = self._changed_rows = 0
        self._stale: set[int] = set()

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
        self.numbering.columns.reserve(index + 1)
        if index >= len(self._is_changed):
            self._is_changed = np.concatenate((self._is_changed, np.zeros_like(self._is_changed)))
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
        self._is_changed[source] = True

    def cannot_read(self, sources: list[int]) -> None:
        """Messages of these sources were received whose numbers could not be read."""
        if sources:
            who = np.array(sources, dtype=np.int64)
            self.numbering.cannot_read(who)
            self.touch(who)

    def touch(self, source: Ints) -> None:
        self._is_changed[source] = True

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

    def take_changed(self) -> tuple[list[SourceBlock], list[SourceChange], int]:
        """What was changed since the last call: blocks, or a change; and the number before which changes may go."""
        changed = np.flatnonzero(self._is_changed)
        self._is_changed[changed] = False
        self._stale.update(present(changed // BLOCK))
        self._changed_rows += len(changed)
        count = self._changes - self._first_change
        if count >= CHANGES_MAX or self._changed_rows > max(CHANGED_LEAST, CHANGED_MOST * len(self)):
            blocks = [self._block(block) for block in sorted(self._stale)]
            self._stale.clear()
            self._first_change, self._changed_rows = self._changes, 0
            return blocks, [], self._changes
        if not len(changed):
            return [], [], 0
        self._changes += 1
        return [], [SourceChange(self._changes - 1, self._packed(changed))], 0

    def _block(self, block: int) -> SourceBlock:
        mine = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(self)))
        return SourceBlock(block, self._packed(mine))

    def _packed(self, sources: Ints) -> bytes:
        """What is known of these sources, in order of their numbers."""
        starts = np.arange(0, len(sources), BLOCK)
        table = np.empty((1 + len(self.columns) + len(self.numbering.columns), len(sources)), dtype=np.int64)
        step, own, numbered = table[:1], table[1 : 1 + len(self.columns)], table[1 + len(self.columns) :]
        step[:] = np.diff(sources, prepend=-1)
        self.columns.copy_to(own, sources)
        self.numbering.columns.copy_to(numbered, sources)
        # Where a source's streams begin is this process's own; how many it has is what those who read this must know.
        own[self.columns.place("stream")] = widths = self._stream_counts(sources)
        streams, first = self._streams_of(sources, widths)
        parts = zip(
            narrow.pack(table, self._fresh, starts),
            narrow.pack(self.streams.of(streams), self.streams.fresh, first[starts]),
            np.split(sources, starts[1:]),
            strict=True,
        )
        return _encode([_Packed(mine, theirs, self.numbering.gaps_of(part)) for mine, theirs, part in parts])

    @property
    def _fresh(self) -> Ints:
        return np.concatenate((_STEP, self.columns.fresh, self.numbering.columns.fresh))

    def _stream_counts(self, sources: Ints) -> Ints:
        """How many streams each of these sources has."""
        begins = self.columns["stream"]
        is_last = sources == len(begins) - 1
        return np.where(is_last, self.streams.rows, begins[np.where(is_last, 0, sources + 1)]) - begins[sources]

    def _streams_of(self, sources: Ints, counts: Ints) -> tuple[Ints, Ints]:
        """The streams of these sources, which have so many, and where among them each source's begin."""
        first = np.cumsum(counts) - counts
        begins = self.columns["stream"][sources]
        return np.repeat(begins - first, counts) + np.arange(int(counts.sum())), first

    def restore(self, names: list[SourceName], blocks: list[SourceBlock], changes: list[SourceChange]) -> None:
        """Take back what checkpoints wrote, names in order of their numbers."""
        for name in names:
            self._add((name.unit, name.kind, name.source))
        self._kept = len(self.names)
        for block in blocks:
            self._put_back(block.content)
        ordered = sorted(changes, key=lambda change: change.number)
        for change in ordered:
            changed = self._put_back(change.content)
            self._stale.update(present(changed // BLOCK))
            self._changed_rows += len(changed)
        if ordered:
            self._first_change, self._changes = ordered[0].number, ordered[-1].number + 1

    def _put_back(self, content: bytes) -> Ints:
        """The inverse of `_packed`; returns the sources."""
        found, last = [], -1
        for part in _decode(content):
            table = narrow.unpack(part.sources, self._fresh)
            sources = np.cumsum(table[0]) + last
            last = int(sources[-1])
            found.append(sources)
            own, numbered = np.split(table[1:], [len(self.columns)])
            written = own[self.columns.place("stream")].copy()
            own[self.columns.place("stream")] = self.columns["stream"][sources]
            self.columns.put(sources, own)
            self.numbering.put(sources, numbered, part.gaps)
            counts = self._stream_counts(sources)
            same = written == counts
            streams, _ = self._streams_of(sources[same], counts[same])
            self.streams.put(streams, narrow.unpack(part.streams, self.streams.fresh)[:, np.repeat(same, written)])
            # Where a kind has other quantities than when this was written, nobody knows which stream is whose: each has
            # said what its source has, so that of what is not newer it is asked whether it was told before.
            other, counts = sources[~same], counts[~same]
            streams, _ = self._streams_of(other, counts)
            said = np.stack((self.columns["observed"][other], self.columns["last_seen"][other]))
            self.streams.put(streams, np.repeat(said, counts, axis=1))
        return np.concatenate(found)
